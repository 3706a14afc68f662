"""What an `llm` agent's config may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.agents.runtimes.conversation import FIELD, check_conversation
from apps.agents.runtimes.llm.endpoints import check_callable
from apps.agents.runtimes.llm.own import check_tools
from apps.common.errors import Invalid
from apps.common.json import Object

INSTRUCTIONS_MAX: Final = 20_000
REQUESTS: Final = 10
TOOL_CALLS: Final = 50
_FIELDS: Final = frozenset(
    (
        *("provider", "model", "instructions", "parameters", "limits", "fallback", "tools"),
        *("buffered", "redact", FIELD),
    )
)
_FALLBACK: Final = frozenset(("provider", "model"))
# name → (its kind, the least, the most)
_PARAMETERS: Final[dict[str, tuple[type, float, float]]] = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "max_tokens": (int, 1, 1_000_000),
    "seed": (int, 0, 2**31 - 1),
}
_LIMITS: Final[dict[str, tuple[type, float, float]]] = {
    "requests": (int, 1, 100),
    "tool_calls": (int, 0, 500),
    "tokens": (int, 1, 10**9),
    "cost_micros": (int, 1, 10**12),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use; None is no limit but the run's time and budget."""

    requests: int
    tool_calls: int
    tokens: int | None
    cost_micros: int | None

    @classmethod
    def of(cls, config: Object) -> Limits:
        said = config.get("limits", {})
        return cls(
            requests=said.get("requests", REQUESTS),
            tool_calls=said.get("tool_calls", TOOL_CALLS),
            tokens=said.get("tokens"),
            cost_micros=said.get("cost_micros"),
        )


def checked(config: Mapping[str, Any]) -> Object:
    """The config as it is kept; raises Invalid. Its models must have a price."""
    _check_names(config, _FIELDS, "config")
    kept: Object = {"provider": _name(config, "config"), "model": _model(config, "config")}
    check_callable(kept["provider"], kept["model"], field="config")
    if instructions := _instructions(config.get("instructions", "")):
        kept["instructions"] = instructions
    for field, rules in (("parameters", _PARAMETERS), ("limits", _LIMITS)):
        if found := _numbers(config.get(field, {}), rules, f"config.{field}"):
            kept[field] = found
    if config.get("fallback"):
        kept["fallback"] = _fallback(config["fallback"])
    kept |= check_conversation(config)
    if tools := check_tools(config.get("tools", [])):
        kept["tools"] = tools
    kept |= {name: True for name in ("buffered", "redact") if _flag(config, name)}
    return kept


def _fallback(said: Any) -> Object:
    if not isinstance(said, dict):
        raise Invalid.of("config.fallback", "Give an object of provider and model.")
    _check_names(said, _FALLBACK, "config.fallback")
    field = "config.fallback"
    kept = {"provider": _name(said, field), "model": _model(said, field)}
    check_callable(kept["provider"], kept["model"], field=field)
    return kept


def _check_names(said: Mapping[str, Any], known: frozenset[str], field: str) -> None:
    if unknown := sorted(set(said) - known):
        raise Invalid.of(f"{field}.{unknown[0]}"[:200], "Unknown field.")


def _name(said: Mapping[str, Any], field: str) -> str:
    name = said.get("provider")
    if not isinstance(name, str) or not name:
        raise Invalid.of(f"{field}.provider", "Name a provider of the organization's.")
    return name


def _model(said: Mapping[str, Any], field: str) -> str:
    model = said.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= 120:
        raise Invalid.of(
            f"{field}.model", "Name a model of the provider's, in 1 to 120 characters."
        )
    return model


def _instructions(said: Any) -> str:
    if not isinstance(said, str) or len(said) > INSTRUCTIONS_MAX:
        raise Invalid.of("config.instructions", f"Use at most {INSTRUCTIONS_MAX} characters.")
    return said.strip()


def _flag(config: Mapping[str, Any], name: str) -> bool:
    said = config.get(name, False)
    if not isinstance(said, bool):
        raise Invalid.of(f"config.{name}", "Say true or false.")
    return said


def _numbers(said: Any, rules: Mapping[str, tuple[type, float, float]], field: str) -> Object:
    """Numbers within their bounds; raises Invalid naming the first that isn't."""
    if not isinstance(said, dict):
        raise Invalid.of(field, "Give an object.")
    _check_names(said, frozenset(rules), field)
    for name, value in said.items():
        kind, least, most = rules[name]
        kinds = (int, float) if kind is float else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            whole = "a whole number" if kind is int else "a number"
            raise Invalid.of(f"{field}.{name}", f"Use {whole} from {least} to {most}.")
    return dict(said)
