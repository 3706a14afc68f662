"""The API's exception handler: answers as everywhere, and puts refusals on record."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from django.utils import timezone

from apps.common import problem
from apps.common.errors import PermissionDenied
from apps.orgs.principals import Principal
from apps.trust.services import record_refusal


def handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """DRF's `EXCEPTION_HANDLER`; by now the refused transaction has ended."""
    request = context["request"]
    if isinstance(error, PermissionDenied) and isinstance(request.auth, Principal):
        rule = str(error.extra.get("permission") or error.code)
        record_refusal(actor=request.auth.actor, rule=rule, at=timezone.now())
    return problem.drf_handler(error, context)
