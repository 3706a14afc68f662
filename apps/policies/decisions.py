"""Reads of decisions, and what is kept of the calls they were about. Both keys must be held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils import timezone

from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.common.json import Object
from apps.common.pagination import Keyset
from apps.policies.bundles import POLICY
from apps.policies.errors import DocumentChanged
from apps.policies.models import Decision, DecisionInput
from apps.policies.questions import INPUT_RUN
from apps.policies.selectors import get_head
from apps.trust.canonical import digest
from apps.trust.errors import JsonInvalid

DECISION: Final = "dec"
NEWEST: Final = Keyset(("at", "id"))
DAY_LOOKED_AT: Final = 1_000
"""How many decisions are looked at to count by policy."""


def list_decisions(
    *,
    result: str = "",
    agent_id: UUID | None = None,
    policy_id: UUID | None = None,
    run_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    shadowed: bool = False,
) -> QuerySet[Decision]:
    """Decisions with the slug of the agent that each was about; `shadowed` for those only that a
    draft would have made otherwise.

    Those of one policy are picked from the newest on: row-level security keeps Postgres from
    looking into a document by an index, so give `since` for a policy that rarely counts.
    """
    rows: QuerySet[Decision] = Decision.objects.annotate(agent=F("run__agent__slug"))
    if result:
        rows = rows.filter(result=result)
    if agent_id:
        rows = rows.filter(agent_id=agent_id)
    if run_id:
        rows = rows.filter(run_id=run_id)
    if since:
        rows = rows.filter(at__gte=since)
    if until:
        rows = rows.filter(at__lt=until)
    if policy_id:
        rows = _of_policy(rows, policy_id, shadowed=shadowed)
    return rows.filter(shadows__isnull=False) if shadowed else rows


def get_decision(ref: str) -> Decision:
    """A decision by its public id; raises NotFound."""
    found = list_decisions().filter(id=parse_id(DECISION, ref)).first()
    if found is None:
        raise NotFound("There is no such decision.")
    return found


def find_document(decision: Decision) -> Object | None:
    """The document that a decision was made of, with the run's input as it is kept; None once the
    org keeps it no longer. Raises DocumentChanged for one that isn't what the decision's digest is
    of.
    """
    rows = DecisionInput.objects.select_related("decision__run").filter(decision=decision)
    row = rows.filter(at__gte=kept_since(timezone.now())).first()
    return read_document(row) if row else None


def kept_since(at: datetime) -> datetime:
    """From when on the org keeps documents; an older one is as good as erased, and soon is."""
    return at - timedelta(days=get_head().keep_inputs_days)


def find_altered(limit: int) -> list[UUID]:
    """Decisions whose document isn't what they were made of, among so many of the newest kept."""
    rows = DecisionInput.objects.select_related("decision").order_by("-at")
    some = rows.only("document", "decision__input_digest")[:limit]
    return [row.decision_id for row in some.iterator(chunk_size=50) if not _is_as_decided(row)]


def _is_as_decided(kept: DecisionInput) -> bool:
    try:
        return digest(kept.document) == bytes(kept.decision.input_digest)
    except JsonInvalid:
        return False


def read_document(kept: DecisionInput) -> Object:
    """A kept document with the input of its run in its place. Raises DocumentChanged for one that
    isn't what the decision's digest is of: nobody gets it.
    """
    if not _is_as_decided(kept):
        raise DocumentChanged("Have the audit log verified.")
    document: Object = kept.document
    context = document["context"]
    if INPUT_RUN not in context:
        return document
    rest = {name: value for name, value in context.items() if name != INPUT_RUN}
    return {**document, "context": {**rest, "input": kept.decision.run.input}}


def _of_policy(rows: QuerySet[Decision], policy_id: UUID, *, shadowed: bool) -> QuerySet[Decision]:
    said = [{"policy": public_id(POLICY, policy_id)}]
    return rows.filter(shadows__contains=said) if shadowed else rows.filter(policies__contains=said)


@dataclass(frozen=True, slots=True)
class Day:
    """How often each policy counted in the last 24 hours, as far as the newest decisions tell."""

    by_policy: Mapping[str, int]
    is_cut: bool


def count_day(*, at: datetime) -> Day:
    """Count by policy, over the newest decisions of a day and no more of them than a page needs."""
    rows = Decision.objects.filter(at__gt=at - timedelta(days=1)).order_by("-at", "-id")
    said = list(rows.values_list("policies", flat=True)[: DAY_LOOKED_AT + 1])
    counted = Counter(one["policy"] for opinions in said[:DAY_LOOKED_AT] for one in opinions)
    return Day(counted, len(said) > DAY_LOOKED_AT)


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """How often a draft would have decided otherwise since it shadows, and a few of those."""

    differ: int
    is_cut: bool
    newest: Sequence[Decision]


def count_shadowed(policy_id: UUID, *, since: datetime) -> ShadowCount:
    """What a shadow has found, over the newest decisions that any draft would have changed."""
    rows = list_decisions(policy_id=policy_id, since=since, shadowed=True).order_by("-at", "-id")
    found = list(rows[: DAY_LOOKED_AT + 1])
    return ShadowCount(min(len(found), DAY_LOOKED_AT), len(found) > DAY_LOOKED_AT, found[:10])


def find_recent_document(policy_id: UUID) -> Object | None:
    """The newest call that a policy decided, in the last day, if its document is still kept as it
    was decided by.
    """
    said = [{"policy": public_id(POLICY, policy_id)}]
    rows = DecisionInput.objects.select_related("decision__run").filter(
        decision__policies__contains=said, at__gt=timezone.now() - timedelta(days=1)
    )
    kept = rows.order_by("-at").first()
    try:
        return read_document(kept) if kept else None
    except DocumentChanged:
        return None
