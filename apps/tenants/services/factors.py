"""What second factors keep: short secrets of the apex, sealed by the master key itself."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from typing import Final

from allauth.mfa.models import Authenticator
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import transaction

MFA_CONTEXT: Final = b"mandate/mfa"
_SEALED: Final = {"secret", "seed"}
"""What of a factor is sealed: a TOTP secret, the seed of recovery codes."""


def seal_text(plain: str) -> str:
    """Encrypt a short secret (a TOTP seed): AES-256-GCM under the one master key."""
    nonce = os.urandom(12)
    sealed = AESGCM(settings.MANDATE_KEK).encrypt(nonce, plain.encode(), MFA_CONTEXT)
    return base64.b64encode(nonce + sealed).decode()


def open_text(sealed: str) -> str:
    """Read back what `seal_text` wrote, under this master key or an earlier one.

    Raises InvalidTag if none of them opens it.
    """
    for key in (settings.MANDATE_KEK, *settings.MANDATE_KEK_PREVIOUS):
        with suppress(InvalidTag):
            return _open(key, sealed)
    raise InvalidTag


def reseal_factors() -> tuple[int, list[str]]:
    """Seal by the present master key what an earlier one has sealed; how many factors those were,
    and whose no key here opens.
    """
    changed, lost = 0, []
    for factor_id in Authenticator.objects.order_by("id").values_list("id", flat=True):
        with transaction.atomic():
            factor = Authenticator.objects.select_for_update().filter(id=factor_id).first()
            try:
                changed += factor is not None and _reseal(factor)
            except InvalidTag:
                lost.append(factor.user.email)
    return changed, lost


def _reseal(factor: Authenticator) -> bool:
    """Seal a factor by the present master key; False if it is, or has nothing that is sealed."""
    old = {name: factor.data[name] for name in _SEALED & factor.data.keys()}
    if all(_is_present(sealed) for sealed in old.values()):
        return False
    factor.data.update({name: seal_text(open_text(sealed)) for name, sealed in old.items()})
    factor.save(update_fields=["data"])
    return True


def _is_present(sealed: str) -> bool:
    with suppress(InvalidTag):
        return bool(_open(settings.MANDATE_KEK, sealed))
    return False


def _open(key: bytes, sealed: str) -> str:
    raw = base64.b64decode(sealed)
    return AESGCM(key).decrypt(raw[:12], raw[12:], MFA_CONTEXT).decode()
