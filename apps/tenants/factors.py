"""What a person can prove themselves with, as small frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from allauth.mfa.models import Authenticator

SECOND: Final = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


@dataclass(frozen=True, slots=True)
class Passkey:
    """A key that lives in a device or a password manager."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Factors:
    """All second factors of a person; `codes_left` is None where there never were any."""

    passkeys: list[Passkey]
    has_app: bool
    app_used_at: datetime | None
    codes_left: int | None

    @property
    def is_on(self) -> bool:
        return self.has_app or bool(self.passkeys)


def has_second_factor(user_id: UUID) -> bool:
    """Whether a passkey or an app guards this account; recovery codes only stand in for those."""
    found: bool = Authenticator.objects.filter(user_id=user_id, type__in=SECOND).exists()
    return found


def get_factors(user_id: UUID) -> Factors:
    """A person's second factors, passkeys from the oldest on."""
    rows = list(Authenticator.objects.filter(user_id=user_id).order_by("created_at", "pk"))
    by_type = {row.type: row for row in rows}
    app, codes = (
        by_type.get(kind) for kind in (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    )
    return Factors(
        passkeys=[_passkey(row) for row in rows if row.type == Authenticator.Type.WEBAUTHN],
        has_app=app is not None,
        app_used_at=app.last_used_at if app else None,
        codes_left=len(codes.wrap().get_unused_codes()) if codes else None,
    )


def _passkey(row: Authenticator) -> Passkey:
    return Passkey(row.pk, row.wrap().name, row.created_at, row.last_used_at)
