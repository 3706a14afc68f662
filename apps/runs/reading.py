"""Who reads what runs took, gave and logged, and what stands in its place for everybody else.

`data.read` opens all of it. Who asked for a run reads what they gave it and what it answered; what
it did on the way, its steps and its log, is no part of the answer. Everybody else who sees runs
sees that one ran: by whom, when, how long, at what cost, and how it ended. A run's title is made of
its input, so it counts as data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from apps.common.json import Object
from apps.orgs.permissions import DATA_READ
from apps.orgs.principals import Principal
from apps.runs.models import EventKind, Run, RunEvent, Step
from apps.runs.selectors import RunView

READ: Final = DATA_READ
_OWN: Final = frozenset({EventKind.STATUS, EventKind.STEP, EventKind.DELTA})
_FACTS: Final = frozenset({EventKind.STATUS, EventKind.STEP})


def may_read(by: Principal, run: RunView) -> bool:
    """Whether somebody reads a run's input, output and error."""
    return by.may(READ) or is_own(by, run.caller.principal)


def is_own(by: Principal, asked_by: str) -> bool:
    """Whether what somebody has asked for is theirs to read."""
    return by.reads_own and asked_by == by.actor.principal


def shown_to(by: Principal, run: RunView) -> RunView:
    """The run as this principal sees it; `withheld` says that something was left out."""
    if may_read(by, run):
        return run
    return replace(
        run,
        title=plain_title(run.agent, run.tool),
        input=None,
        output=None,
        error=bare(run.error),
        withheld=True,
    )


def title_for(by: Principal, run: Run) -> str:
    """What a line of a list that `list_runs` read is called."""
    read: Any = run
    if by.may(READ) or is_own(by, f"{run.caller_type}:{run.caller_id}"):
        return run.title
    return plain_title(read.agent_slug, run.tool)


def plain_title(agent: str, tool: str) -> str:
    """What a run is called where its input may not be read."""
    return f"Run of {agent}" if tool in ("", agent) else f"Run of {agent}, {tool}"


def bare(error: Object | None) -> Object | None:
    """An error without its message, which may repeat data."""
    return {"code": error["code"]} if error else None


def bare_step(step: Step) -> Step:
    """A step without what it took and gave; not to be saved."""
    step.input = step.output = None
    step.error = bare(step.error)
    return step


def told_event(by: Principal, run: RunView, event: RunEvent) -> Object | None:
    """What of an event of a run is told; None for one that isn't."""
    data: Object = event.data
    if by.may(READ):
        return data
    if event.kind not in (_OWN if may_read(by, run) else _FACTS):
        return None
    if event.kind == EventKind.STEP:
        return {**data, "error": bare(data.get("error"))}
    return data
