"""Runs as rows and facts of pages, with the addresses that lead on from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.agents.activity import Performance, Week
from apps.agents.models import Agent
from apps.agents.pages import ref_of, ref_of_agent
from apps.approvals.selectors import APPROVAL
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.links import link
from apps.orgs.pages import post_command, principal_of
from apps.runs import charting, selectors
from apps.runs.errors import DECISION, RUN
from apps.runs.models import Run
from apps.runs.prefill import example_input
from apps.runs.reading import shown_to, title_for
from apps.runs.selectors import RunView
from apps.runs.states import RunStatus
from apps.runs.statistics import (
    MOST,
    WEEK,
    Figures,
    Scope,
    get_figures_by_agent,
    get_statistics,
)
from apps.runs.wording import status_label

_DECISION_PAGE: Final = ("policies:decision", "decisions.view")
_APPROVAL_PAGE: Final = ("approvals:approval", "approvals.view")
CALLED_SHOWN: Final = 3
"""Agents behind the one that was called, named in a line of a list; the rest are counted."""


def run_url(request: HttpRequest, run_id: UUID) -> str:
    return link(request, "runs:run", public_id(RUN, run_id))


def run_path(run_id: UUID) -> str:
    """The path of a run's page, for who has no request at hand."""
    return reverse("runs:run", args=[public_id(RUN, run_id)])


def rows_of(request: HttpRequest, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The lines of a list, with the agents that each run asked; one query for all of them."""
    called = selectors.list_called(runs) if runs else {}
    return [row_of(request, run, called=called.get(run.id, ())) for run in runs]


def row_of(request: HttpRequest, run: Run, *, called: Sequence[str] = ()) -> dict[str, Any]:
    """A line of a list, from what `list_run_lines` read."""
    read: Any = run
    return {
        "id": public_id(RUN, run.id),
        "short_id": short_id(run.id),
        "url": run_url(request, run.id),
        "title": title_for(principal_of(request), run),
        "agent": read.agent_slug,
        "agent_url": _agent_url(request, run.agent_id, read.agent_slug, read.agent_status),
        "called": called[:CALLED_SHOWN],
        "more_called": max(len(called) - CALLED_SHOWN, 0),
        "tool": run.tool if run.tool != read.agent_slug else "",
        "caller": run.caller_label,
        "status": run.status,
        "status_label": status_label(run.status, run.reason, read.error_code or ""),
        "cost_micros": cost_of(run),
        "duration_ms": milliseconds(run.started_at, run.finished_at),
        "created_at": run.created_at,
        "is_child": run.parent_id is not None,
    }


def cost_of(run: Run | RunView) -> int | None:
    """What a run has cost; None as long as nothing was counted and more may come."""
    is_final = run.finished_at is not None
    return run.cost_micros if is_final or run.cost_micros else None


def short_id(run_id: UUID) -> str:
    """A run's id to tell it from its neighbours by: what it ends with, for it begins alike."""
    return f"{RUN}_…{run_id.hex[-8:]}"


def facts_of(request: HttpRequest, run: RunView) -> dict[str, Any]:
    """One run, as its page shows it to who asks."""
    run = shown_to(principal_of(request), run)
    return {
        "id": public_id(RUN, run.id),
        "url": run_url(request, run.id),
        "title": run.title,
        "agent": run.agent,
        "agent_url": _agent_url(request, run.agent_id, run.agent, run.agent_status),
        "tool": run.tool,
        "project": run.project,
        "project_url": link(request, "orgs:project", run.project),
        "caller": run.caller.label,
        "caller_url": link(request, "runs:runs", caller=run.caller.id, level="all"),
        "status": run.status,
        "is_open": not run.is_closed,
        "mode": run.mode,
        "environment": run.environment,
        "session": run.session_id,
        "session_url": _session_url(request, run),
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "withheld": run.withheld,
        "status_label": status_label(run.status, run.reason, (run.error or {}).get("code", "")),
        "cost_micros": cost_of(run),
        "usage": run.usage,
        "tokens": tokens_of(run.usage),
        "attempt": run.attempt,
        "waits": run.status == RunStatus.AWAITING_APPROVAL,
        "decision": decision_of(request, run.decision_id),
        "approval": _elsewhere(request, APPROVAL, run.approval_id, *_APPROVAL_PAGE),
        "manifest": {
            "version": run.manifest_version,
            "digest": run.manifest_digest,
            "url": link(
                request,
                "agents:manifest",
                ref_of(run.agent_id, run.agent, run.agent_status),
                run.manifest_version,
            ),
        },
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": milliseconds(run.started_at, run.finished_at),
    }


def tokens_of(usage: Mapping[str, int] | None) -> int | None:
    """The tokens that a run was counted, in and out together; None if it asked no model."""
    return usage["input_tokens"] + usage["output_tokens"] if usage else None


def milliseconds(start: datetime | None, end: datetime | None) -> float | None:
    """From start to end; None where one of them isn't."""
    if start is None or end is None:
        return None
    return max((end - start).total_seconds() * 1000, 0.0)


def decision_of(request: HttpRequest, decision_id: UUID | None) -> dict[str, str | None] | None:
    """What the policies decided, by its id, with its page for who may open that."""
    return _elsewhere(request, DECISION, decision_id, *_DECISION_PAGE)


def _elsewhere(
    request: HttpRequest, prefix: str, row_id: UUID | None, page: str, code: str
) -> dict[str, str | None] | None:
    """A row of another app by its id, whole and short, with its page for who may open that."""
    if row_id is None:
        return None
    whole = public_id(prefix, row_id)
    url = link(request, page, whole) if principal_of(request).may(code) else None
    return {"id": whole, "short": f"{prefix}_…{row_id.hex[-8:]}", "url": url}


def _agent_url(request: HttpRequest, agent_id: UUID, slug: str, status: str) -> str:
    return link(request, "agents:agent", ref_of(agent_id, slug, status))


def _session_url(request: HttpRequest, run: RunView) -> str | None:
    """The runs of a run's session as a conversation is read; with a child's, the other children."""
    if run.session_id is None:
        return None
    level = "all" if run.parent_id else ""
    return link(request, "runs:runs", session_id=run.session_id, level=level, sort="started")


class RunActivity:
    """What the pages of agents ask of runs."""

    def last(self, request: HttpRequest, agent_ids: Iterable[UUID]) -> Mapping[UUID, Any]:
        return {
            run.agent_id: {
                "status": run.status,
                "at": run.created_at,
                "url": run_url(request, run.id),
            }
            for run in selectors.list_last_runs(agent_ids)
        }

    def recent(self, request: HttpRequest, agent_id: UUID, *, limit: int) -> list[Any]:
        rows = selectors.list_run_lines(selectors.list_runs(agent_id=agent_id))
        return rows_of(request, list(rows.order_by("-created_at", "-id")[:limit]))

    def count_open(self, agent_id: UUID) -> int:
        return selectors.count_open_runs(agent_id=agent_id)

    def performance(self, agent_ids: Iterable[UUID]) -> Mapping[UUID, Performance]:
        found = get_figures_by_agent(WEEK, until=timezone.now(), agent_ids=agent_ids)
        is_cut = sum(figures.runs for figures in found.values()) >= MOST
        return {agent_id: _performance(figures, is_cut) for agent_id, figures in found.items()}

    def week(self, agent_id: UUID) -> Week:
        shown = get_statistics(WEEK, until=timezone.now(), scope=Scope(agent_id=agent_id))
        charts = [
            ("Latency, 7 days", charting.latency_chart(shown)),
            ("Runs, 7 days", charting.outcome_chart(shown)),
        ]
        drawn = [(title, chart) for title, chart in charts if not chart.is_empty]
        return Week(_performance(shown.now, shown.is_cut), drawn if shown.now.runs else [])

    def call(self, request: HttpRequest, agent: Agent) -> str | None:
        tools = list(agent.capabilities.all())
        if not tools:
            return None
        body: Object = {"input": example_input(tools[0].input_schema)}
        if len(tools) > 1:
            body = {"tool": tools[0].name, **body}
        path = f"/v1/agents/{ref_of_agent(agent)}/invoke"
        return post_command(request, path, json.dumps(body, ensure_ascii=False))


def _performance(figures: Figures, is_cut: bool) -> Performance:
    return Performance(
        runs=figures.runs,
        success=figures.success,
        p50_ms=figures.p50_ms,
        p95_ms=figures.p95_ms,
        spend_micros=figures.spend_micros,
        is_cut=is_cut,
    )
