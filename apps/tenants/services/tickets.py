"""The way from the apex to an org's host: a ticket, once, within a minute.

A cookie for `localhost` never reaches `acme.localhost`, so a signed-in member carries a random
token there in the URL. It is worthless without the nonce cookie of the browser that asked for it,
on any other host, a second time, or after a minute.

To a host that the org brought it takes no proof along: who decides over the name decides who
answers there, and must not come by what hands the org out (proofs.py).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.tenants.impersonation import Impersonation
from apps.tenants.models import Session, Ticket
from apps.tenants.sessions import MFA_AT, PROVED_AT

LIFETIME: Final = timedelta(seconds=60)
HASH_BYTES: Final = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Entry:
    """What a used ticket opens: a session for this user, under this parent, with what it proved."""

    user_id: UUID
    parent_key: str
    via: str
    proofs: Mapping[str, str]
    impersonation: Impersonation | None


def hashed(token: str) -> bytes:
    """What is stored of a token that is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()


def parse_nonce_hash(text: str) -> bytes | None:
    """The hash of a browser's nonce as it stands in an address; None if it can't be one."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == HASH_BYTES else None


def issue_ticket(
    *,
    org_id: UUID,
    user_id: UUID,
    parent_key: str,
    nonce_hash: bytes,
    host: str = "",
    at: datetime,
    impersonation: Impersonation | None = None,
) -> str:
    """A token for a member who is signed in on the apex, or for an operator who looks as one;
    `host` is one that the org brought.
    """
    token = secrets.token_urlsafe(32)
    Ticket.objects.filter(expires_at__lt=at - LIFETIME).delete()
    Ticket.objects.create(
        token_hash=hashed(token),
        nonce_hash=nonce_hash,
        host=host,
        org_id=org_id,
        user_id=user_id,
        parent_id=parent_key,
        expires_at=at + LIFETIME,
        impersonation=impersonation.as_json() if impersonation else None,
    )
    return token


def use_ticket(
    *, token: str, nonce: str, org_id: UUID, host: str = "", at: datetime
) -> Entry | None:
    """Consume a ticket in one UPDATE; None if it isn't good for this org, host and browser.

    It opens one's own session, or a look as somebody else: never a mixture of the two. What an
    operator has proved is not proved by the member. A browser without a nonce has asked for no
    ticket: whoever sends it one, made for the hash of nothing, wants it to work as somebody else.
    """
    if not nonce:
        return None
    used = Ticket.objects.filter(
        token_hash=hashed(token),
        nonce_hash=hashed(nonce),
        org_id=org_id,
        host=host,
        used_at=None,
        expires_at__gt=at,
        parent__expire_date__gt=at,
        user__is_active=True,
    ).update(used_at=at)
    if not used:
        return None
    ticket = Ticket.objects.select_related("parent").get(token_hash=hashed(token))
    parent: Session = ticket.parent
    if ticket.impersonation is not None:
        look = Impersonation.from_json(ticket.impersonation)
        is_whole = look.operator_id == parent.user_id and look.until > at
        via = "impersonation"
        return Entry(ticket.user_id, parent.session_key, via, {}, look) if is_whole else None
    if ticket.user_id != parent.user_id:
        return None
    noted = {} if host else parent.get_decoded()
    proofs = {key: noted[key] for key in (MFA_AT, PROVED_AT) if key in noted}
    return Entry(ticket.user_id, parent.session_key, parent.via, proofs, None)
