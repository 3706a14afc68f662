"""JSON Schemas of strangers: what is one, what it lets pass, and what it may cost."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common import schema_weight
from apps.common.errors import Invalid
from apps.common.schema_weight import MOST, TooHeavy, check_weight
from apps.common.schemas import DIALECT, MAX_SCHEMA_BYTES, check_schema, compile_schema, find_errors

X = {"$ref": "#/$defs/x"}


def schema(**more: Any) -> dict[str, Any]:
    return {"type": "object", **more}


def recursive(x: Any) -> dict[str, Any]:
    """A schema whose member `a` is an `x`, which may speak of itself."""
    return schema(**{"$defs": {"x": x}}, properties={"a": X})


def refused(value: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        check_schema(value, field="input_schema")
    (error,) = caught.value.extra["errors"]
    return error["field"], error["message"]


def errors(schema: dict[str, Any], value: Any, root: str = "input") -> list[tuple[str, str]]:
    found = find_errors(compile_schema(schema), value, root=root)
    return [(error["field"], error["message"]) for error in found]


@pytest.mark.parametrize(
    "good",
    [
        schema(),
        schema(**{"$schema": DIALECT}),
        schema(properties={"a": True, "b": False}, additionalProperties=False),
        schema(properties={"a": {"format": "nobody-knows"}}),
        schema(**{"x-own": {"$ref": "not a schema"}}),
        schema(
            **{"$defs": {"a/b~c %": {"type": "string"}}},
            properties={"a": {"$ref": "#/$defs/a~1b~0c%20%25"}},
        ),
        schema(properties={"children": {"type": "array", "items": {"$ref": "#"}}}),
    ],
)
def test_a_schema_of_an_object_is_taken_as_it_is(good: dict[str, Any]) -> None:
    assert check_schema(good, field="input_schema") is good


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (None, "input_schema"),
        (True, "input_schema"),
        ([], "input_schema"),
        ("{}", "input_schema"),
        ({}, "input_schema.type"),
        ({"type": "array"}, "input_schema.type"),
        ({"type": ["object"]}, "input_schema.type"),
        (schema(**{"$schema": "http://json-schema.org/draft-07/schema#"}), "input_schema.$schema"),
        (schema(properties=[]), "input_schema"),
        (schema(required="a"), "input_schema"),
        (schema(minProperties=-1), "input_schema"),
        (schema(properties={"a": {"type": "text"}}), "input_schema"),
        (schema(properties={"a": {"pattern": "("}}), "input_schema"),
        (schema(maximum=float("inf")), "input_schema"),
        (schema(title="\ud800"), "input_schema"),
    ],
)
def test_what_is_no_schema_of_an_object_is_refused(bad: Any, field: str) -> None:
    assert refused(bad)[0] == field


@pytest.mark.parametrize(
    "ref",
    [
        "http://127.0.0.1:1/schema",
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "other.json",
        "#/$defs/nothing",
        "#anchor",
    ],
)
def test_no_schema_reaches_beyond_itself(ref: str) -> None:
    assert refused(schema(properties={"a": {"$ref": ref}}))[0] == "input_schema"


@pytest.mark.parametrize("pattern", ["(?=a)b", "(a)\\1", "a{1000}{1000}{1000}"])
def test_a_pattern_that_cannot_run_in_linear_time_is_refused(pattern: str) -> None:
    assert refused(schema(properties={"a": {"pattern": pattern}}))[0] == "input_schema"


def test_a_pattern_that_would_blow_up_elsewhere_is_matched() -> None:
    hostile = schema(properties={"a": {"pattern": "^(a+)+$"}})
    assert errors(check_schema(hostile, field=""), {"a": "a" * 100_000}) == []
    assert [f for f, _ in errors(hostile, {"a": "a" * 100_000 + "!"})] == ["input.a"]


def test_a_schema_has_an_upper_size_and_depth() -> None:
    room = MAX_SCHEMA_BYTES - len('{"type": "object", "title": ""}')
    check_schema(schema(title="ü" * room), field="")
    assert "characters" in refused(schema(title="ü" * (room + 1)))[1]

    for depth in (500, 5_000):
        deep = inner = schema()
        for _ in range(depth):
            inner["properties"] = {"a": {}}
            inner = inner["properties"]["a"]
        assert refused(deep)[0] == "input_schema"


def test_errors_name_the_field_that_is_wrong() -> None:
    strict = schema(
        properties={
            "order": {"type": "string", "maxLength": 3},
            "lines": {"type": "array", "items": schema(required=["sku"])},
            "mail": {"format": "email"},
        },
        required=["order"],
        additionalProperties=False,
    )
    assert errors(strict, {"order": "A-1", "lines": [{"sku": 1}], "mail": "a@b.example"}) == []
    assert errors(strict, {}) == [("input.order", "This field is required.")]
    assert errors(strict, {"order": "A", "x": 1, "y": 2}) == [
        ("input.x", "Unknown field."),
        ("input.y", "Unknown field."),
    ]
    assert errors(strict, {"order": "A", "lines": [{"sku": 1}, {}]}) == [
        ("input.lines.1.sku", "This field is required.")
    ]
    wrong = errors(strict, {"order": 5, "mail": "no"})
    assert sorted(field for field, _ in wrong) == ["input.mail", "input.order"]
    assert [f for f, _ in errors(strict, [])] == ["input"]
    assert errors(schema(required=["a"]), {}, root="") == [("a", "This field is required.")]


def test_no_error_repeats_the_value() -> None:
    for value in ("a-secret-of-somebody", {"deep": ["a-secret-of-somebody"]}):
        found = errors(schema(properties={"a": {"type": "integer"}}), {"a": value})
        assert found
        assert "somebody" not in str(found)


def test_only_so_many_errors_are_told() -> None:
    many = schema(additionalProperties={"type": "integer"})
    assert len(errors(many, {f"n{n}": "x" for n in range(500)})) == 20


@pytest.mark.parametrize(
    "x",
    [
        {"properties": {"left": X, "right": X}},
        {"properties": {"left": X}, "additionalProperties": X},
        {"anyOf": [{"type": "string"}, {"items": X}, {"additionalProperties": X}]},
        {"prefixItems": [{"type": "string"}, X, X], "items": X},
        {"oneOf": [{"type": "integer"}, {"properties": {"not": {"not": {"not": X}}}}]},
        {"if": {"required": ["next"]}, "then": {"properties": {"next": X}}},
        {"dependentSchemas": {"a": {"properties": {"a": X}}}},
    ],
)
def test_recursion_that_goes_one_way_into_each_member_is_taken(x: Any) -> None:
    check_weight(recursive(x))


@pytest.mark.parametrize(
    "x",
    [
        {"allOf": [{"properties": {"a": X}}, {"properties": {"a": X}}]},
        {"oneOf": [{"properties": {"a": X}}, {"properties": {"b": {}, "a": X}}]},
        {"properties": {"a": X}, "patternProperties": {"a": X}},
        {"properties": {"a": {"anyOf": [X, X]}}},
        {"properties": {"a": X}, "allOf": [{"additionalProperties": X}]},
        {"items": X, "contains": X},
        {"items": X, "allOf": [{"prefixItems": [X]}]},
        {"not": {"items": X}, "unevaluatedItems": X},
        {"properties": {"a": X}, "if": {"properties": {"a": X}}},
        {"additionalProperties": X, "dependentSchemas": {"a": {"additionalProperties": X}}},
        {"additionalProperties": X, "else": {"unevaluatedProperties": X}},
    ],
)
def test_recursion_that_goes_two_ways_into_one_member_is_refused(x: Any) -> None:
    """Each level of the value would double the work: 64 levels, 2^64 checks."""
    with pytest.raises(TooHeavy, match=f"more than {MOST} times"):
        check_weight(recursive(x))
    assert refused(recursive(x))[0] == "input_schema"


def doubling(levels: int) -> dict[str, Any]:
    """Definitions of which each has the next twice."""
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)
    }
    return schema(**{"$defs": {**defs, f"d{levels}": {}}}, properties={"a": {"$ref": "#/$defs/d0"}})


def test_references_that_double_are_refused_once_they_are_too_many() -> None:
    check_weight(doubling(4))
    for levels in (8, 60, 400):
        with pytest.raises(TooHeavy):
            check_weight(doubling(levels))


@pytest.mark.parametrize(
    "x", [X, {"allOf": [X]}, {"not": {"anyOf": [{}, X]}}, {"if": X}, {"dependentSchemas": {"k": X}}]
)
def test_a_part_that_is_nothing_but_itself_is_refused(x: Any) -> None:
    with pytest.raises(TooHeavy, match="refers to itself"):
        check_weight(recursive(x))


@pytest.mark.parametrize(
    "x",
    [
        {"$dynamicRef": "#x"},
        {"$id": "https://a.example/x", "properties": {"a": {"$ref": "#"}}},
        {"$ref": "#x"},
        {"$ref": "https://a.example/x"},
    ],
)
def test_a_part_that_is_found_in_another_way_than_by_a_pointer_is_refused(x: Any) -> None:
    with pytest.raises(TooHeavy):
        check_weight(recursive(x))


def test_alternatives_may_be_many_and_no_more() -> None:
    def union(count: int) -> dict[str, Any]:
        kinds = [schema(properties={"kind": {"const": n}}) for n in range(count)]
        return schema(properties={"a": {"oneOf": kinds}})

    check_weight(union(MOST - 1))
    with pytest.raises(TooHeavy):
        check_weight(union(MOST))


def test_the_walk_itself_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = schema(properties={f"p{n}": {} for n in range(1000)})
    check_weight(wide)
    monkeypatch.setattr(schema_weight, "_STEPS", 1000)
    with pytest.raises(TooHeavy, match="too many ways"):
        check_weight(wide)


@pytest.mark.parametrize(
    "odd",
    [
        schema(allOf={"x": {}}),
        schema(allOf=5),
        schema(properties=["a"]),
        schema(**{"$ref": "#/nothing/here"}),
        schema(**{"$ref": "#/allOf/x"}, allOf=[{}]),
        schema(**{"$ref": 5}),
    ],
)
def test_what_cannot_be_followed_is_refused_and_not_fallen_over(odd: Any) -> None:
    with pytest.raises(TooHeavy):
        check_weight(odd)
