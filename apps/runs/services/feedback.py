"""What people and programs think of a run: one opinion each, which they may change or take back."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.common.actors import Actor
from apps.common.errors import NotFound
from apps.runs import selectors
from apps.runs.models import Feedback


def give_feedback(
    *, run_id: UUID, rating: str, comment: str, actor: Actor, at: datetime
) -> Feedback:
    """Keep what the actor thinks of a run, in the place of what they thought before.

    The row itself says who and when, and changes nothing of what anybody may do: so it leaves no
    audit event. Raises NotFound.
    """
    run = selectors.get_run(run_id)
    said = {"rating": rating, "comment": comment, "by_label": actor.label, "updated_at": at}
    who = {"by_type": actor.type.value, "by_id": actor.id, "created_at": at}
    feedback, _ = Feedback.objects.update_or_create(
        run_id=run.id,
        principal=actor.principal,
        defaults=said,
        create_defaults={**said, **who},
    )
    return feedback


def take_feedback_back(*, run_id: UUID, actor: Actor) -> None:
    """Delete the actor's own; raises NotFound if there is none."""
    with transaction.atomic():
        own = selectors.list_feedback(selectors.get_run(run_id).id)
        deleted, _ = own.filter(principal=actor.principal).delete()
        if not deleted:
            raise NotFound("You have given no feedback on this run.")
