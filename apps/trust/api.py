"""The org's keys, for whoever verifies what it signed."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from apps.tenants.access import public_document
from apps.trust.selectors import jwks

MAX_AGE = 300  # seconds; a key is published as the next one for longer than that


@require_safe
@public_document
def jwks_view(request: HttpRequest) -> JsonResponse:
    """Answer `/.well-known/jwks.json` (RFC 7517 §5) to anyone, from any origin."""
    response = JsonResponse(jwks(), content_type="application/jwk-set+json")
    response["Cache-Control"] = f"public, max-age={MAX_AGE}"
    response["Access-Control-Allow-Origin"] = "*"
    return response
