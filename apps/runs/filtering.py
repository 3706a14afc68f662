"""Which runs an address asks for: the one reading of it that page, export and saved view share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.agents.selectors import get_agent
from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.links import PROJECT, link, with_query
from apps.common.pagination import NEWEST_FIRST, Keyset
from apps.orgs.pages import principal_of, selected_project
from apps.runs import selectors
from apps.runs.errors import RUN
from apps.runs.forms import ALL, LOOK_BACK, RANGES, RunFilterForm
from apps.runs.models import Run
from apps.runs.reading import READ

FIELDS: Final = (
    *("q", "status", "agent", "caller", "session_id"),
    *("level", "range", "from", "to"),
)
SORT: Final = "sort"
OLDEST: Final = "started"
OLDEST_FIRST: Final = Keyset(descending=False)
# What the API calls the same; it has no words and no levels.
SAME_IN_API: Final = ("status", "agent", "caller", "session_id")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. `query` is what counts of it, to be repeated in other addresses."""

    form: RunFilterForm
    query: dict[str, str]
    project: str
    rows: QuerySet[Run]
    now: datetime

    @property
    def is_sorted(self) -> bool:
        """Whether the list has another order than the newest first."""
        return self.query.get(SORT) == OLDEST

    @property
    def keyset(self) -> Keyset:
        return OLDEST_FIRST if self.is_sorted else NEWEST_FIRST

    @property
    def filter(self) -> dict[str, str]:
        """What narrows the list, without its order."""
        return {name: value for name, value in self.query.items() if name != SORT}

    @property
    def looks_back(self) -> int:
        """The days that words are searched in, where the filter doesn't say; else 0."""
        is_timed = "from" in self.query or self.query.get("range") in RANGES
        return LOOK_BACK.days if "q" in self.query and not is_timed else 0

    def address(self, name: str = "runs:runs", **changes: str) -> str:
        """The page of that name with this filter, in the selected project."""
        asked = {PROJECT: self.project, **self.query, **changes}
        return with_query(reverse(name), asked)

    def api_path(self) -> str:
        """The same question to the API, as far as it can be asked there."""
        asked = {PROJECT: self.project}
        asked |= {name: self.query[name] for name in SAME_IN_API if name in self.query}
        if self.form.is_valid():
            asked["since"] = _utc(self.form.since(self.now))
            asked["until"] = _utc(self.form.until())
        return with_query("/v1/runs", asked).replace("%3A", ":")


def read_filter(request: HttpRequest, *, now: datetime) -> Asked:
    """Read an address; a filter that can't be read finds nothing. Raises NotFound for a project
    that isn't there.
    """
    form, project_id = RunFilterForm(request.GET), selected_project(request)
    is_valid = form.is_valid()
    query = form.query() if is_valid else _as_typed(request)
    if request.GET.get(SORT) == OLDEST:
        query[SORT] = OLDEST
    in_titles = principal_of(request).may(READ)
    rows = _rows(form, project_id, now, in_titles) if is_valid else Run.objects.none()
    return Asked(form, query, request.GET.get(PROJECT, ""), rows, now)


def view_url(request: HttpRequest, query: Mapping[str, str]) -> str:
    """The list with a filter that was kept, in the selected project; one filter, one address."""
    asked = {name: query[name] for name in (*FIELDS, SORT) if name in query}
    return link(request, "runs:runs", **asked)


def _as_typed(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET[name] for name in FIELDS if request.GET.get(name)}


def _rows(
    form: RunFilterForm, project_id: UUID | None, now: datetime, in_titles: bool
) -> QuerySet[Run]:
    """The runs that a filter means; what names nobody has none."""
    wanted = form.cleaned_data
    words, since = wanted["q"].strip(), form.since(now)
    try:
        if words.startswith(f"{RUN}_"):
            return _one(parse_id(RUN, words), project_id)
        agent_id = get_agent(wanted["agent"]).id if wanted["agent"] else None
    except NotFound:
        return Run.objects.none()
    rows = selectors.list_runs(
        project_id=project_id,
        agent_id=agent_id,
        status=wanted["status"],
        caller=wanted["caller"],
        session_id=wanted["session_id"],
        since=now - LOOK_BACK if words and since is None else since,
        until=form.until(),
    )
    only_roots = wanted["level"] != ALL
    return selectors.list_run_lines(rows, words=words, in_titles=in_titles, only_roots=only_roots)


def _one(run_id: Any, project_id: UUID | None) -> QuerySet[Run]:
    rows = selectors.list_runs(project_id=project_id)
    return selectors.list_run_lines(rows).filter(id=run_id)


def _utc(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""
