"""Reshapes JSON by a JMESPath expression: the agent's own, or one that comes with the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from apps.agents.runtimes.base import CallContext, Invocation, ToolSpec, WorkFailed
from apps.agents.runtimes.builtin.skill import Skill, nothing_more, one_tool
from apps.common.errors import Invalid
from apps.common.json import Object

EXPRESSION_MAX: Final = 2000
_DATA: Final = {"description": "The JSON to reshape.", "examples": [{"a": [1, 2]}]}
_EXPRESSION: Final = {
    "type": "string",
    "description": "What to make of it, in JMESPath.",
    "minLength": 1,
    "maxLength": EXPRESSION_MAX,
    "examples": ["a[0]"],
}
_RESULT: Final[Object] = {"result": {"description": "What the expression gives."}}


def spec(config: Object) -> ToolSpec:
    """With an expression in its config the tool takes data alone."""
    if "expression" in config:
        text = f"Reshapes JSON data by the expression {config['expression'][:200]}"
        return one_tool("json-transform", text, {"data": _DATA}, _RESULT, required=["data"])
    return one_tool(
        "json-transform",
        "Reshapes JSON data by a JMESPath expression.",
        {"data": _DATA, "expression": _EXPRESSION},
        _RESULT,
        required=["data", "expression"],
    )


def check_config(config: Mapping[str, Any]) -> Object:
    """An expression, or none; raises Invalid for one that can't be read."""
    nothing_more({key: value for key, value in config.items() if key != "expression"})
    if "expression" not in config:
        return {}
    text = config["expression"]
    if not isinstance(text, str) or not 1 <= len(text) <= EXPRESSION_MAX:
        raise Invalid.of("config.expression", f"Use 1 to {EXPRESSION_MAX} characters.")
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise Invalid.of("config.expression", _told(error)) from error
    return {"expression": text}


def run(invocation: Invocation, ctx: CallContext) -> Object:
    expression = invocation.config.get("expression") or invocation.input["expression"]
    try:
        result = jmespath.search(expression, invocation.input["data"])
    except (JMESPathError, RecursionError) as error:
        raise WorkFailed("expression_failed", _told(error)) from error
    return {"result": result}


def _told(error: Exception) -> str:
    """The library's own words, which name the column."""
    return f"The expression does not work: {str(error).splitlines()[0][:300]}"


SKILL: Final = Skill("json-transform", spec, run, check_config)
