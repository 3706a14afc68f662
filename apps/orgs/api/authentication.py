"""Who calls the API: `Authorization: Bearer mnd_…`, on the org's host or on the apex.

On the apex the key says which org is meant; on an org's host it must be a key of that org. What is
wrong with a key isn't told: unknown, revoked, expired and another org's all end in the same 401.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.orgs import selectors
from apps.orgs.principals import Principal
from apps.orgs.services.keys import note_use
from apps.orgs.tokens import hash_of, is_token
from apps.tenants import keys
from apps.tenants.selectors import OrgRef, find_key_org
from apps.tenants.services import activity

_BEARER: Final = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiKeyAuthentication(BaseAuthentication):
    """Turn both keys for the org of a good API key: one query, the permissions included.

    A bad one is no one, so that the view counts it against its address and answers 401, as it does
    without any. A browser's session means nothing here: no cookie, no forged requests.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Principal] | None:
        asked = request._request
        token = bearer_token(asked.META.get("HTTP_AUTHORIZATION", ""))
        if token is None:
            return None
        at, key_hash = timezone.now(), hash_of(token)
        with keys.holding():
            org = find_key_org(key_hash=key_hash, at=at)
        host_org = getattr(asked, "org", None)
        if org is None or (host_org is not None and host_org.id != org.id):
            return None
        principal = _enter(org, key_hash, at, writes=asked.method not in _READS)
        if principal is None:
            return None
        asked.org = org  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(org=org.slug, principal=principal.actor.id)
        return AnonymousUser(), principal

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="mandate"'


def bearer_token(header: str) -> str | None:
    """The key in an Authorization header, if there can be one (RFC 6750 §2.1)."""
    match = _BEARER.fullmatch(header)
    return match[1] if match and is_token(match[1]) else None


def still_may(request: Request, *codes: str) -> Callable[[], bool]:
    """Asks, whenever it is called, whether this request's key works still and may these: for what
    lasts longer than a request. Needs the org's keys held.
    """
    token = bearer_token(request.headers.get("Authorization", ""))
    key_hash = hash_of(token or "")

    def ask() -> bool:
        found = selectors.find_key_principal(key_hash=key_hash, at=timezone.now())
        return found is not None and found[0].permissions.issuperset(codes)

    return ask


def _enter(org: OrgRef, key_hash: bytes, at: datetime, *, writes: bool) -> Principal | None:
    """Unlock the org's rows if the key still works there; otherwise leave no key turned."""
    with keys.holding(org.schema, org.id):
        found = selectors.find_key_principal(key_hash=key_hash, at=at)
        if found is None:
            return None
        principal, key = found
        if writes:
            activity.touch(org_id=org.id, at=at)
        note_use(key=key, at=at)
    keys.use_schema(org.schema)
    keys.unlock(org.id)
    return principal


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the description names it."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "mnd_…",
            "description": "An API key of the org. On the apex host it also says which org.",
        }
