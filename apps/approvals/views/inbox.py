"""What waits for somebody, what they asked for, and what was decided."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.approvals import selectors
from apps.approvals.presenting import row_of
from apps.common.formats import at_most
from apps.common.htmx import render_page_or_partial
from apps.common.links import link, said, turn
from apps.common.pagination import NEWEST_FIRST, paginate
from apps.orgs.pages import command, needs, principal_of
from apps.orgs.principals import Principal

TAB: Final = "tab"
WAITING, MINE, DECIDED = "waiting", "mine", "decided"
TABS: Final = ((WAITING, "Waiting for me"), (MINE, "Asked by me"), (DECIDED, "Decided"))


@require_safe
@needs(selectors.VIEW)
def index(request: HttpRequest) -> HttpResponse:
    """One of three lists, newest first; `?tab=` says which."""
    by, chosen = principal_of(request), said(request, TAB)
    tab = chosen if chosen in dict(TABS) else WAITING
    page = paginate(
        selectors.in_box(tab, by).defer("payload", "evidence"),
        keyset=NEWEST_FIRST,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    context = {
        "crumbs": [("Approvals", None)],
        "tab": tab,
        "tabs": _tabs(request, tab, by),
        "approvals": [row_of(request, approval) for approval in page.items],
        "newer_url": turn(request, "before", page.previous, keep=[TAB]),
        "older_url": turn(request, "after", page.next, keep=[TAB]),
        "here_url": link(request, "approvals:approvals", **{TAB: tab}),
        "is_first": not {"after", "before"} & set(request.GET),
        "may_decide": by.may(selectors.DECIDE),
        "rules_url": link(request, "approvals:rules"),
        "command": command(request, f"'/v1/approvals?box={tab}'"),
    }
    return render_page_or_partial(request, "approvals/list.html", "results", context)


def _tabs(request: HttpRequest, tab: str, by: Principal) -> list[dict[str, Any]]:
    waiting = selectors.count_waiting(by)
    return [
        {
            "label": label,
            "url": link(request, "approvals:approvals", **{TAB: name}),
            "current": name == tab,
            "count": at_most(waiting, selectors.COUNTED) if name == WAITING else "",
        }
        for name, label in TABS
    ]
