"""One policy's document as an opinion: exactly what is expected, or it is unavailable.

The document holds each of the four rules in a list, which is empty where the rule has no value:
`{"allow": [true], "deny": [["…"]], "require_approval": [[]], "obligations": []}`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from apps.common import json
from apps.common.json import Object
from apps.policies.engine.types import Obligations, Opinion, Rate, Result, Text

RULES: Final = ("allow", "deny", "require_approval", "obligations")
_PATH: Final = re.compile(r"(input|output)(\.[^.\s]+)*")
_MOST: Final = 100
"""Reasons, masked paths or rates of one policy."""
_OBLIGATIONS: Final = {"mask", "cap_cost_micros", "limit_rate"}


class UnreadableError(Exception):
    """The document isn't the expected one; says how, for the policy's author, and in which rule."""

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class UndefinedError(UnreadableError):
    """The policy says nothing about this call: another call may be answered."""


def opinion_of(text: Text, document: object) -> Opinion:
    """What the policy says by its document; unavailable, with the flaw, where that is no answer."""
    try:
        return read(text, document)
    except UnreadableError as error:
        return unavailable(text, str(error))


def unavailable(text: Text, flaw: str, *, is_for_now: bool = False) -> Opinion:
    """The opinion of a policy that couldn't be asked, or didn't answer as it must."""
    reason = f"The policy “{text.name}” could not be evaluated."
    kept = json.kept_text(flaw)
    return Opinion(text, "unavailable", (reason,), flaw=kept, is_for_now=is_for_now)


def read(text: Text, document: object) -> Opinion:
    """What the policy says by its document; raises UnreadableError where that is no answer."""
    if not isinstance(document, dict) or set(document) != set(RULES):
        raise UnreadableError("The engine gave no document.")
    if flaw := json.find_flaw(document, root=""):
        raise UnreadableError(f"Its answer can't be kept: {flaw['message']}")
    allow, deny = _allow(document), _reasons(document, "deny")
    approval, obligations = _reasons(document, "require_approval"), _obligations(document)
    if not allow and not deny:
        deny = (f"The policy “{text.name}” doesn't allow this.",)
    result: Result = "deny" if deny else "require_approval" if approval else "allow"
    return Opinion(text, result, deny or approval, obligations)


def _value(document: Object, rule: str) -> Any:
    """The rule's value; None if it has none. JSON null isn't one either: no rule may be null."""
    match document[rule]:
        case [value] if value is not None:
            return value
        case []:
            return None
    raise UnreadableError(f"`{rule}` must not be null.", rule)


def _allow(document: Object) -> bool:
    value = _value(document, "allow")
    if value is None:
        raise UndefinedError(
            "`allow` has no value for this call. Write `default allow := false` to deny then.",
            "allow",
        )
    if not isinstance(value, bool):
        raise UnreadableError("`allow` must be true or false.", "allow")
    return value


def _reasons(document: Object, rule: str) -> tuple[str, ...]:
    value = _value(document, rule)
    if not _is_texts(value := [] if value is None else value):
        raise UnreadableError(f"`{rule}` must be a set of reasons: `{rule} contains …`.", rule)
    return tuple(sorted(set(value)))


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) <= _MOST
    return is_list and all(isinstance(item, str) and item for item in value)


def _obligations(document: Object) -> Obligations:
    value = _value(document, "obligations")
    if value is None:
        return Obligations()
    if not isinstance(value, dict) or not set(value) <= _OBLIGATIONS:
        known = ", ".join(f"`{name}`" for name in sorted(_OBLIGATIONS))
        raise _wrong_obligation(f"`obligations` must be an object with no names but {known}.")
    return Obligations(
        mask=_mask(value.get("mask", [])),
        cap_cost_micros=_cap(value["cap_cost_micros"]) if "cap_cost_micros" in value else None,
        rates=_rates(value.get("limit_rate", [])),
    )


def _mask(value: Any) -> tuple[str, ...]:
    if not _is_texts(value) or not all(_PATH.fullmatch(path) for path in value):
        raise _wrong_obligation(
            "`mask` must be a list of paths such as `input.card.number` or `output.email`."
        )
    return tuple(sorted(set(value)))


def _cap(value: Any) -> int:
    if not _is_count(value, least=0):
        raise _wrong_obligation("`cap_cost_micros` must be a whole number of micro-dollars from 0.")
    return int(value)


def _rates(value: Any) -> tuple[Rate, ...]:
    rates = value if isinstance(value, list) else [value]
    if len(rates) > _MOST or not all(_is_rate(rate) for rate in rates):
        raise _wrong_obligation(
            '`limit_rate` must be `{"requests": 10, "seconds": 60}`, or a list of such.'
        )
    return tuple(Rate(rate["requests"], rate["seconds"]) for rate in rates)


def _wrong_obligation(message: str) -> UnreadableError:
    return UnreadableError(message, "obligations")


def _is_rate(value: Any) -> bool:
    is_object = isinstance(value, dict) and set(value) == {"requests", "seconds"}
    return is_object and all(_is_count(number, least=1) for number in value.values())


def _is_count(value: Any, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
