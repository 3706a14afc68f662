"""An audit event as it is told outside, and the newest signed head."""

from __future__ import annotations

from typing import Any, Final

from apps.trust.models import AuditEvent, Checkpoint

FACTS: Final = ("at", "actor", "action", "subject", "detail")
"""What an event says; null once it was erased."""


def entry_of(event: AuditEvent) -> dict[str, Any]:
    """An event by its columns, with what its hash covers: the offline verifier wants just this."""
    return {
        "seq": event.seq,
        **facts_of(event),
        "prev": bytes(event.prev).hex(),
        "hash": bytes(event.hash).hex(),
        "body": event.body or None,
    }


def facts_of(event: AuditEvent) -> dict[str, Any]:
    """What the columns say, each as `body` spells it.

    The actor's and all other columns of an erased event have to be empty: what they say then
    nothing vouches for, so that it is told and found false.
    """
    actor = event.actor_type + event.actor_id + event.actor_label
    subject = event.subject_type + event.subject_id
    if event.is_erased and not (actor or event.action or subject or event.detail):
        return dict.fromkeys(FACTS)
    said = event.describe()
    return {name: said[name] for name in FACTS}


def newest_checkpoint() -> Checkpoint:
    """The newest signed head; an unsaved one of nothing if there is none yet."""
    return Checkpoint.objects.order_by("-number").first() or before_all()


def before_all() -> Checkpoint:
    """What comes before the first checkpoint."""
    zero = dict.fromkeys(("number", "size_before", "size", "seq_from", "seq_to"), 0)
    return Checkpoint(**zero, xid_from=0, xid_to=0)
