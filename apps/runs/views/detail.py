"""One run: what happened, step by step, while it happens and for good."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.common.htmx import render_page_or_partial, see_other, wants_partial
from apps.common.ids import parse_id, public_id
from apps.common.json import Object
from apps.common.links import link
from apps.orgs.pages import command, needs, principal_of, still_may
from apps.orgs.principals import Principal
from apps.runs import selectors, trace
from apps.runs.errors import RUN
from apps.runs.models import EventKind, Run, RunEvent, RunLog, Step
from apps.runs.presenting import cost_of, facts_of, milliseconds, run_url, tokens_of
from apps.runs.reading import READ, bare_step, may_read, told_event
from apps.runs.selectors import RunView
from apps.runs.services.control import cancel_run
from apps.runs.states import RunStatus
from apps.runs.streams import stream_run
from apps.runs.views.feedback import feedback_card
from apps.runs.wording import mending, why

SHOWN: Final = 200
"""Runs, steps and lines of a log that the page shows; the API gives them all."""
BEAT: Final = 10
"""Seconds after which an open run's page is drawn anew although nothing has happened."""
STOP_POLLING: Final = 286


@require_safe
@never_cache
@needs("runs.view")
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """A run and the whole tree that it stands in.

    While it is open the page asks for its changing part again: when the stream of its events says
    that there is something new, and every few seconds in case no stream holds. Nothing is sent
    while nothing has changed (204), so that what somebody reads or has selected stays; 286 ends
    the asking.
    """
    run, now = selectors.get_run(parse_id(RUN, ref)), timezone.now()
    tree, steps_of_tree = selectors.list_trace(run.root_id, limit=SHOWN)
    reads = principal_of(request).may(READ)
    logs = list(selectors.list_logs(run.id)[:SHOWN]) if reads else []
    seen = _version(run, tree, len(steps_of_tree), len(logs))
    if wants_partial(request) and request.GET.get("seen") == seen and not run.is_closed:
        return HttpResponse(status=204)
    facts = facts_of(request, run)
    context = {
        "crumbs": [("Runs", link(request, "runs:runs")), (facts["title"], None)],
        "run": {**facts, "so_far_ms": _so_far(run, now)},
        "reads": reads,
        "why": why(run.reason),
        "mending": mending(run.reason, (run.error or {}).get("code", "")),
        "told": _told(facts, run.reason),
        "kin": _kin(request, run, tree),
        **_drawn(request, run, tree, steps_of_tree, now),
        "steps": [
            _step(request, step if reads else bare_step(step))
            for step in selectors.list_steps(run.id)[:SHOWN]
        ],
        "logs": [_line(line) for line in logs],
        "shown": SHOWN,
        "is_live": wants_partial(request),
        "poll_url": link(request, "runs:run", public_id(RUN, run.id), seen=seen),
        "events_url": link(request, "runs:events", public_id(RUN, run.id)),
        **_actions(request, run, tree),
    }
    if not wants_partial(request):
        context["feedback"] = feedback_card(request, run.id)
    status = STOP_POLLING if wants_partial(request) and run.is_closed else 200
    return render_page_or_partial(request, "runs/detail.html", "live", context, status=status)


def _version(run: RunView, tree: list[Run], steps: int, logs: int) -> str:
    """What the page shows that can change, as one word."""
    beat = int(timezone.now().timestamp()) // BEAT
    shown = [run.status, run.attempt, [row.status for row in tree], steps, logs, beat]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def _actions(request: HttpRequest, run: RunView, tree: list[Run]) -> dict[str, Any]:
    principal, ref = principal_of(request), public_id(RUN, run.id)
    may, agent = principal.may, public_id("agt", run.agent_id)
    is_own = run.parent_id is None and run.caller.principal == principal.actor.principal
    like = {"like": ref} if may_read(principal, run) else {}
    below = sum(row.finished_at is None for row in tree if run.id != row.id)
    return {
        "can_cancel": may("runs.cancel"),
        "cancel_text": _cancel_text(below if run.parent_id is None else 0),
        "again_url": link(request, "runs:try", agent, tool=run.tool, **like)
        if may("agents.invoke")
        else None,
        "continue_url": link(request, "runs:try", agent, tool=run.tool, session_id=run.session_id)
        if run.session_id and is_own and may("agents.invoke")
        else None,
        "command": command(request, f"/v1/runs/{ref}"),
    }


def _told(facts: dict[str, Any], reason: str) -> dict[str, str]:
    """Where a refusal is told in full: at what a person was asked, or the policies decided."""
    kind = "approval" if reason.startswith("approval_") else "decision"
    found = facts[kind] if facts["status"] == RunStatus.DENIED else None
    return {"url": found["url"], "action": f"See the {kind}"} if found and found["url"] else {}


def _cancel_text(below: int) -> str:
    """What cancelling does now, in numbers."""
    also = f" and {below} open run{'s' if below > 1 else ''} below it" if below else ""
    ends = f"This run{also} end{'' if below else 's'} now."
    return f"{ends} What is under way is discarded and cannot be brought back."


def _kin(request: HttpRequest, run: RunView, tree: list[Run]) -> dict[str, Any]:
    """The runs that this one comes from and those that it asked for."""
    by_id: dict[Any, Any] = {row.id: row for row in tree}

    def named(run_id: Any) -> dict[str, str]:
        row = by_id.get(run_id)
        name = row.agent_slug if row else public_id(RUN, run_id)
        return {"name": name, "url": run_url(request, run_id)}

    is_deep = run.parent_id not in (None, run.root_id)
    return {
        "parent": named(run.parent_id) if run.parent_id else None,
        "root": named(run.root_id) if is_deep else None,
        "children": [named(child) for child in run.children[:20]],
    }


def _drawn(
    request: HttpRequest, run: RunView, tree: list[Run], steps: list[Step], now: datetime
) -> dict[str, Any]:
    """The tree as a waterfall, and as a table of what its runs cost."""
    if not any(row.id == run.id for row in tree):
        tree, steps = [row for row in tree if row.id == run.root_id], []
    drawn = trace.draw(tree, steps, current=run.id, now=now)
    is_cut = max(len(tree), len(steps)) >= SHOWN
    return {
        "trace": {
            "spans": [{"span": span, "url": _span_url(request, run, span)} for span in drawn.spans],
            "ticks": drawn.ticks,
            "agents": drawn.agents,
            "has_work": any(span.css == trace.WORK for span in drawn.spans),
            "runs": len(tree),
            "is_cut": is_cut,
        },
        "costs": _costs(request, tree, drawn.spans) if len(tree) > 1 else None,
    }


def _span_url(request: HttpRequest, run: RunView, span: trace.Span) -> str:
    """Where a bar leads: to a run's page, or to a step on one."""
    here = span.run_id == run.id and span.anchor
    url = "" if here else run_url(request, span.run_id)
    return f"{url}#{span.anchor}" if span.anchor else url


def _costs(request: HttpRequest, tree: list[Run], spans: tuple[trace.Span, ...]) -> dict[str, Any]:
    """What each run of a tree has cost, in the order of the waterfall, and all together."""
    by_id = {row.id: row for row in tree}
    runs = [(span, by_id[span.run_id]) for span in spans if not span.anchor]
    tokens = [tokens_of(row.usage) for row in tree]
    return {
        "rows": [
            {
                "agent": span.name,
                "tool": row.tool,
                "url": run_url(request, row.id),
                "depth": span.depth,
                "is_current": span.is_current,
                "status": row.status,
                "tokens": tokens_of(row.usage),
                "duration_ms": span.duration_ms,
                "cost_micros": cost_of(row),
            }
            for span, row in runs
        ],
        "tokens": sum(found for found in tokens if found) or None,
        "cost_micros": sum(row.cost_micros for row in tree),
        "is_final": all(row.finished_at for row in tree),
    }


def _so_far(run: RunView, now: datetime) -> float | None:
    """How long an open run has been at work."""
    return None if run.is_closed else milliseconds(run.started_at, now)


def _line(line: RunLog) -> dict[str, Any]:
    """A line of the log; a value that is text stands without quotes."""
    fields = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in line.fields.items()
    }
    return {"at": line.at, "level": line.level, "message": line.message, "fields": fields}


def _step(request: HttpRequest, step: Step) -> dict[str, Any]:
    return {
        "anchor": trace.anchor_of(step),
        "ordinal": step.ordinal,
        "is_over": step.finished_at is not None,
        "name": step.name,
        "kind": trace.KINDS[Step.Kind(step.kind)],
        "status": step.status,
        "attempt": step.attempt,
        "input": step.input,
        "output": step.output,
        "error": step.error,
        "url": run_url(request, step.child_id) if step.child_id else None,
        "started_at": step.started_at,
        "duration_ms": milliseconds(step.started_at, step.finished_at),
    }


@require_GET
@never_cache
@needs("runs.view")
def events(request: HttpRequest, ref: str) -> HttpResponseBase:
    """Tells an open page that there is something new; it then asks for its changing part."""
    by, run = principal_of(request), selectors.get_run(parse_id(RUN, ref))
    return stream_run(
        request,
        run,
        principal=by.rate_limit_key,
        may=still_may(request, "runs.view"),
        told=lambda ended: {"status": ended.status},
        tells=partial(_ping, by, run),
    )


def _ping(by: Principal, run: RunView, event: RunEvent) -> Object | None:
    """That something is new and never what: the page asks for that as its reader may see it."""
    is_shown = event.kind != EventKind.DELTA and told_event(by, run, event) is not None
    return {} if is_shown else None


@require_POST
@needs("runs.cancel")
def cancel(request: HttpRequest, ref: str) -> HttpResponse:
    """End an open run and all below it."""
    run = cancel_run(
        run_id=parse_id(RUN, ref), actor=principal_of(request).actor, at=timezone.now()
    )
    messages.success(request, "The run was cancelled.")
    return see_other(run_url(request, run.id))
