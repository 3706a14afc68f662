"""Lists of runs: the org's, and one agent's."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.agents.pages import agent_page, ref_of_agent
from apps.agents.selectors import get_agent, list_agent_names
from apps.common.actors import Actor, ActorType
from apps.common.errors import NotFound
from apps.common.htmx import render_page_or_partial, wants_partial
from apps.common.links import PROJECT, link, with_query
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate
from apps.orgs.pages import command, needs, principal_of, selected_project
from apps.runs import selectors
from apps.runs.export import EXPORT_MAX
from apps.runs.filtering import FIELDS, OLDEST, OLDEST_FIRST, SORT, Asked, read_filter, view_url
from apps.runs.forms import ALL, ViewForm
from apps.runs.models import Run
from apps.runs.presenting import rows_of
from apps.runs.services.views import MAY_SHARE

CALLERS_AMONG: Final = 300
"""The newest runs whose callers are offered to choose from."""
ROWS: Final = "run-rows"
RESULTS: Final = "run-results"


@require_safe
@never_cache
@needs("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The org's runs, the newest first; the address holds the whole filter."""
    asked = read_filter(request, now=timezone.now())
    if not wants_partial(request) and _is_untidy(request, asked):
        return HttpResponseRedirect(_here(request, asked))
    kept = {PROJECT: asked.project, **asked.query}
    context = {
        "crumbs": [("Runs", None)],
        "form": asked.form,
        "filter": {name: asked.query.get(name, "") for name in FIELDS},
        "filtered": bool(asked.filter),
        "project": asked.project,
        "all_url": asked.address(level=ALL),
        "any_session_url": asked.address(session_id=""),
        "clear_url": link(request, "runs:runs"),
        "export_url": asked.address("runs:export")
        if principal_of(request).may("data.export")
        else None,
        "export_max": EXPORT_MAX,
        "looks_back": asked.looks_back,
        "can_invoke": principal_of(request).may("agents.invoke"),
        "command": command(request, f"'{asked.api_path()}'"),
        **_views(request, asked),
        **_page(request, asked.rows, keyset=asked.keyset, kept=kept),
    }
    if not wants_partial(request):
        context |= _choices(asked)
    answer = _answer(request, "runs/list.html", context)
    if wants_partial(request) and "seen" not in request.GET:
        answer["HX-Push-Url"] = _here(request, asked)
    return answer


@require_safe
@never_cache
@needs("runs.view")
def of_agent(request: HttpRequest, ref: str) -> HttpResponse:
    """The runs of one agent, also those that other agents asked for."""
    agent = get_agent(ref)
    rows = selectors.list_runs(agent_id=agent.id, project_id=selected_project(request))
    is_sorted, project = request.GET.get(SORT) == OLDEST, request.GET.get(PROJECT, "")
    asked = with_query("/v1/runs", {"agent": ref_of_agent(agent), PROJECT: project})
    context = agent_page(
        request,
        agent,
        "runs:of_agent",
        all_runs_url=link(request, "runs:runs", agent=ref_of_agent(agent), level=ALL),
        command=command(request, f"'{asked}'"),
        **_page(
            request,
            selectors.list_run_lines(rows),
            keyset=OLDEST_FIRST if is_sorted else NEWEST_FIRST,
            kept={PROJECT: project, SORT: OLDEST if is_sorted else ""},
        ),
    )
    return _answer(request, "runs/of_agent.html", context)


def _answer(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """The page, its results, or for a page that asks again (`seen`) only what has changed: nothing
    (204), or the rows, so that what has the focus or is scrolled stays.
    """
    is_poll = wants_partial(request) and "seen" in request.GET
    if is_poll and request.GET["seen"] == context["seen"]:
        return HttpResponse(status=204)
    target = getattr(request, "htmx").target  # noqa: B009  set by HtmxMiddleware
    part = "live" if is_poll and context["runs"] and target == ROWS else "results"
    context["is_swapped"] = wants_partial(request) and not is_poll
    answer = render_page_or_partial(request, template, part, {**context, "is_live": is_poll})
    if is_poll and part == "results":
        answer["HX-Retarget"] = f"#{RESULTS}"
    return answer


def _page(
    request: HttpRequest, rows: QuerySet[Run], *, keyset: Keyset, kept: dict[str, str]
) -> dict[str, Any]:
    """One page of a list and its neighbours; the first of the newest asks for what is new."""
    after, before = request.GET.get("after"), request.GET.get("before")
    found = paginate(rows, keyset=keyset, after=after, before=before)
    runs = rows_of(request, found.items)
    seen = _fingerprint([runs, found.next])
    is_live = after is None and before is None and keyset.descending
    return {
        "sort": kept.get(SORT, ""),
        "is_sorted": not keyset.descending,
        "runs": runs,
        "newer_url": _turn(kept, "before", found.previous),
        "older_url": _turn(kept, "after", found.next),
        "seen": seen,
        "poll_url": with_query(request.path, {**kept, "seen": seen}) if is_live else None,
    }


def _fingerprint(shown: list[Any]) -> str:
    """What a page shows as one word; a minute later its times read differently."""
    minute = int(timezone.now().timestamp()) // 60
    return hashlib.sha256(repr([shown, minute]).encode()).hexdigest()[:16]


def _turn(kept: dict[str, str], direction: str, cursor: str | None) -> str | None:
    return with_query("", {**kept, direction: cursor}) if cursor else None


def _is_untidy(request: HttpRequest, asked: Asked) -> bool:
    """Whether the address says something that is empty or doesn't count, as forms write it."""
    return asked.form.is_valid() and any(
        name in request.GET and request.GET[name] != asked.query.get(name) for name in FIELDS
    )


def _here(request: HttpRequest, asked: Asked) -> str:
    """The address that says the same in the fewest words."""
    return asked.address(**{name: request.GET.get(name, "") for name in ("after", "before")})


def _views(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    """The saved views, of which one may be what is shown, and the form that saves this filter."""
    by = principal_of(request)
    views = [
        {
            "name": view.name,
            "is_shared": view.is_shared,
            "url": view_url(request, view.query),
            "is_current": view.query == asked.query,
        }
        for view in selectors.list_views(by)
    ]
    is_known = not asked.query or any(view["is_current"] for view in views)
    return {
        "views": views,
        "views_url": link(request, "runs:views"),
        "query": asked.query,
        "can_save": asked.form.is_valid() and not is_known,
        "view_form": ViewForm(may_share=by.may(MAY_SHARE), auto_id="view_%s"),
    }


def _choices(asked: Asked) -> dict[str, Any]:
    """What the filter's controls offer."""
    chosen = asked.query.get("caller", "")
    callers = selectors.list_callers(among=CALLERS_AMONG)
    if chosen and all(caller.id != chosen for caller in callers):
        label = selectors.find_caller_label(chosen) or chosen
        callers.append(Actor(ActorType.API_KEY, chosen, label))
    agents = [caller for caller in callers if caller.type == ActorType.AGENT]
    return {
        "agents": _agents(asked.query.get("agent", "")),
        "callers": [
            ("People and their keys", [caller for caller in callers if caller not in agents]),
            ("Agents", agents),
        ],
    }


def _agents(chosen: str) -> list[tuple[str, str]]:
    """Whose runs can be asked for; also one that is chosen by its id, as a retired one is."""
    names = list_agent_names()
    if not chosen or any(chosen == slug for slug, _ in names):
        return names
    try:
        return [*names, (chosen, get_agent(chosen).name)]
    except NotFound:
        return names
