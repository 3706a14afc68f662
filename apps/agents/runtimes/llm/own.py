"""Tools of an `llm` agent's own: endpoints of the customer's, which its model may have called.

They are called like an `http` agent's endpoint, signed with the calling agent's secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from apps.agents.runtimes.base import Annotations, CallContext, Invocation, ToolSpec, WorkFailed
from apps.agents.runtimes.posting import Endpoint, check_url, post
from apps.agents.schemas import checked_schema
from apps.common.errors import Invalid
from apps.common.json import Object
from apps.common.schemas import compile_schema, find_errors

MOST: Final = 20
DESCRIPTION_MAX: Final = 1000
FINAL: Final = "final_result"
"""The tool by which a model gives an answer that has a schema; no other one has its name."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS: Final = frozenset(("name", "description", "url", "input_schema", "annotations"))
_ANNOTATIONS: Final = frozenset(Annotations.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A tool and the endpoint that does its work."""

    spec: ToolSpec
    endpoint: Endpoint

    def call(self, input: Object, invocation: Invocation, ctx: CallContext) -> Object:
        """What the endpoint gives for an input. Raises WorkFailed, Stopped."""
        schema = compile_schema(self.spec.input_schema)
        if errors := find_errors(schema, input, root="input"):
            told = "; ".join(f"{e['field']}: {e['message']}" for e in errors[:3])
            raise WorkFailed("input_invalid", told)
        asked = replace(
            invocation, tool=self.spec.name, input=input, annotations=self.spec.annotations
        )
        return post(self.endpoint, asked, ctx, name=f"{self.spec.name}: {self.endpoint.shown}")


def own_tools(config: Object) -> dict[str, OwnTool]:
    """The tools that a config names, by their names."""
    return {said["name"]: _tool(said) for said in config.get("tools", ())}


def check_tools(said: Any, *, field: str = "config.tools") -> list[Object]:
    """Tools as they are kept; raises Invalid naming `config.tools.<number>.…`."""
    if not isinstance(said, list) or len(said) > MOST:
        raise Invalid.of(field, f"Give a list of at most {MOST} tools.")
    kept: list[Object] = []
    for number, tool in enumerate(said):
        kept.append(_checked(tool, f"{field}.{number}"))
        if any(one["name"] == kept[-1]["name"] for one in kept[:-1]):
            raise Invalid.of(f"{field}.{number}.name", "Another tool has this name.")
    return kept


def _checked(said: Any, field: str) -> Object:
    if not isinstance(said, dict):
        raise Invalid.of(field, "Give an object of name, description, url and input_schema.")
    if unknown := sorted(set(said) - _FIELDS):
        raise Invalid.of(f"{field}.{unknown[0]}"[:200], "Unknown field.")
    kept = {
        "name": _checked_name(said.get("name"), f"{field}.name"),
        "description": _checked_text(said.get("description"), f"{field}.description"),
        "url": check_url(said.get("url"), field=f"{field}.url"),
        "input_schema": checked_schema(said.get("input_schema"), field=f"{field}.input_schema"),
    }
    annotations = _checked_annotations(said.get("annotations", {}), f"{field}.annotations")
    return {**kept, "annotations": annotations} if annotations else kept


def _checked_name(said: Any, field: str) -> str:
    if not isinstance(said, str) or not _NAME.fullmatch(said):
        raise Invalid.of(field, "Use 1 to 64 letters, digits, and _ -")
    if said == FINAL:
        raise Invalid.of(field, "By this name a model gives its answer; use another.")
    return said


def _checked_text(said: Any, field: str) -> str:
    if not isinstance(said, str) or not 1 <= len(said.strip()) <= DESCRIPTION_MAX:
        told = f"Say what it does, in 1 to {DESCRIPTION_MAX} characters: the model chooses by it."
        raise Invalid.of(field, told)
    return said.strip()


def _checked_annotations(said: Any, field: str) -> dict[str, bool]:
    if not isinstance(said, dict):
        raise Invalid.of(field, "Give an object.")
    for name, value in said.items():
        if name not in _ANNOTATIONS:
            raise Invalid.of(f"{field}.{name}"[:200], "Unknown field.")
        if not isinstance(value, bool):
            raise Invalid.of(f"{field}.{name}", "Say true or false.")
    if said.get("read_only") and said.get("destructive"):
        raise Invalid.of(f"{field}.destructive", "What only reads destroys nothing.")
    return said


def _tool(said: Mapping[str, Any]) -> OwnTool:
    noted = said.get("annotations", {})
    spec = ToolSpec(
        name=said["name"],
        description=said["description"],
        input_schema=said["input_schema"],
        output_schema={"type": "object"},
        annotations=Annotations(**{"destructive": not noted.get("read_only", False), **noted}),
    )
    return OwnTool(spec, Endpoint(said["url"]))
