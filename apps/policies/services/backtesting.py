"""What a text would have decided about calls that are over.

Its opinion takes the place of its own policy's among those on record, or is added to them where it
is no policy's. Documents are read as they are kept: what was masked then is masked now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from apps.common.errors import Invalid, NotFound
from apps.common.ids import parse_id, public_id
from apps.common.jobs import enqueue
from apps.common.json import Object
from apps.policies.bundles import POLICY, obligations_as_json, obligations_of_json
from apps.policies.decisions import DECISION, kept_since, read_document
from apps.policies.engine import get_engine
from apps.policies.engine.asking import draft
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Engine, Obligations, Opinion, Text, Verdict
from apps.policies.errors import DocumentChanged
from apps.policies.models import Backtest, Decision, Scope
from apps.policies.questions import RUN
from apps.policies.selectors import list_attachments
from apps.policies.services.policies import check
from apps.tenants.services import activity

BACKTEST: Final = "pbt"
MOST: Final = 5_000
"""How many decisions one looks at."""
LISTED: Final = 200
"""How many of those that would change are listed one by one."""
DAYS_MAX: Final = 90
AT_ONCE: Final = 1.5
"""Seconds that a request spends on it before a job goes on."""
A_JOB: Final = 20.0
"""Seconds that one job spends before another goes on."""
KEPT: Final = timedelta(days=30)
_PART: Final = 100
_PATIENCE: Final = timedelta(seconds=60)
_TRIES: Final = 15
"""How often one decision is asked about, a minute apart, before it counts as unavailable."""
_FOUND: Final = (
    *("status", "evaluated", "without_input", "changed", "changed_count", "is_cut"),
    *("reached_at", "reached_id", "tries", "worked_at", "finished_at"),
)

Covers = Callable[[Decision, Object], bool]


@dataclass(frozen=True, slots=True)
class Said:
    """What came of all that policies said of a call."""

    result: str
    obligations: Obligations


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that would be another: of another result, or obliging to something else than
    policies said then.
    """

    decision: Decision
    was: Said
    verdict: Verdict

    def as_json(self) -> Object:
        return {
            "decision": public_id(DECISION, self.decision.id),
            "run": public_id(RUN, self.decision.run_id),
            "tool": self.decision.tool,
            "at": self.decision.at.isoformat(),
            "was": self.was.result,
            "would_be": self.verdict.result,
            "reasons": list(self.verdict.reasons),
            "obligations_were": obligations_as_json(self.was.obligations),
            "obligations_would_be": obligations_as_json(self.verdict.obligations),
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A text to ask, in whose place among the opinions on record, and about which calls."""

    engine: Engine
    text: Text
    policy_id: UUID | None
    covers: Covers
    kept_since: datetime

    @classmethod
    def of(cls, backtest: Backtest, at: datetime) -> Work:
        text, policy_id = draft(backtest.rego_text), backtest.policy_id
        return cls(get_engine(), text, policy_id, _covers(policy_id), kept_since(at))


def start_backtest(
    *,
    rego_text: str,
    days: int,
    policy_id: UUID | None = None,
    by_member_id: UUID,
    at: datetime,
    seconds: float = AT_ONCE,
) -> Backtest:
    """Ask a text about the calls of so many days. What takes longer than that goes on in a job.

    Raises Invalid, RegoInvalid, PolicyEngineUnavailable.
    """
    if not 1 <= days <= DAYS_MAX:
        raise Invalid.of("days", f"Use 1 to {DAYS_MAX} days.")
    text = check({"rego_text": rego_text})["rego_text"]
    backtest = Backtest.objects.create(
        policy_id=policy_id,
        rego_text=text,
        days=days,
        created_by_id=by_member_id,
        created_at=at,
        worked_at=at,
    )
    return go_on(backtest_id=backtest.id, at=at, seconds=seconds)


def get_backtest(ref: str) -> Backtest:
    """A backtest by its public id; raises NotFound."""
    rows = Backtest.objects.select_related("policy", "created_by")
    found = rows.filter(id=parse_id(BACKTEST, ref)).first()
    if found is None:
        raise NotFound("There is no such backtest; they are kept for 30 days at most.")
    return found


def go_on(*, backtest_id: UUID, at: datetime, seconds: float = A_JOB) -> Backtest:
    """Look at further decisions for so long; where there are more, a job goes on. It goes on later
    where the engine doesn't answer: what wasn't asked would be no change.

    What was found is kept part by part, and no transaction is open while the text is asked: it
    would hold up the checkpoints of every org. Who comes to keep a part that somebody else has kept
    leaves the rest to them, so each decision counts once.
    """
    until = time.monotonic() + seconds
    backtest = Backtest.objects.get(id=backtest_id)
    work = Work.of(backtest, at)
    while backtest.status == Backtest.Status.RUNNING and time.monotonic() < until:
        before, backtest.worked_at = backtest.reached_id, at
        is_answered = _look(backtest, work, until=until, at=at)
        if not _keep(backtest, before):
            return Backtest.objects.get(id=backtest_id)
        if not is_answered:
            activity.due_at(org_id=backtest.org_id, at=at + _PATIENCE + timedelta(seconds=1))
            return backtest
    if backtest.status == Backtest.Status.RUNNING:
        enqueue("policies.go_on_backtest", backtest_id=str(backtest.id))
    return backtest


def sweep_backtests(at: datetime) -> None:
    """The sweeper's step: wake those that a lost message left lying, and forget those that are
    older than a document may be.
    """
    lying = Backtest.objects.filter(status=Backtest.Status.RUNNING, worked_at__lt=at - _PATIENCE)
    for backtest_id in lying.values_list("id", flat=True)[:10]:
        enqueue("policies.go_on_backtest", backtest_id=str(backtest_id))
    old = Backtest.objects.filter(created_at__lt=max(at - KEPT, kept_since(at)))
    old = old.order_by("created_at", "id")
    if batch := list(old.values_list("id", flat=True)[:100]):
        Backtest.objects.filter(id__in=batch).delete()


def _look(backtest: Backtest, work: Work, *, until: float, at: datetime) -> bool:
    """Ask about the next decisions, as many as are kept together, until it is late; whether the
    engine answered.
    """
    part = list(_next(backtest))
    for decision in part:
        if time.monotonic() >= until:
            return True
        if not _ask(backtest, decision, work):
            return False
        backtest.reached_at, backtest.reached_id = decision.at, decision.id
        backtest.tries = 0
    backtest.is_cut = backtest.evaluated + backtest.without_input >= MOST
    if backtest.is_cut or len(part) < _PART:
        backtest.status, backtest.finished_at = Backtest.Status.DONE, at
    return True


def _keep(backtest: Backtest, before: UUID | None) -> bool:
    """Keep what was found since `before`, unless somebody else has gone on from there."""
    rows = Backtest.objects.filter(
        id=backtest.id, status=Backtest.Status.RUNNING, reached_id=before
    )
    return bool(rows.update(**{name: getattr(backtest, name) for name in _FOUND}))


def _next(backtest: Backtest) -> QuerySet[Decision]:
    """The decisions that come after the last one that was looked at, with what is kept of them."""
    since = backtest.created_at - timedelta(days=backtest.days)
    rows = Decision.objects.select_related("kept", "run").filter(at__gte=since)
    rows = rows.only(
        *("id", "org_id", "run_id", "agent_id", "tool", "result", "policies", "obligations", "at"),
        "input_digest",
        *("kept__decision_id", "kept__document", "run__input"),
    )
    rows = rows.filter(at__lte=backtest.reached_at or backtest.created_at)
    if backtest.reached_at is not None:
        rows = rows.exclude(at=backtest.reached_at, id__gte=backtest.reached_id)
    return rows.order_by("-at", "-id")[:_PART]


def _ask(backtest: Backtest, decision: Decision, work: Work) -> bool:
    """Whether there was an answer, or no question, or no use in asking once more."""
    document = _document_of(decision, work.kept_since)
    if document is None:
        backtest.without_input += 1
        return True
    if not work.covers(decision, document):
        return True
    (opinion,) = work.engine.evaluate([work.text], document).opinions
    if opinion.is_for_now and backtest.tries + 1 < _TRIES:
        backtest.tries += 1
        return False
    backtest.evaluated += 1
    verdict = combine([*_others(decision, work.policy_id), opinion], micros=0)
    was = said_then(decision)
    if (verdict.result, verdict.obligations) != (was.result, was.obligations):
        backtest.changed_count += 1
        if len(backtest.changed) < LISTED:
            backtest.changed.append(Change(decision, was, verdict).as_json())
    return True


def _document_of(decision: Decision, since: datetime) -> Object | None:
    """The document that it was decided by; None for one that isn't kept, or not as it was."""
    kept = getattr(decision, "kept", None)
    try:
        return read_document(kept) if kept and decision.at >= since else None
    except DocumentChanged:
        return None


def said_then(decision: Decision) -> Said:
    """What policies said of a call; a price or a rate that was in the way of what they let through
    is no opinion of theirs.
    """
    if opinions := _others(decision, None):
        then = combine(opinions, micros=0)
        return Said(then.result, then.obligations)
    # The org's own answer held.
    return Said(decision.result, obligations_of_json(decision.obligations))


def _others(decision: Decision, policy_id: UUID | None) -> Sequence[Opinion]:
    """What the other policies said then."""
    own = public_id(POLICY, policy_id) if policy_id else None
    said: list[dict[str, Any]] = [p for p in decision.policies if p["policy"] != own]
    return [
        Opinion(
            Text(given["id"], given["name"], given["version"], "", ""),
            given["result"],
            tuple(given["reasons"]),
            obligations_of_json(given.get("obligations", {})),
        )
        for given in said
    ]


def _covers(policy_id: UUID | None) -> Covers:
    """Which calls count: every one for a text that is no policy's; for a policy's those that it
    counted for, and those that it is attached to now.
    """
    if policy_id is None:
        return lambda decision, document: True
    own = public_id(POLICY, policy_id)
    attached = {
        (row.scope, row.project.slug if row.project else row.agent_id, row.tool)
        for row in list_attachments(policy_id)
    }

    def covers(decision: Decision, document: Object) -> bool:
        what = document["resource"]
        projects = {what[name]["slug"] for name in ("project", "agent_project") if name in what}
        places = {
            (Scope.ORG, None, ""),
            *((Scope.PROJECT, slug, "") for slug in projects),
            (Scope.AGENT, decision.agent_id, ""),
            (Scope.TOOL, decision.agent_id, decision.tool),
        }
        counted = any(given["policy"] == own for given in decision.policies)
        return counted or not attached.isdisjoint(places)

    return covers
