import enum
import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from apps.trust import canonical
from apps.trust.errors import JsonInvalid


class Mode(enum.StrEnum):
    SYNC = "sync"


DEEPEST = "[" * canonical.MAX_DEPTH + "]" * canonical.MAX_DEPTH
NUMBERS = st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER) | st.floats(
    allow_nan=False, allow_infinity=False
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1, "a": [true, null]}', b'{"a":[true,null],"b":1}'),
        ('{"\\u20ac": 1, "\\r": 2, "1": 3}', b'{"\\r":2,"1":3,"\xe2\x82\xac":1}'),
        ("[1.0, -0.0, 1e21, 1E-7, 0.000001]", b"[1,0,1e+21,1e-7,0.000001]"),
        ('"\\u00e9\\u0000\\/"', b'"\xc3\xa9\\u0000/"'),
        ('"\\ud83d\\ude02"', b'"\xf0\x9f\x98\x82"'),
        ("9007199254740991", b"9007199254740991"),
        ("-9007199254740991", b"-9007199254740991"),
        ("9007199254740992", b"9007199254740992"),
        ("-1e20", b"-100000000000000000000"),
        ("100000000000000000000", b"100000000000000000000"),
        ("295147905179352830000", b"295147905179352830000"),
        (DEEPEST, DEEPEST.encode()),
    ],
)
def test_one_document_has_one_spelling(text, expected):
    assert canonical.dumps(canonical.loads(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": 1, "\\u0061": 2}',
        '[{"deep": {"a": 1, "b": 2, "a": 3}}]',
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        "1e999",
        "9007199254740993",
        "-9007199254740993",
        "100000000000000000001",
        "1000000000000000000000",
        "1" * 100_000,
        '"\\ud800"',
        '{"\\udc00": 1}',
        f"[{DEEPEST}]",
        "[" * 100_000,
        "",
        "{",
        "{} {}",
        "{'a': 1}",
        "[1,]",
        "01",
        "\ufeff{}",
        b"\xff",
        b"\xc0\xaf",
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_text_with_two_readings_is_refused(text):
    with pytest.raises(JsonInvalid):
        canonical.loads(text)


def test_a_text_beyond_the_limit_is_refused_before_it_is_parsed():
    assert canonical.loads('"1234"', max_bytes=6) == "1234"
    with pytest.raises(JsonInvalid, match="more than 6 bytes"):
        canonical.loads('"12345"', max_bytes=6)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), {1: 2}, {"a": {1, 2}}, "\ud800", {"\udc00": 1}],
    ids=ascii,
)
def test_a_value_without_canonical_form_is_refused(value):
    with pytest.raises(JsonInvalid):
        canonical.dumps(value)


def test_a_cycle_is_refused():
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(JsonInvalid, match="nested"):
        canonical.dumps(loop)


@pytest.mark.parametrize("text", ["[]", '"a"', "1", "null"])
def test_an_object_is_wanted_where_one_is_read(text):
    assert canonical.loads_object("{}") == {}
    with pytest.raises(JsonInvalid, match="not a JSON object"):
        canonical.loads_object(text)


def test_digest_ignores_spelling_and_nothing_else():
    document = {"a": [1, 2], "b": "x"}

    assert canonical.digest(document) == hashlib.sha256(b'{"a":[1,2],"b":"x"}').digest()
    assert canonical.digest({"b": "x", "a": [1.0, 2]}) == canonical.digest(document)
    assert canonical.digest({"a": [2, 1], "b": "x"}) != canonical.digest(document)


@given(DOCUMENTS)
def test_what_is_written_reads_back_and_writes_the_same(document):
    written = canonical.dumps(document)

    assert canonical.loads(written) == document
    assert canonical.dumps(canonical.loads(written)) == written


@given(DOCUMENTS)
def test_the_quick_way_to_write_spells_everything_as_the_standard_does(document):
    assert canonical.dumps(document) == rfc8785.dumps(document)


@pytest.mark.parametrize(
    "document",
    [
        {
            "b": [{"\u20ac": 1, "\U0001f600": 2, "\ufb33": 3}],
            "a": '\x00\x1f\x7f\u2028"\\/\b\f\n\r\t',
        },
        {"big": 2**53 - 1, "bigger": float(2**53), "yes": True, "none": None, "pair": (1, [])},
        [1.0, -0.0, 1e21, 1e-7],
        "\ud83d\ude02".encode("utf-16", "surrogatepass").decode("utf-16"),
        {},
        [Mode.SYNC, {Mode.SYNC: Mode.SYNC}],
    ],
)
def test_the_quick_way_and_the_standard_agree_at_the_edges(document):
    assert canonical.dumps(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("value", [2**53, -(2**53), {1: 2}, "\ud800", {"\udc00": 1}, {1, 2}, b"a"])
def test_what_has_no_spelling_has_none_by_the_quick_way_either(value):
    with pytest.raises(JsonInvalid):
        canonical.dumps(["plain", value])
