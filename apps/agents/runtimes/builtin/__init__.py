"""The `builtin` runtime: deterministic skills that need nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from apps.agents.runtimes.base import ANYTHING, CallContext, Invocation, ToolSpec
from apps.agents.runtimes.builtin import calculator, concierge, echo, json_transform, summarizer
from apps.agents.runtimes.builtin.skill import Skill
from apps.common.errors import Invalid
from apps.common.json import Object

SKILLS: Final[Mapping[str, Skill]] = {
    skill.name: skill
    for skill in (
        echo.SKILL,
        calculator.SKILL,
        summarizer.SKILL,
        json_transform.SKILL,
        concierge.SKILL,
    )
}


class BuiltinRuntime:
    """Config: `{"skill"}` and what that skill takes beside it."""

    kind = "builtin"
    signs = False
    offers = ANYTHING

    def check_config(self, config: Mapping[str, Any]) -> Object:
        name = config.get("skill")
        if not isinstance(name, str) or name not in SKILLS:
            raise Invalid.of("config.skill", f"Use one of: {', '.join(sorted(SKILLS))}.")
        rest = {key: value for key, value in config.items() if key != "skill"}
        return {"skill": name, **SKILLS[name].check_config(rest)}

    def waits(self, config: Object) -> bool:
        return SKILLS[config["skill"]].waits

    def tools(self, config: Object) -> list[ToolSpec]:
        return [SKILLS[config["skill"]].spec(config)]

    def is_long(self, config: Object) -> bool:
        return SKILLS[config["skill"]].is_long

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        return SKILLS[invocation.config["skill"]].run(invocation, ctx)


RUNTIME: Final = BuiltinRuntime()
