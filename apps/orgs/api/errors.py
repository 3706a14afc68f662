"""The API's exception handler: answers as everywhere, puts refusals on record and says why."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase

from apps.common import problem
from apps.common.errors import PermissionDenied
from apps.orgs.denials import explain
from apps.orgs.principals import Principal
from apps.orgs.services.refusals import refuse


def handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """DRF's `EXCEPTION_HANDLER`; by now the refused transaction has ended."""
    request = context["request"]
    if isinstance(error, PermissionDenied) and isinstance(request.auth, Principal):
        refuse(request.auth, error)
        explain(request.auth, error, own_url=request._request.org.own_url)
    return problem.drf_handler(error, context)
