"""Lists of runs: the org's, and one agent's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.agents.pages import agent_page, ref_of_agent
from apps.agents.selectors import get_agent, list_agent_names
from apps.common.errors import NotFound
from apps.common.htmx import render_page_or_partial
from apps.common.ids import parse_id
from apps.common.links import link, turn
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate
from apps.orgs.pages import command, needs, principal_of, selected_project
from apps.runs import selectors
from apps.runs.errors import RUN
from apps.runs.forms import ALL, RunFilterForm
from apps.runs.models import Run
from apps.runs.presenting import row_of

FIELDS: Final = ("q", "status", "agent", "caller", "session_id", "level", "from", "to")
KEPT: Final = (*FIELDS, "sort")
OLDEST_FIRST: Final = Keyset(descending=False)
LOOK_BACK: Final = timedelta(days=30)
"""How far back words are searched where no first day is given: no index answers them."""


@require_safe
@needs("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The org's runs, the newest first; the address holds the whole filter."""
    form = RunFilterForm(request.GET)
    rows, project = _rows(form) if form.is_valid() else Run.objects.none(), ""
    if (project_id := selected_project(request)) is not None:
        rows, project = rows.filter(project_id=project_id), request.GET["project"]
    found = {name: request.GET.get(name, "") for name in FIELDS}
    context = {
        "crumbs": [("Runs", None)],
        "form": form,
        "agents": _agents(found["agent"]),
        "filter": found,
        "filtered": any(found.values()),
        "caller": _caller(found["caller"], rows) if found["caller"] else "",
        "clear_url": link(request, "runs:runs"),
        "all_url": _with(request, level=ALL),
        "any_caller_url": _with(request, caller=""),
        "any_session_url": _with(request, session_id=""),
        "looks_back": LOOK_BACK.days if found["q"] and not found["from"] else 0,
        "can_invoke": principal_of(request).may("agents.invoke"),
        "command": command(request, "'/v1/runs'"),
        "project": project,
        **_page(request, rows),
    }
    return render_page_or_partial(request, "runs/list.html", "results", context)


@require_safe
@needs("runs.view")
def of_agent(request: HttpRequest, ref: str) -> HttpResponse:
    """The runs of one agent, also those that other agents asked for."""
    agent = get_agent(ref)
    rows = selectors.list_runs(agent_id=agent.id, project_id=selected_project(request))
    context = agent_page(
        request,
        agent,
        "runs:of_agent",
        all_runs_url=link(request, "runs:runs", agent=ref_of_agent(agent), level=ALL),
        command=command(request, f"'/v1/runs?agent={ref_of_agent(agent)}'"),
        **_page(request, selectors.list_run_lines(rows)),
    )
    return render_page_or_partial(request, "runs/of_agent.html", "results", context)


def _agents(chosen: str) -> list[tuple[str, str]]:
    """Whose runs can be asked for; also one that is chosen by its id, as a retired one is."""
    names = list_agent_names()
    if not chosen or any(chosen == slug for slug, _ in names):
        return names
    try:
        return [*names, (chosen, get_agent(chosen).name)]
    except NotFound:
        return names


def _page(request: HttpRequest, rows: QuerySet[Run]) -> dict[str, Any]:
    is_sorted = request.GET.get("sort") == "started"
    found = paginate(
        rows,
        keyset=OLDEST_FIRST if is_sorted else NEWEST_FIRST,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
    )
    return {
        "sort": "started" if is_sorted else "",
        "is_sorted": is_sorted,
        "runs": [row_of(request, run) for run in found.items],
        "newer_url": turn(request, "before", found.previous, keep=KEPT),
        "older_url": turn(request, "after", found.next, keep=KEPT),
    }


def _rows(form: RunFilterForm) -> QuerySet[Run]:
    """The runs that a filter means; what names nobody has none."""
    wanted = form.cleaned_data
    words, since = wanted["q"].strip(), form.since()
    try:
        if words.startswith(f"{RUN}_"):
            return _one(parse_id(RUN, words))
        agent_id = get_agent(wanted["agent"]).id if wanted["agent"] else None
    except NotFound:
        return Run.objects.none()
    if words and since is None:
        since = timezone.now() - LOOK_BACK
    rows = selectors.list_runs(
        agent_id=agent_id,
        status=wanted["status"],
        caller=wanted["caller"],
        session_id=wanted["session_id"],
        since=since,
        until=form.until(),
    )
    return selectors.list_run_lines(rows, words=words, only_roots=wanted["level"] != ALL)


def _one(run_id: Any) -> QuerySet[Run]:
    return selectors.list_run_lines(selectors.list_runs()).filter(id=run_id)


def _caller(caller_id: str, rows: QuerySet[Run]) -> str:
    """The name that a caller goes by in the newest of these runs, or else its id."""
    newest = rows.order_by("-created_at", "-id").values_list("caller_label", flat=True).first()
    return newest or caller_id


def _with(request: HttpRequest, **changes: str) -> str:
    """This list with another filter."""
    kept = {name: request.GET.get(name, "") for name in KEPT}
    return link(request, "runs:runs", **{**kept, **changes})
