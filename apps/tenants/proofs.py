"""Proof that the person before the browser is still the one who signed in: step-up.

Proofs are given on the apex only: a password, a passkey, a code. Its session notes when the last
of any kind, and the last second factor, was given; a ticket carries both to an org's host. There,
what could hand the org to somebody else asks that the last one is fresh. Who has a second factor
has to give it: for them a password alone proves nothing.

A form that is refused for its sake is kept in the session of the org's host, survives the way over
the apex, and is offered again at `/confirm/`. A page of the apex asks for a
proof itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode

from apps.common.errors import PermissionDenied
from apps.tenants import factors
from apps.tenants.access import user_id_of
from apps.tenants.errors import ProofNeeded
from apps.tenants.models import User
from apps.tenants.sessions import MFA_AT, PROVED_AT, VIA

KEPT: Final = "_mandate_kept"
NOT_KEPT: Final = frozenset({"csrfmiddlewaretoken"})
NOT_SHOWN: Final = frozenset({"version"})
"""What a form holds that nobody filled in."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A form that waits for a proof: what it does, where it goes, what was filled in."""

    act: str
    path: str
    fields: list[tuple[str, list[str]]]

    @property
    def shown(self) -> list[tuple[str, list[str]]]:
        """What was filled in, under names that can be read."""
        filled = [field for field in self.fields if field[0] not in NOT_SHOWN]
        return [(name.replace("_", " ").capitalize(), values) for name, values in filled]


def remember(request: HttpRequest, user: User) -> None:
    """Note in the apex's session when this user last proved who they are, from allauth's records.

    What another user of the same browser may have proved before is forgotten.
    """
    records = get_authentication_records(request, user)
    _note(request.session, PROVED_AT, records)
    _note(request.session, MFA_AT, [record for record in records if record["method"] == "mfa"])
    if any(record.get("passwordless") for record in records):
        request.session[VIA] = "passkey"


def is_fresh(session: SessionBase, *, user_id: UUID, at: datetime) -> bool:
    """Whether the strongest proof that this user can give was given within STEP_UP_SECONDS."""
    noted = session.get(MFA_AT if factors.has_second_factor(user_id) else PROVED_AT)
    window = timedelta(seconds=settings.STEP_UP_SECONDS)
    return noted is not None and at - datetime.fromisoformat(noted) < window


def require(request: HttpRequest, act: str, *, at: datetime) -> None:
    """Let a POST on an org's host go on only with a fresh proof; `act` is what its button says.

    Raises ProofNeeded, which keeps the form and leads to `/confirm/`.
    """
    if not is_fresh(request.session, user_id=user_id_of(request), at=at):
        raise ProofNeeded(act)
    request.session.pop(KEPT, None)


def ask(request: HttpRequest) -> HttpResponse:
    """Have the person before the apex prove who they are, and come back to this very page.

    Raises PermissionDenied for who has no way to prove it but to sign in anew.
    """
    ways = get_adapter().get_reauthentication_methods(request.user)
    if not ways:
        raise PermissionDenied("Sign out and sign in again, then send the form again.")
    query = urlencode({"next": request.get_full_path()})
    return HttpResponseRedirect(f"{ways[0]['url']}?{query}")


def keep_form(request: HttpRequest, act: str) -> None:
    """Keep the form that was sent until a proof is given; it takes the place of one before."""
    fields = [[name, values] for name, values in request.POST.lists() if name not in NOT_KEPT]
    request.session[KEPT] = {"act": act, "path": request.get_full_path(), "fields": fields}


def kept_form(session: SessionBase) -> Kept | None:
    """The form that waits, if there is one."""
    found = session.get(KEPT)
    if found is None:
        return None
    fields = [(name, values) for name, values in found["fields"]]
    return Kept(found["act"], found["path"], fields)


def kept_for(session: SessionBase, user_id: UUID) -> Mapping[str, Any]:
    """What of a session goes over into the next one of the same user on this host."""
    is_theirs = session.get(SESSION_KEY) == str(user_id)
    return {KEPT: session[KEPT]} if is_theirs and KEPT in session else {}


def _note(session: SessionBase, key: str, records: Iterable[Mapping[str, Any]]) -> None:
    last = max((record["at"] for record in records), default=None)
    if last is None:
        session.pop(key, None)
    else:
        session[key] = datetime.fromtimestamp(last, tz=UTC).isoformat()
