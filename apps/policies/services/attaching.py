"""Where a policy counts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.common.actors import Actor
from apps.common.errors import NotFound
from apps.policies.errors import AttachmentExists
from apps.policies.models import Attachment
from apps.policies.places import Place
from apps.policies.selectors import label_of
from apps.policies.services.changing import count_up, hold_head, open_policy, record


def attach_policy(*, policy_id: UUID, place: Place, actor: Actor, at: datetime) -> Attachment:
    """Have a policy count for every call within a place, from the commit on.

    Raises NotFound, PolicyStateConflict for a retired one, AttachmentExists.
    """
    try:
        with transaction.atomic():
            head, policy = hold_head(), open_policy(policy_id)
            made = Attachment.objects.create(
                policy=policy,
                scope=place.scope,
                project_id=place.project_id,
                agent_id=place.agent_id,
                tool=place.tool,
                created_at=at,
            )
            count_up(head)
            record(policy, "attached", actor, at, new={"name": policy.name, "to": place.label})
    except IntegrityError as error:
        raise AttachmentExists(f"It is attached to {place.label}.") from error
    return made


def detach_policy(*, policy_id: UUID, attachment_id: UUID, actor: Actor, at: datetime) -> None:
    """Have a policy no longer count there, from the commit on.

    Raises NotFound, PolicyStateConflict for a retired one.
    """
    with transaction.atomic():
        head, policy = hold_head(), open_policy(policy_id)
        rows = Attachment.objects.select_related("project", "agent")
        found = rows.filter(policy=policy, id=attachment_id).first()
        if found is None:
            raise NotFound("It is not attached there.")
        label = label_of(found)
        found.delete()
        count_up(head)
        record(policy, "detached", actor, at, old={"name": policy.name, "from": label})
