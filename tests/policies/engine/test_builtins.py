"""Every built-in: what is supported means the same in both engines, what is lacking isn't there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.policies.engine.asking import Failure, draft
from apps.policies.engine.builtins import LACKED, REFUSED, SUPPORTED
from apps.policies.engine.children import Children
from apps.policies.engine.opa_client import OpaClient, RefusedError, within
from apps.policies.engine.pool import Pool
from tests.policies.builtin_calls import CALLS, DIFFERENCES
from tests.policies.engine.rego import PATIENT, engine

DOCS = Path("docs/rego.md")


def ours(pool: Pool, call: str) -> str | None:
    """What a call comes to as JSON, undefined as [], an error as None."""
    rego = f"package mandate\n\nallow := true\n\ndeny contains json.marshal(x) if x := {call}\n"
    (answer,) = Children(pool, PATIENT).documents("builtins", [draft(rego)], b"{}")
    return None if isinstance(answer, Failure) else json.dumps(answer["deny"][0])


@pytest.fixture(scope="module")
def opa_client(opa_url: str) -> OpaClient:
    return OpaClient(opa_url)


def opas(client: OpaClient, call: str) -> str | None:
    rego = f"package policies.builtins.x\n\ndeny contains json.marshal(x) if x := {call}\n"
    path = "/v1/data/policies/builtins/x/deny?strict-builtin-errors=true"
    try:
        with within(10):
            client.ask("PUT", "/v1/policies/policies/builtins/x", rego.encode(), "text/plain")
            return json.dumps(client.ask("POST", path, b"{}")["result"])
    except RefusedError:
        return None


def test_every_supported_built_in_is_called() -> None:
    assert CALLS.keys() == SUPPORTED.keys()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_supported_built_in_means_the_same_in_both_engines(
    pool: Pool, opa_client: OpaClient, name: str
) -> None:
    answers = {call: (ours(pool, call), opas(opa_client, call)) for call in CALLS[name]}
    assert any(own not in {None, "[]"} for own, _ in answers.values())
    assert {call: pair for call, pair in answers.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("call", sorted(DIFFERENCES))
def test_where_the_engines_differ_is_known(pool: Pool, opa_client: OpaClient, call: str) -> None:
    """So that the page about it stays true: should one of them change, this fails."""
    own, opa = DIFFERENCES[call]
    found = [
        json.loads(answer or "[null]") for answer in (ours(pool, call), opas(opa_client, call))
    ]
    assert [answer[0] if answer else "" for answer in found] == [own, opa]


@pytest.mark.parametrize("name", sorted(LACKED))
def test_what_our_engine_lacks_is_not_there_and_not_kept(pool: Pool, name: str) -> None:
    arguments = [", ".join(["1"] * number) for number in range(5)]
    assert {ours(pool, f"{name}({given})") for given in arguments} == {None}
    (flaw,) = engine(pool).find_flaws(f"package mandate\n\nallow := {name}(1)\n")
    assert flaw.message == f"`{name}` is not supported here."


def test_the_page_lists_every_built_in_as_it_is() -> None:
    """`docs/rego.md` holds the three lists and the differences in these words."""
    page = DOCS.read_text()
    for name in SUPPORTED:
        assert f"`{name}`" in section(page, "Supported"), name
    for name, reason in REFUSED.items():
        assert f"`{name}`" in section(page, "Refused") and reason in section(page, "Refused"), name
    for name in LACKED:
        assert f"`{name}`" in section(page, "Lacking"), name
    for call, (own, opa) in DIFFERENCES.items():
        assert f"| `{call}` | `{own}` | `{opa}` |" in page, call


def section(page: str, title: str) -> str:
    return page.partition(f"### {title}")[2].partition("\n##")[0]
