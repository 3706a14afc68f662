"""The apex's index of hashes: which org an API key or an invitation's link belongs to."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from apps.tenants.models import InvitationIndex, KeyIndex


def index_key(*, key_hash: bytes, org_id: UUID, expires_at: datetime | None) -> None:
    """Have the apex find the org of a key; indexing it again moves its expiry."""
    KeyIndex.objects.update_or_create(
        key_hash=key_hash, defaults={"org_id": org_id, "expires_at": expires_at}
    )


def forget_key(*, key_hash: bytes) -> None:
    """From the commit on the key opens nothing, on any host."""
    KeyIndex.objects.filter(key_hash=key_hash).delete()


def index_invitation(*, token_hash: bytes, org_id: UUID, email: str, expires_at: datetime) -> None:
    InvitationIndex.objects.create(
        token_hash=token_hash, org_id=org_id, email=email.lower(), expires_at=expires_at
    )


def forget_invitation(*, token_hash: bytes) -> None:
    InvitationIndex.objects.filter(token_hash=token_hash).delete()
