"""`/v1/signing-keys`: what the org signs with, and the change from one key to the next."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.openapi import example, page_of
from apps.common.pagination import NEWEST_FIRST
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import Strict, Text
from apps.trust import selectors
from apps.trust.models import SigningKey
from apps.trust.services import create_signing_key, revoke_signing_key, rotate_signing_key

VIEW: Final = "signing_keys.view"
MANAGE: Final = "signing_keys.manage"
REASON_MAX: Final = 200
_KID: Final = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
_KEY: Final[dict[str, Any]] = {
    "kid": _KID,
    "state": "active",
    "public_jwk": {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "kid": _KID,
        "use": "sig",
        "alg": "ES256",
    },
    "created_at": "2027-01-01T09:00:00Z",
    "activated_at": "2027-01-01T09:00:00Z",
    "retired_at": None,
    "revoked_at": None,
}
_NEXT: Final[dict[str, Any]] = {**_KEY, "state": "next", "activated_at": None}
_REVOKED: Final[dict[str, Any]] = {**_KEY, "state": "revoked", "revoked_at": "2027-01-31T12:00:00Z"}


class SigningKeyRead(serializers.Serializer[Any]):
    """Its public half; the private one never leaves, and is destroyed when it no longer signs."""

    kid = serializers.CharField(help_text="RFC 7638 thumbprint.")
    state = serializers.ChoiceField(choices=SigningKey.State.choices)
    public_jwk = serializers.DictField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    activated_at = serializers.DateTimeField(allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class RevokeWrite(Strict):
    reason = Text(max_length=REASON_MAX, help_text="For the audit log.")


class SigningKeysView(OrgView):
    required = {"GET": VIEW, "POST": MANAGE}
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="signing_keys_list",
        tags=["signing keys"],
        responses=page_of(SigningKeyRead),
        examples=[example("The newest keys", {"results": [_NEXT, _KEY], "next": None})],
    )
    def get(self, request: Request) -> Response:
        """All keys that the org ever had; those not revoked are at /.well-known/jwks.json."""
        return self.answer_page(SigningKeyRead, selectors.list_keys(), keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="signing_keys_create",
        tags=["signing keys"],
        request=None,
        responses={201: SigningKeyRead},
        examples=[example("The next key", _NEXT, status=201)],
    )
    def post(self, request: Request) -> Response:
        """Announce the next key: published at once, and signing beside the active one."""
        made = create_signing_key(actor=self.by.actor, at=timezone.now())
        return self.answer(SigningKeyRead, made, status=201)


class SigningKeyRotateView(OrgView):
    required = {"POST": MANAGE}

    @extend_schema(
        operation_id="signing_keys_rotate",
        tags=["signing keys"],
        request=None,
        responses={200: SigningKeyRead},
        examples=[example("The key that signs now", _KEY)],
    )
    def post(self, request: Request) -> Response:
        """Let the next key take over, made now if none was announced; the old one only verifies."""
        key = rotate_signing_key(actor=self.by.actor, at=timezone.now())
        return self.answer(SigningKeyRead, key)


class SigningKeyRevokeView(OrgView):
    required = {"POST": MANAGE}

    @extend_schema(
        operation_id="signing_keys_revoke",
        tags=["signing keys"],
        request=RevokeWrite,
        responses={200: SigningKeyRead},
        examples=[
            example("Why", {"reason": "The machine that held it was stolen"}, request=True),
            example("The revoked key", _REVOKED),
        ],
    )
    def post(self, request: Request, kid: str) -> Response:
        """Believe nothing of this key any more, also not what it signed before."""
        key = revoke_signing_key(
            key_id=selectors.get_key(kid).id,
            actor=self.by.actor,
            at=timezone.now(),
            reason=self.read(RevokeWrite)["reason"],
        )
        return self.answer(SigningKeyRead, key)
