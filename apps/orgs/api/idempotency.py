"""Idempotency-Key on every POST under /v1: the header, and DRF's answers in and out."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.orgs.principals import Principal
from apps.orgs.services import idempotency
from apps.orgs.services.idempotency import Answer, Claim

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"


def answer_once(request: Request, run: Callable[[], Response]) -> Response:
    """The guard around every POST (`apps.common.api.views.guard_posts`).

    A view with `keeps_keys` remembers by itself what a key stood for.
    """
    header, principal = key_of(request), request.auth
    remembers = getattr((request.parser_context or {}).get("view"), "keeps_keys", False)
    if header is None or remembers or not isinstance(principal, Principal):
        return run()
    claim = Claim(
        org_id=principal.org_id,
        principal=principal.actor.principal,
        key=idempotency.check_key(header),
        fingerprint=idempotency.fingerprint_of(
            request.method or "", request.get_full_path(), request.data
        ),
    )
    answer, replayed = idempotency.answer_once(
        claim=claim, produce=lambda: _packed(run()), at=timezone.now()
    )
    return _unpacked(answer, replayed=replayed)


def key_of(request: Request) -> str | None:
    """The header, looked up where it is: `request.headers` would gather all of them first."""
    key: str | None = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    return key


def _packed(response: Response) -> Answer:
    body = b"" if response.data is None else JSONRenderer().render(response.data)
    return Answer(response.status_code, dict(response.headers), body)


def _unpacked(answer: Answer, *, replayed: bool) -> Response:
    data = json.loads(answer.body) if answer.body else None
    headers = {**answer.headers, **({REPLAYED: "true"} if replayed else {})}
    return Response(data, status=answer.status, headers=headers)
