"""What an operator may do in an org: a few services of its own, which put it on its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.agents.services.agents import kill_agent
from apps.common.actors import Actor
from apps.common.errors import DomainError
from apps.orgs.services.invitations import expire_invitation, resend_for
from apps.runs.services.control import cancel_run
from apps.trust.services import rotate_signing_key
from apps.workspace.operators.base import operator

Action = Callable[[Any, HttpRequest, QuerySet[Any]], None]
NOTE: Final = "Stopped by an operator of Mandate."


def for_each(
    model_admin: Any, request: HttpRequest, rows: QuerySet[Any], do: Callable[[Any, Actor], str]
) -> None:
    """Say of every row what happened to it; one refusal keeps no other waiting."""
    for row in rows:
        try:
            done = do(row, operator(request))
        except DomainError as error:
            model_admin.message_user(request, f"{row}: {error}", messages.ERROR)
        else:
            model_admin.message_user(request, f"{row} {done}.")


@admin.action(description="Kill: suspend, and end all that is under way", permissions=["act"])
def kill(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    def do(row: Any, actor: Actor) -> str:
        _, ended = kill_agent(agent_id=row.pk, note=NOTE, actor=actor, at=timezone.now())
        return f"is suspended; runs that were ended: {ended}"

    for_each(model_admin, request, queryset, do)


@admin.action(description="Cancel", permissions=["act"])
def cancel(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    def do(row: Any, actor: Actor) -> str:
        cancel_run(run_id=row.pk, actor=actor, at=timezone.now())
        return "was cancelled"

    for_each(model_admin, request, queryset, do)


@admin.action(description="Rotate: the next key takes over", permissions=["act"])
def rotate(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    """Of whatever keys are chosen: an org has one that is active."""
    key = rotate_signing_key(actor=operator(request), at=timezone.now())
    model_admin.message_user(request, f"{key.kid} signs from now on.")


@admin.action(description="Send again", permissions=["act"])
def resend(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    def do(row: Any, actor: Actor) -> str:
        resend_for(invitation_id=row.pk, actor=actor, at=timezone.now())
        return "is sent again, with a new link"

    for_each(model_admin, request, queryset, do)


@admin.action(description="Expire now", permissions=["act"])
def expire(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    def do(row: Any, actor: Actor) -> str:
        expire_invitation(invitation_id=row.pk, actor=actor, at=timezone.now())
        return "has expired"

    for_each(model_admin, request, queryset, do)


ACTIONS: Final[Mapping[str, tuple[Action, ...]]] = {
    "agents.Agent": (kill,),
    "orgs.Invitation": (resend, expire),
    "runs.Run": (cancel,),
    "trust.SigningKey": (rotate,),
}


def actions_of(model: type[Model]) -> tuple[Action, ...]:
    return ACTIONS.get(model._meta.label, ())


def acts_at(rest: str) -> bool:
    """Whether the page at this address, below the org's, is a list from which something is done."""
    return rest in {f"{label.lower().replace('.', '/')}/" for label in ACTIONS}
