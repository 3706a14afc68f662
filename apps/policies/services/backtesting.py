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

from django.db import transaction
from django.db.models import QuerySet

from apps.common.errors import Invalid, NotFound
from apps.common.ids import parse_id, public_id
from apps.common.jobs import enqueue
from apps.common.json import Object
from apps.policies.bundles import POLICY
from apps.policies.decisions import DECISION, whole_document
from apps.policies.engine import get_engine
from apps.policies.engine.asking import draft
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Engine, Opinion, Text, Verdict
from apps.policies.models import Backtest, Decision, Scope
from apps.policies.questions import RUN
from apps.policies.selectors import list_attachments, name_of
from apps.policies.services.policies import check

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

Covers = Callable[[Decision, Object], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that would be another."""

    decision: Decision
    verdict: Verdict

    def as_json(self) -> Object:
        return {
            "decision": public_id(DECISION, self.decision.id),
            "run": public_id(RUN, self.decision.run_id),
            "tool": self.decision.tool,
            "at": self.decision.at.isoformat(),
            "was": self.decision.result,
            "would_be": self.verdict.result,
            "reasons": list(self.verdict.reasons),
        }


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

    Raises Invalid, RegoInvalid.
    """
    if not 1 <= days <= DAYS_MAX:
        raise Invalid.of("days", f"Use 1 to {DAYS_MAX} days.")
    text = check({"rego_text": rego_text})["rego_text"]
    backtest = Backtest.objects.create(
        policy_id=policy_id, rego_text=text, days=days, created_by_id=by_member_id, created_at=at
    )
    return go_on(backtest_id=backtest.id, at=at, seconds=seconds)


def get_backtest(ref: str) -> Backtest:
    """A backtest by its public id; raises NotFound."""
    rows = Backtest.objects.select_related("policy", "created_by")
    found = rows.filter(id=parse_id(BACKTEST, ref)).first()
    if found is None:
        raise NotFound("There is no such backtest; they are kept for 30 days.")
    return found


def go_on(*, backtest_id: UUID, at: datetime, seconds: float = A_JOB) -> Backtest:
    """Look at further decisions for so long; where there are more, a job goes on after the commit.

    One that somebody else is at work with, or that is done, is left as it is.
    """
    with transaction.atomic():
        rows = Backtest.objects.select_for_update(skip_locked=True)
        backtest = rows.filter(id=backtest_id, status=Backtest.Status.RUNNING).first()
        if backtest is None:
            return Backtest.objects.get(id=backtest_id)
        _work(backtest, until=time.monotonic() + seconds, at=at)
        backtest.save()
        if backtest.status == Backtest.Status.RUNNING:
            enqueue("policies.go_on_backtest", backtest_id=str(backtest.id))
    return backtest


def sweep_backtests(at: datetime) -> None:
    """The sweeper's step: wake those that a lost message left lying, forget those that are old."""
    lying = Backtest.objects.filter(status=Backtest.Status.RUNNING, created_at__lt=at - _PATIENCE)
    for backtest_id in lying.values_list("id", flat=True)[:10]:
        enqueue("policies.go_on_backtest", backtest_id=str(backtest_id))
    old = Backtest.objects.filter(created_at__lt=at - KEPT).order_by("created_at", "id")
    if batch := list(old.values_list("id", flat=True)[:100]):
        Backtest.objects.filter(id__in=batch).delete()


def _work(backtest: Backtest, *, until: float, at: datetime) -> None:
    engine, text, covers = get_engine(), draft(backtest.rego_text), _covers(backtest.policy_id)
    while part := list(_next(backtest)):
        for decision in part:
            _ask(backtest, decision, engine, text, covers)
            backtest.reached_at, backtest.reached_id = decision.at, decision.id
        if backtest.evaluated + backtest.without_input >= MOST:
            backtest.is_cut = True
            break
        if time.monotonic() >= until:
            return
    backtest.status, backtest.finished_at = Backtest.Status.DONE, at


def _next(backtest: Backtest) -> QuerySet[Decision]:
    """The decisions that come after the last one that was looked at, with what is kept of them."""
    since = backtest.created_at - timedelta(days=backtest.days)
    rows = Decision.objects.select_related("kept", "run").filter(at__gte=since)
    rows = rows.only(
        *("id", "org_id", "run_id", "tool", "result", "policies", "at"),
        *("kept__decision_id", "kept__document", "run__input"),
    )
    rows = rows.filter(at__lte=backtest.reached_at or backtest.created_at)
    if backtest.reached_at is not None:
        rows = rows.exclude(at=backtest.reached_at, id__gte=backtest.reached_id)
    return rows.order_by("-at", "-id")[:_PART]


def _ask(
    backtest: Backtest, decision: Decision, engine: Engine, text: Text, covers: Covers
) -> None:
    kept = getattr(decision, "kept", None)
    if kept is None:
        backtest.without_input += 1
        return
    document = whole_document(kept)
    if not covers(decision, document):
        return
    backtest.evaluated += 1
    (opinion,) = engine.evaluate([text], document).opinions
    verdict = combine([*_others(decision, backtest.policy_id), opinion], micros=0)
    if verdict.result != decision.result:
        backtest.changed_count += 1
        if len(backtest.changed) < LISTED:
            backtest.changed.append(Change(decision, verdict).as_json())


def _others(decision: Decision, policy_id: UUID | None) -> Sequence[Opinion]:
    """What the other policies said then."""
    own = public_id(POLICY, policy_id) if policy_id else None
    said: list[dict[str, Any]] = [p for p in decision.policies if p["policy"] != own]
    return [
        Opinion(
            Text(given["id"], given["name"], given["version"], "", ""),
            given["result"],
            tuple(given["reasons"]),
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
    attached = {(row.scope, name_of(row)) for row in list_attachments(policy_id)}

    def covers(decision: Decision, document: Object) -> bool:
        what = document["resource"]
        names = {
            (Scope.ORG, ""),
            (Scope.PROJECT, what["project"]["slug"]),
            (Scope.AGENT, what["agent"]),
            (Scope.TOOL, f"{what['agent']}/{what['tool']}"),
        }
        counted = any(given["policy"] == own for given in decision.policies)
        return counted or not attached.isdisjoint(names)

    return covers
