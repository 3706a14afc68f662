"""`/dev/mail/`: the mails that had no SMTP server to go to. Only with DEBUG on."""

from __future__ import annotations

import email
import email.policy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

NEWEST = 100


@dataclass(frozen=True)
class Mail:
    """One written mail, ready to be read."""

    name: str
    at: datetime
    subject: str
    to: str
    body: str


def debug_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The page doesn't exist where people's mail is real."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.DEBUG:
            raise Http404
        return require_GET(view)(request, *args, **kwargs)

    return guarded


@debug_only
def listing(request: HttpRequest) -> HttpResponse:
    """The newest mails first."""
    paths = sorted(_folder().glob("*.eml"), key=lambda p: p.stat().st_mtime, reverse=True)
    return render(
        request, "tenants/dev_mail_list.html", {"mails": [_read(p) for p in paths[:NEWEST]]}
    )


@debug_only
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One mail; only names that the listing shows exist."""
    for path in _folder().glob("*.eml"):
        if path.name == name:
            return render(request, "tenants/dev_mail_detail.html", {"mail": _read(path)})
    raise Http404


def _folder() -> Path:
    return Path(settings.EMAIL_FILE_PATH)


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy says so
    body = message.get_body(("plain", "html"))
    return Mail(
        name=path.name,
        at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        subject=str(message["subject"] or ""),
        to=str(message["to"] or ""),
        body=body.get_content() if body else "",
    )
