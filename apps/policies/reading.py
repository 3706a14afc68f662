"""Who reads what a text made of calls, and what stands in its place for everybody else.

A draft decides nothing, and whoever writes it could have it say what calls hold: in its reasons, in
what it obliges to, in why it failed. So of what drafts say, only the result is for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.common.json import Object
from apps.orgs.principals import Principal
from apps.policies import decisions
from apps.policies.errors import DocumentChanged
from apps.policies.models import Decision

READ: Final = "data.read"
_SAID: Final = ("reasons", "would_reasons")
_MADE: Final = ("obligations", "obligations_were", "obligations_would_be", "flaw")


def may_read(by: Principal) -> bool:
    return by.may(READ)


@dataclass(frozen=True, slots=True)
class Document:
    """What a decision was made of, as far as somebody may read it and it is kept; `is_altered` if
    another one is kept in its place, which is shown to nobody.
    """

    content: Object | None = None
    is_altered: bool = False


def document_of(decision: Decision, by: Principal) -> Document:
    """The document of a decision, as this principal reads it."""
    if not may_read(by):
        return Document()
    try:
        return Document(decisions.find_document(decision))
    except DocumentChanged:
        return Document(is_altered=True)


def told(by: Principal, drafts: Sequence[Object]) -> list[Object]:
    """What drafts would have said, as this principal reads it; `withheld` says what it takes to
    read all of it.
    """
    return list(drafts) if may_read(by) else [_bare(said) for said in drafts]


def _bare(said: Object) -> Object:
    kept = {name: value for name, value in said.items() if name not in _MADE}
    return {**kept, **{name: [] for name in _SAID if name in kept}, "withheld": READ}
