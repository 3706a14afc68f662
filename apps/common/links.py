"""Addresses of pages. The selected project stands in the URL, and every link carries it on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from django.http import HttpRequest
from django.urls import reverse

PROJECT: Final = "project"


def link(request: HttpRequest, name: str, *args: Any, **query: str) -> str:
    """The address of a page of this host, with the selected project and what `query` adds."""
    return with_query(reverse(name, args=args), {**_project(request), **query})


def carried(request: HttpRequest, address: str) -> str:
    """An address of this host with the selected project, unless it names one itself."""
    project, parts = _project(request)[PROJECT], urlsplit(address)
    if not project or PROJECT in parse_qs(parts.query):
        return address
    query = "&".join(part for part in (parts.query, urlencode({PROJECT: project})) if part)
    return parts._replace(query=query).geturl()


def said(request: HttpRequest, name: str) -> str:
    """What the address says under a name, trimmed, as far as Postgres can hold it: no NUL."""
    return request.GET.get(name, "").replace("\0", "").strip()


def turn(
    request: HttpRequest, direction: str, cursor: str | None, *, keep: Iterable[str] = ()
) -> str | None:
    """The address of a neighbouring page of a list with the same filter; None where it ends."""
    if cursor is None:
        return None
    kept = {PROJECT, *keep}
    query = {name: value for name, value in request.GET.items() if name in kept and value}
    return f"?{urlencode({**query, direction: cursor})}"


def with_query(path: str, query: dict[str, str]) -> str:
    """The path with what of the query isn't empty."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _project(request: HttpRequest) -> dict[str, str]:
    return {PROJECT: request.GET.get(PROJECT, "")}
