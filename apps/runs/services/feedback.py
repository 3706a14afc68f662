"""What people and programs think of a run: one opinion each, which they may change or take back.

The row has the present opinion only, and none once it was taken back; so the audit log has who
changed what. It has no comment, for what is taken back is to be gone.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.selectors import AGENT
from apps.runs import selectors
from apps.runs.errors import RUN, OwnWork
from apps.runs.models import Feedback
from apps.trust.services import record_event


def give_feedback(
    *, run_id: UUID, rating: str, comment: str, actor: Actor, at: datetime
) -> Feedback:
    """Keep what the actor thinks of a run, in the place of what they thought before.

    Raises NotFound, and OwnWork for the agent whose run it is.
    """
    run = selectors.get_run(run_id)
    if actor.type is ActorType.AGENT and actor.id == public_id(AGENT, run.agent_id):
        raise OwnWork("This run is the agent’s own work. Others say what they think of it.")
    said = {"rating": rating, "comment": comment, "by_label": actor.label, "updated_at": at}
    who = {"by_type": actor.type.value, "by_id": actor.id, "created_at": at}
    with transaction.atomic():
        old = _own(run.id, actor).select_for_update().first()
        feedback, _ = Feedback.objects.update_or_create(
            run_id=run.id,
            principal=actor.principal,
            defaults=said,
            create_defaults={**said, **who},
        )
        _record(run.id, old, feedback, actor, at)
    return feedback


def take_feedback_back(*, run_id: UUID, actor: Actor, at: datetime) -> None:
    """Delete the actor's own; raises NotFound if there is none."""
    with transaction.atomic():
        own = _own(selectors.get_run(run_id).id, actor).select_for_update().first()
        if own is None:
            raise NotFound("You have given no feedback on this run.")
        own.delete()
        _record(run_id, own, None, actor, at)


def _own(run_id: UUID, actor: Actor) -> QuerySet[Feedback]:
    return selectors.list_feedback(run_id).filter(principal=actor.principal)


def _record(
    run_id: UUID, old: Feedback | None, new: Feedback | None, actor: Actor, at: datetime
) -> None:
    """Put a change of opinion on record; saying the same again is none."""
    if old and new and (old.rating, old.comment) == (new.rating, new.comment):
        return
    record_event(
        actor=actor,
        action=f"runs.feedback.{'taken_back' if new is None else 'changed' if old else 'given'}",
        subject_type="run",
        subject_id=public_id(RUN, run_id),
        old=_facts(old) if old else None,
        new=_facts(new) if new else None,
        at=at,
    )


def _facts(feedback: Feedback) -> Object:
    return {"rating": feedback.rating, "has_comment": bool(feedback.comment)}
