"""What the console's form begins with."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.runtimes.builtin import SKILLS
from apps.common.schemas import compile_schema, find_errors
from apps.runs.prefill import example_input


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_every_builtin_tool_begins_with_an_input_that_it_takes(skill: str) -> None:
    schema = SKILLS[skill].spec({}).input_schema
    assert find_errors(compile_schema(schema), example_input(schema), root="input") == []


STRING: dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {}),
        ({"type": "object", "examples": [{"a": 1}]}, {"a": 1}),
        ({"type": "object", "properties": {"a": STRING, "b": STRING}}, {"a": "", "b": ""}),
        (
            {"type": "object", "properties": {"a": STRING, "b": STRING}, "required": ["b"]},
            {"b": ""},
        ),
        (
            {
                "type": "object",
                "required": ["n", "kind", "when", "deep"],
                "properties": {
                    "n": {"type": ["null", "integer"]},
                    "kind": {"enum": ["x", "y"]},
                    "when": {"const": "now"},
                    "deep": {"type": "object", "properties": {"z": {"type": "boolean"}}},
                    "shown": {"type": "array", "examples": [[1, 2]]},
                    "left": {"type": "number"},
                },
            },
            {"n": 0, "kind": "x", "when": "now", "deep": {"z": False}, "shown": [1, 2]},
        ),
        ({"type": "object", "examples": ["no object"]}, {}),
        (
            {"type": "object", "properties": {"a": True, "b": {"type": "odd"}}},
            {"a": None, "b": None},
        ),
        ({"type": "object", "properties": "broken"}, {}),
    ],
)
def test_an_example_is_made_of_what_the_schema_shows(schema: Any, value: Any) -> None:
    assert example_input(schema) == value
