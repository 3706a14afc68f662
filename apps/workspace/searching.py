"""/search/: what a few words find, as a page and as the palette's list."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from apps.common.htmx import render_page_or_partial, wants_partial
from apps.common.links import PROJECT, link
from apps.workspace import search

TEMPLATE = "workspace/search.html"
PALETTE = "palette"


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The page and its results; the palette asks for its own shape of them (`?part=palette`)."""
    words = search.words_of(request)
    if wants_partial(request) and request.GET.get("part") == PALETTE:
        return _palette(request, words)
    context: dict[str, Any] = {
        "crumbs": [("Search", None)],
        "q": words,
        "groups": search.search(request, words, limit=search.ON_PAGE),
        "chosen": request.GET.get(PROJECT, ""),
        "days": search.LOOK_BACK.days,
    }
    return render_page_or_partial(request, TEMPLATE, "results", context)


def _palette(request: HttpRequest, words: str) -> HttpResponse:
    """The org's own things only: pages and actions stand in the palette already."""
    context = {
        "groups": search.find_things(request, words, limit=search.IN_PALETTE),
        "page_url": link(request, "workspace:search", q=words),
        "q": words,
    }
    answer = render(request, f"{TEMPLATE}#{PALETTE}", context)
    patch_vary_headers(answer, ["HX-Request", "HX-Boosted"])
    return answer
