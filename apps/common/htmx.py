"""Answers for a page that htmx drives: the whole page, the named partial, a redirect, a toast.

Every `hx-get` URL is a real page URL, so one view serves both: who asks with htmx gets the part
that changes, everyone else (a first visit, a boosted link, a browser without scripts) the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

Tone = Literal["ok", "info", "warn", "bad"]


class SeeOther(HttpResponseRedirectBase):
    """The answer to a POST that worked: go and GET that page (RFC 9110 §15.4.4)."""

    status_code = 303


def wants_partial(request: HttpRequest) -> bool:
    """Tell whether htmx asks for a fragment; a boosted link asks for the page."""
    htmx = cast(HtmxDetails, getattr(request, "htmx"))  # noqa: B009  set by HtmxMiddleware
    return bool(htmx) and not htmx.boosted


def render_page_or_partial(
    request: HttpRequest,
    template: str,
    partial: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> HttpResponse:
    """Render `template`, or only its `{% partialdef %}` named `partial` when htmx asks for it.

    The page includes the same partial, so the two cannot drift apart. A boosted page and a
    fragment of one URL differ too: caches must tell all three apart.
    """
    name = f"{template}#{partial}" if wants_partial(request) else template
    response = render(request, name, dict(context), status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Boosted"])
    return response


def see_other(url: str) -> HttpResponse:
    """Send the browser on after a POST, within the same host."""
    return SeeOther(url)


def hx_redirect(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to `url` as a full load, also when htmx asked and also on another host.

    For a lost sign-in, and for what leaves this shell: htmx would follow a plain redirect
    inside the page, and could not follow one to another origin at all.
    """
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(url)
    return SeeOther(url)


def toast(response: HttpResponse, text: str, tone: Tone = "ok") -> HttpResponse:
    """Let the page report a result that is no longer on screen: past tense, ≤ 90 characters.

    Only for fragments; a page that redirects uses Django's messages, which become toasts too.
    """
    return trigger_client_event(response, "toast", {"text": text, "tone": tone})
