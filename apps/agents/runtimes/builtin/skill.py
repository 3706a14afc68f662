"""What each builtin skill is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.runtimes.base import Annotations, CallContext, Invocation, ToolSpec
from apps.common.errors import Invalid
from apps.common.json import Object

HARMLESS = Annotations(read_only=True, destructive=False, idempotent=True, open_world=False)


def nothing_more(config: Mapping[str, Any]) -> Object:
    """The config of a skill that takes none; raises Invalid for any."""
    if config:
        raise Invalid.of(f"config.{sorted(config)[0]}", "This skill takes no such setting.")
    return {}


@dataclass(frozen=True, slots=True)
class Skill:
    """A name, what the tool says of itself, and the work; whoever calls other agents `waits`.

    The work is long if no limit on what it takes keeps it below a tenth of a second.
    """

    name: str
    spec: Callable[[Object], ToolSpec]
    run: Callable[[Invocation, CallContext], Object]
    check_config: Callable[[Mapping[str, Any]], Object] = nothing_more
    is_long: bool = False
    waits: bool = False


def one_tool(
    name: str, description: str, takes: Object, gives: Object, *, required: list[str]
) -> ToolSpec:
    """A harmless tool with closed schemas; all that it gives is always there."""
    return ToolSpec(
        name=name,
        description=description,
        input_schema=_closed(takes, required),
        output_schema=_closed(gives, sorted(gives)),
        annotations=HARMLESS,
    )


def _closed(properties: Object, required: list[str]) -> Object:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
