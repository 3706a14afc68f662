"""Reshapes JSON by a JMESPath expression: the agent's own, or one that comes with the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from apps.agents.runtimes.base import CallContext, Invocation, ToolSpec, WorkFailed
from apps.agents.runtimes.builtin.skill import Skill, nothing_more, one_tool
from apps.common.errors import Invalid
from apps.common.json import Object
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid

EXPRESSION_MAX: Final = 2000
EFFORT_MAX: Final = 1_000_000
SIZE_MAX: Final = 200_000
"""How many values a result may have, and every value on the way to it; 16 characters are one."""
_DATA: Final = {"description": "The JSON to reshape.", "examples": [{"a": [1, 2]}]}
_EXPRESSION: Final = {
    "type": "string",
    "description": "What to make of it, in JMESPath.",
    "minLength": 1,
    "maxLength": EXPRESSION_MAX,
    "examples": ["a[0]"],
}
_RESULT: Final[Object] = {"result": {"description": "What the expression gives."}}
# What the library lets through beside its own: values that don't compare, a slice by zero, depth.
_FAILURES: Final = (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError)


class _TooMuch(Exception):
    """The expression makes more of its data than anybody should wait for."""


class _Bounded(TreeInterpreter):  # type: ignore[misc]
    """Evaluates with a limit: `[@, @] | [@, @] | …` doubles its value with every step.

    A value that occurs twice is held once and counted twice, for whoever writes it out writes it
    twice. `_sizes` keeps what it has counted alive, so that no id is used anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left = EFFORT_MAX
        self._sizes: dict[int, tuple[Any, int]] = {}

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        found = super().visit(node, *args, **kwargs)
        if self._size(found) > SIZE_MAX:
            raise _TooMuch
        return found

    def _size(self, value: Any) -> int:
        if isinstance(value, str):
            return 1 + len(value) // 16
        if not isinstance(value, (list, dict)):
            return 1
        known = self._sizes.get(id(value))
        if known is None:
            self._spend(len(value))
            inside = value.values() if isinstance(value, dict) else value
            known = (value, 1 + sum(self._size(part) for part in inside))
            self._sizes[id(value)] = known
        return known[1]

    def _spend(self, effort: int) -> None:
        self._left -= effort
        if self._left < 0:
            raise _TooMuch


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
    except (JMESPathError, *_FAILURES) as error:
        raise Invalid.of("config.expression", _told(error)) from error
    return {"expression": text}


def run(invocation: Invocation, ctx: CallContext) -> Object:
    expression = invocation.config.get("expression") or invocation.input["expression"]
    return {"result": transform(expression, invocation.input["data"])}


def transform(expression: str, data: Any) -> Any:
    """What the expression makes of the data, always JSON; raises WorkFailed."""
    try:
        result = _Bounded().visit(jmespath.compile(expression).parsed, data)
    except _TooMuch as error:
        raise WorkFailed("result_too_big", "The expression makes too much of the data.") from error
    except (JMESPathError, *_FAILURES) as error:
        raise WorkFailed("expression_failed", _told(error)) from error
    try:
        dumps({"result": result})
    except (JsonInvalid, TypeError) as error:
        raise WorkFailed(
            "result_invalid", "The expression gives a value that JSON does not have."
        ) from error
    return result


def _told(error: Exception) -> str:
    """The library's own words, with the column where it knows one."""
    if isinstance(error, RecursionError):
        return "The expression does not work: it is nested too deeply."
    text = str(error).splitlines()[0][:300].rstrip(":")
    column = getattr(error, "lex_position", None)
    place = f" at column {column}" if column is not None and "column" not in text else ""
    return f"The expression does not work: {text}{place}"


SKILL: Final = Skill("json-transform", spec, run, check_config, is_long=True)
