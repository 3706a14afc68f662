"""What happens on the apex is on record in the log of the built-in org `system`.

The log itself is a higher app's (`trust`), which registers the writer; this one only says what
happened, in the transaction in which it happens: what can't be recorded doesn't happen. What
concerns one org in particular is on record in that org's own log too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id

if TYPE_CHECKING:
    from apps.tenants.models import User
    from apps.tenants.selectors import OrgRef


class Writer(Protocol):
    """Puts one event into the log of `system`, and into that of the org `also_in`."""

    def __call__(
        self,
        *,
        actor: Actor,
        action: str,
        subject_type: str,
        subject_id: str,
        at: datetime,
        new: Mapping[str, str] | None,
        also_in: OrgRef | None,
    ) -> None: ...


_writers: list[Writer] = []


def written_by(writer: Writer) -> Writer:
    """Have apex events written by `writer`; called once, when its app is ready."""
    _writers[:] = [writer]
    return writer


def actor_of(user: User) -> Actor:
    """A person as the log of the apex names them."""
    return Actor(ActorType.USER, public_id("usr", user.pk), user.email)


def record(
    *,
    actor: Actor,
    action: str,
    subject_type: str,
    subject_id: str,
    at: datetime,
    new: Mapping[str, str] | None = None,
    also_in: OrgRef | None = None,
) -> None:
    """Put an event of the apex on record; `action` is `app.noun.verb`, a past fact."""
    for writer in _writers:
        writer(
            actor=actor,
            action=action,
            subject_type=subject_type,
            subject_id=subject_id,
            at=at,
            new=new,
            also_in=also_in,
        )
