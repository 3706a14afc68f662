"""The session engine: one table for all hosts, and no session outlives its parent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.tenants.models import Session

ORG = "_mandate_org"
PARENT = "_mandate_parent"
VIA = "_mandate_via"
HOST = "_mandate_host"
MFA_AT = "_mandate_mfa_at"
PROVED_AT = "_mandate_proved_at"
IMPERSONATION = "_mandate_impersonation"


class SessionStore(DatabaseStore):
    """Django's database sessions, with the columns that revocation needs beside the data."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row of a session; its columns repeat what the data says."""
        row = cast(Session, super().create_model_instance(data))
        row.org_id = data.get(ORG)
        row.parent_id = data.get(PARENT)
        row.user_id = data.get(SESSION_KEY)
        row.host = data.get(HOST, "")
        row.via = data.get(VIA, "password" if row.user_id else "")
        row.impersonator_id = data.get(IMPERSONATION, {}).get("operator_id")
        row.mfa_at = datetime.fromisoformat(data[MFA_AT]) if data.get(MFA_AT) else None
        return row

    def _get_session_from_db(self) -> Session | None:
        """The row, unless it or the parent it hangs on has ended."""
        row = _alive(self.session_key, timezone.now()).first()
        if row is None:
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> Session | None:
        row = await _alive(self.session_key, timezone.now()).afirst()
        if row is None:
            self._session_key = None
        return row


def is_alive(session_key: str, *, at: datetime) -> bool:
    """Whether a session, and the one that it hangs on, lasts still."""
    return _alive(session_key, at).exists()


def _alive(session_key: str | None, at: datetime) -> QuerySet[Session]:
    with_parent = Q(parent=None) | Q(parent__expire_date__gt=at)
    return Session.objects.filter(with_parent, session_key=session_key, expire_date__gt=at)
