"""What there is to be told of: each kind is registered by the app that tells it.

The page of preferences lists what stands here, so whatever is told can be turned off, but for the
bell of what everybody has to hear of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of news: `app.noun.verb`, how people read it, and the ways it takes unless a member
    chooses others. `note` says when it comes. What is `always` told rings the bell of everybody
    whom it concerns: nobody turns that off, so nobody has been alerted in vain.
    """

    code: str
    label: str
    note: str
    bell: bool = True
    email: bool = True
    channels: bool = True
    always: bool = False


CHANNEL_PAUSED: Final = Kind(
    "notify.channel.paused",
    "A channel was paused",
    "When notices could not be delivered to a channel too often in a row.",
)
TEST: Final = Kind("notify.test.sent", "Test notices", "When you try whether notices arrive.")
_kinds: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Have these kinds told and listed; from `AppConfig.ready()`. One code has one meaning."""
    for kind in kinds:
        if _kinds.setdefault(kind.code, kind) != kind:
            raise ValueError(f"{kind.code} is registered with another meaning")


def get_kind(code: str) -> Kind:
    """The kind of that code; KeyError for one that no app has registered."""
    return _kinds[code]


def list_kinds() -> list[Kind]:
    """Every kind there is, by code."""
    return [_kinds[code] for code in sorted(_kinds)]


def label_of(code: str) -> str:
    """How a kind is called; one that is told no more keeps its code."""
    kind = _kinds.get(code)
    return kind.label if kind else code
