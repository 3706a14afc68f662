"""Every skill does what it promises, for every config that it takes."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.runtimes.base import Invocation, WorkFailed
from apps.agents.runtimes.builtin import RUNTIME, SKILLS
from apps.common.errors import Invalid
from apps.common.ids import uuid7
from apps.common.schemas import check_schema, compile_schema


def run(config: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
    checked = RUNTIME.check_config(config)
    (spec,) = RUNTIME.tools(checked)
    assert compile_schema(spec.input_schema).is_valid(input)
    invocation = Invocation(uuid7(), 1, uuid7(), "agent", spec.name, input, checked)
    output = RUNTIME.run(invocation, None)  # type: ignore[arg-type]
    assert compile_schema(spec.output_schema).is_valid(output)
    return output


@pytest.mark.parametrize(
    ("config", "input", "output"),
    [
        ({"skill": "echo"}, {"text": "hé"}, {"text": "hé"}),
        ({"skill": "calculator"}, {"expression": "6*7"}, {"value": 42}),
        ({"skill": "summarizer"}, {"text": "One. Two."}, {"summary": "One. Two."}),
        (
            {"skill": "json-transform"},
            {"data": {"a": [{"b": 1}, {"b": 2}]}, "expression": "a[*].b"},
            {"result": [1, 2]},
        ),
        ({"skill": "json-transform", "expression": "a"}, {"data": {"a": 5}}, {"result": 5}),
    ],
)
def test_skills_keep_their_promise(config: Any, input: Any, output: Any) -> None:
    assert run(config, input) == output


@pytest.mark.parametrize("name", SKILLS)
def test_every_skill_describes_itself(name: str) -> None:
    (spec,) = RUNTIME.tools({"skill": name})
    assert spec.name == name and len(spec.description) > 10
    check_schema(spec.input_schema, field="input")
    check_schema(spec.output_schema, field="output")
    assert spec.annotations.read_only and not spec.annotations.destructive


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config.skill"),
        ({"skill": "none"}, "config.skill"),
        ({"skill": 3}, "config.skill"),
        ({"skill": "echo", "more": 1}, "config.more"),
        ({"skill": "json-transform", "expression": "a["}, "config.expression"),
        ({"skill": "json-transform", "expression": 3}, "config.expression"),
    ],
)
def test_a_config_that_will_not_do_is_told(config: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        RUNTIME.check_config(config)
    assert list(refused.value.by_field) == [field]


def test_an_expression_that_does_not_work_is_told() -> None:
    with pytest.raises(WorkFailed) as failed:
        run({"skill": "json-transform"}, {"data": 1, "expression": "a["})
    assert failed.value.code == "expression_failed"


@pytest.mark.parametrize("text", ["[" * 1900, "(" * 1900, "!" * 1900 + "a"])
def test_an_expression_nested_too_deeply_is_refused_at_both_doors(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        RUNTIME.check_config({"skill": "json-transform", "expression": text})
    assert list(refused.value.by_field) == ["config.expression"]
    with pytest.raises(WorkFailed, match="nested too deeply"):
        run({"skill": "json-transform"}, {"data": 1, "expression": text})


@pytest.mark.parametrize(
    ("expression", "data", "code"),
    [
        ("&a", {}, "result_invalid"),
        ("to_number('nan')", 1, "result_invalid"),
        ("sum(@)", [1e308, 1e308], "result_invalid"),
        ("sum(@)", [2**53 - 1, 1], "result_invalid"),
        ("a < 'x'", {"a": 1}, "expression_failed"),
        ("a[::0]", {"a": [1]}, "expression_failed"),
        ("max_by(@, &a)", [{"a": 1}, {"a": "x"}], "expression_failed"),
        ("foo(@)", 1, "expression_failed"),
        ("|".join(["[@,@]"] * 40), 1, "result_too_big"),
        ("|".join(["[@,@]|[]"] * 40), 1, "result_too_big"),
        ("|".join(["[@,@]"] * 60) + "|to_string(@)", 1, "result_too_big"),
        ("|".join(["join('',[@,@])"] * 40), "x", "result_too_big"),
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_refused(
    expression: str, data: Any, code: str
) -> None:
    with pytest.raises(WorkFailed) as failed:
        run({"skill": "json-transform"}, {"data": data, "expression": expression})
    assert failed.value.code == code


def test_as_much_as_anybody_needs_is_not_too_much() -> None:
    rows = [{"id": n, "tags": ["a", "b"]} for n in range(10_000)]
    output = run({"skill": "json-transform"}, {"data": rows, "expression": "[?id >= `5`].tags[]"})
    assert output == {"result": ["a", "b"] * 9_995}
