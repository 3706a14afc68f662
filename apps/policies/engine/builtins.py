"""Every built-in function of Rego (OPA 1.20): which a policy may call, and why not the others.

The same list whoever evaluates, so that a text means the same with either engine. tests/policies
asks both engines for each of them, and docs/rego.md repeats it.
"""

from __future__ import annotations

from typing import Final

_BY_ARITY: Final = {
    1: (
        "abs array.reverse base64.decode base64.encode base64.is_valid base64url.decode "
        "base64url.encode base64url.encode_no_pad bits.negate ceil count floor "
        "hex.decode hex.encode intersection is_array is_boolean is_null is_number is_object "
        "is_set is_string json.is_valid json.marshal json.unmarshal lower max min object.keys "
        "object.union_n product regex.is_valid round semver.is_valid sort strings.reverse sum "
        "time.clock time.date time.format time.parse_duration_ns time.parse_rfc3339_ns "
        "time.weekday to_number trim_space type_name union units.parse units.parse_bytes upper "
        "urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object "
        "uuid.parse walk yaml.is_valid yaml.marshal yaml.unmarshal"
    ),
    2: (
        "array.concat bits.and bits.lsh bits.or bits.rsh bits.xor concat contains endswith "
        "format_int graph.reachable graph.reachable_paths indexof indexof_n json.filter "
        "json.marshal_with_options json.patch json.remove numbers.range object.filter "
        "object.remove object.subset object.union regex.match regex.split semver.compare split "
        "sprintf startswith strings.any_prefix_match strings.any_suffix_match strings.count "
        "strings.replace_n time.diff time.parse_ns trim trim_left trim_prefix trim_right "
        "trim_suffix"
    ),
    3: (
        "array.slice glob.match numbers.range_step object.get regex.find_all_string_submatch_n "
        "regex.find_n regex.replace replace substring"
    ),
    4: "time.add_date",
}

SUPPORTED: Final = {name: arity for arity, names in _BY_ARITY.items() for name in names.split()}
"""How many arguments each takes; one more receives the result."""

_NETWORK: Final = "A policy reaches no network: it decides by the document that it is given."
_CHANCE: Final = "A decision must come out the same when it is asked again."
_SCHEMA: Final = "A schema may name an address, which would then be fetched."
_UNSURE: Final = "Engines make different things of it."
_OUTPUT: Final = "It would write what was asked into a log."

REFUSED: Final = {
    "http.send": _NETWORK,
    "net.cidr_contains": _NETWORK,
    "net.cidr_contains_matches": _NETWORK,
    "net.cidr_expand": _NETWORK,
    "net.cidr_intersects": _NETWORK,
    "net.cidr_is_valid": _NETWORK,
    "net.cidr_merge": _NETWORK,
    "net.cidr_overlap": _NETWORK,
    "net.lookup_ip_addr": _NETWORK,
    "opa.runtime": "It tells of the server that evaluates, its environment included.",
    "time.now_ns": f"{_CHANCE} Use `input.context.time`.",
    "rand.intn": _CHANCE,
    "uuid.rfc4122": _CHANCE,
    "json.match_schema": _SCHEMA,
    "json.verify_schema": _SCHEMA,
    "glob.quote_meta": _UNSURE,
    "regex.template_match": _UNSURE,
    "print": _OUTPUT,
    "trace": _OUTPUT,
}
"""Why a text that calls it isn't kept."""

_LACKED: Final = (
    "all any array.flatten cast_array cast_boolean cast_null cast_object cast_set cast_string "
    "crypto.hmac.equal crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512 "
    "crypto.md5 crypto.parse_private_keys crypto.sha1 crypto.sha256 "
    "crypto.x509.parse_and_verify_certificates "
    "crypto.x509.parse_and_verify_certificates_with_options "
    "crypto.x509.parse_certificate_request crypto.x509.parse_certificates "
    "crypto.x509.parse_keypair crypto.x509.parse_rsa_private_key graphql.is_valid graphql.parse "
    "graphql.parse_and_verify graphql.parse_query graphql.parse_schema graphql.schema_is_valid "
    "io.jwt.decode io.jwt.decode_verify io.jwt.encode_sign io.jwt.encode_sign_raw "
    "io.jwt.verify_eddsa io.jwt.verify_es256 io.jwt.verify_es384 io.jwt.verify_es512 "
    "io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512 io.jwt.verify_ps256 "
    "io.jwt.verify_ps384 io.jwt.verify_ps512 io.jwt.verify_rs256 io.jwt.verify_rs384 "
    "io.jwt.verify_rs512 providers.aws.sign_req re_match regex.globs_match rego.metadata.chain "
    "rego.metadata.rule rego.parse_module set_diff strings.render_template strings.split_n "
    "uri.is_valid uri.parse"
)
LACKED: Final = frozenset(_LACKED.split())
"""What OPA has and the engine in this process hasn't."""


def objection(name: str) -> str:
    """Why a policy can't call this; empty if it can, or if it is no built-in."""
    if name in REFUSED:
        return f"`{name}` is refused. {REFUSED[name]}"
    if name in LACKED:
        return f"`{name}` is not supported here."
    return ""
