"""Whom approvals are about: higher apps register their kinds of subjects here.

This app knows a subject by its type and id. What to call it, where its page is and what follows
from a decision, its own app says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from apps.approvals.errors import ApprovalMisuse
from apps.common.ids import public_id

if TYPE_CHECKING:
    from apps.approvals.models import Approval


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of thing that may need approval.

    `url_of` gives the path of the page of one, by its id, which goes by `prefix` in public
    (`run_…`). `on_decided` runs in a job after the
    commit that approved, rejected, expired or cancelled a request; it must be idempotent, for it
    is repeated until it has returned once. An approval that nobody used in time comes twice: as
    approved, and as expired.
    """

    label: str
    url_of: Callable[[UUID], str]
    on_decided: Callable[[Approval], None]
    prefix: str = ""

    def public_id(self, subject_id: UUID) -> str:
        return public_id(self.prefix, subject_id) if self.prefix else str(subject_id)


_subjects: dict[str, Subject] = {}


def register(subject_type: str, subject: Subject) -> None:
    """Let things of this type be asked approval for."""
    _subjects[subject_type] = subject


def get_subject(subject_type: str) -> Subject:
    """Raises ApprovalMisuse for a type that no app has registered."""
    try:
        return _subjects[subject_type]
    except KeyError as error:
        raise ApprovalMisuse(f"no app has registered {subject_type!r}") from error


def find_subject(subject_type: str) -> Subject | None:
    return _subjects.get(subject_type)


def list_subjects() -> list[tuple[str, str]]:
    """Every type with its label, in the order of the labels."""
    return sorted(((t, s.label) for t, s in _subjects.items()), key=lambda pair: pair[1])
