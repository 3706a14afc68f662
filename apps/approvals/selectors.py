"""Reads of approvals, their votes and rules. All of them need both keys held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Case,
    Exists,
    IntegerField,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Value,
    When,
)

from apps.approvals import registry
from apps.approvals.models import Approval, ApprovalRule, ApprovalStatus, Clock, Vote
from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.text import is_slug
from apps.orgs.models import Member, Role
from apps.orgs.permissions import DATA_READ
from apps.orgs.principals import Principal
from apps.orgs.selectors import AGENT, list_members_who_may

APPROVAL: Final = "apr"
RULE: Final = "apl"
VOTE: Final = "vot"
COUNTED: Final = 10
"""Nobody counts further: it shows 9+."""
NAMED: Final = ("approver", "agent", "project", "role", "rule__agent", "rule__project")
WAITING: Final = "waiting_approvals"
VIEW: Final = "approvals.view"
DECIDE: Final = "approvals.decide"
BREAK_GLASS: Final = "approvals.break_glass"
RULES: Final = "approvals.rules"


@dataclass(frozen=True, slots=True)
class About:
    """What a request is about, as far as a rule may name it; nothing of it is fine too."""

    agent_id: UUID | None = None
    tool: str = ""
    project_id: UUID | None = None


def list_approvals(
    *, status: str = "", subject_type: str = "", decided: bool = False
) -> QuerySet[Approval]:
    """Requests, with whom and what they name; `decided` leaves out those that wait."""
    rows = Approval.objects.select_related(*NAMED)
    votes = Vote.objects.select_related("member").order_by("at", "id")
    rows = rows.prefetch_related(Prefetch("votes", votes))
    if status:
        rows = rows.filter(status=status)
    if subject_type:
        rows = rows.filter(subject_type=subject_type)
    return rows.exclude(status=ApprovalStatus.PENDING) if decided else rows


def in_box(
    box: str, by: Principal, *, status: str = "", subject_type: str = ""
) -> QuerySet[Approval]:
    """What is `waiting` for this principal, `mine`, or `decided`; of no box everything."""
    decided = box == "decided"
    rows = list_approvals(status=status, subject_type=subject_type, decided=decided)
    if box == "waiting":
        return waiting_for(rows, by)
    return asked_by(rows, by) if box == "mine" else rows


def get_approval(ref: str) -> Approval:
    """A request by its public id; raises NotFound."""
    found = list_approvals().filter(id=parse_id(APPROVAL, ref)).first()
    if found is None:
        raise NotFound("There is no such approval.")
    return found


def get_reasons(approval_id: UUID) -> list[str]:
    """Why somebody was asked, as they were told."""
    told: list[str] = Approval.objects.values_list("reasons", flat=True).get(id=approval_id)
    return told


def find_said(words: str, by: Principal, *, among: int) -> QuerySet[Approval]:
    """Requests of which this principal may read that their titles say the words, newest first.

    They are looked for among the newest: no index answers words.
    """
    newest = Approval.objects.order_by("-created_at", "-id").values("id")[:among]
    rows = Approval.objects.filter(id__in=newest, title__icontains=words)
    reads_all = by.may(DECIDE) or by.may(DATA_READ)
    return (rows if reads_all else asked_by(rows, by)).order_by("-created_at", "-id")


def asked_by(rows: QuerySet[Approval], by: Principal) -> QuerySet[Approval]:
    """Those that this member, or something that acts for them, has asked for."""
    return rows.filter(human_id=by.member_id)


def waiting_for(rows: QuerySet[Approval], by: Principal) -> QuerySet[Approval]:
    """Those that this principal could decide now: theirs to decide, in time, not voted on yet."""
    if not by.may(DECIDE):
        return rows.none()
    voted = Vote.objects.filter(approval=OuterRef("pk"), member_id=by.member_id)
    return rows.filter(
        ~Exists(voted),
        ~Q(barred__contains=[by.member_id]),
        Q(role=None) | Q(role__slug=by.role),
        status=ApprovalStatus.PENDING,
        expires_at__gt=Clock(),
    )


def waiting_of_member() -> ArraySubquery:
    """The first requests that wait for a member's row, read along with whoever enters
    (apps.orgs.beside). Whether the member may decide at all, `count_waiting` knows.
    """
    voted = Vote.objects.filter(approval=OuterRef("pk"), member_id=OuterRef(OuterRef("pk")))
    rows = Approval.objects.filter(
        ~Exists(voted),
        Q(role=None) | Q(role_id=OuterRef("role_id")),
        status=ApprovalStatus.PENDING,
        expires_at__gt=Clock(),
    ).exclude(barred__contains=[OuterRef("pk")])
    return ArraySubquery(rows.values("id")[:COUNTED])


def is_own(approval: Approval, by: Principal) -> bool:
    """Whether it was asked for by this principal; a person answers for their keys and agents."""
    if by.agent_id is not None:
        return approval.requester_id == by.actor.id
    return approval.human_id == by.member_id


def may_read(approval: Approval, by: Principal) -> bool:
    """Whether this principal may see what would happen: who decides it must, who asked knows it,
    and for all others it is what runs take and give.
    """
    return by.may(DECIDE) or by.may(DATA_READ) or (by.reads_own and is_own(approval, by))


def title_for(approval: Approval, by: Principal) -> str:
    """What a request is called by somebody: a title may repeat what a run takes."""
    return approval.title if may_read(approval, by) else plain_title(approval)


def plain_title(approval: Approval) -> str:
    """What a request is called where nothing of what would happen may be read."""
    if approval.tool:
        return f"A call of {approval.tool}"
    subject = registry.find_subject(approval.subject_type)
    return subject.label if subject else "A request"


def count_waiting(by: Principal) -> int:
    """How many wait for a member in a browser, at most COUNTED; they were read with the member."""
    return len(by.beside.get(WAITING) or ()) if by.may(DECIDE) else 0


def count_waiting_now(by: Principal) -> int:
    """How many wait for this principal at this moment, at most COUNTED."""
    return len(waiting_for(Approval.objects.all(), by).values_list("pk")[:COUNTED])


def list_agent_choices(*, most: int) -> list[tuple[str, str]]:
    """Agents that aren't retired, (slug, name) by name, for a choice."""
    rows = _agents().exclude(status="retired").order_by("name", "id")
    return list(rows.values_list("slug", "name")[:most])


def list_deciding_roles() -> list[tuple[str, str]]:
    """The roles whose members may decide, (slug, name) in their order."""
    rows = Role.objects.filter(grants__permission__code=DECIDE).order_by("rank", "id")
    return list(rows.values_list("slug", "name"))


def list_voter_ids(approval: Approval) -> list[UUID]:
    """The members who may decide it now, whether or not they have voted."""
    return list(_voters(approval).values_list("id", flat=True))


def list_voter_names(approval: Approval, *, limit: int) -> list[str]:
    """Of the same members some, by name, who joined first."""
    rows = _voters(approval).order_by("joined_at", "id")
    return list(rows.values_list("label", flat=True)[:limit])


def _voters(approval: Approval) -> QuerySet[Member]:
    rows = list_members_who_may(DECIDE).exclude(id__in=approval.barred)
    return rows.filter(role_id=approval.role_id) if approval.role_id else rows


def use_of_role(role: Role, codes: frozenset[str]) -> str:
    """What nobody could decide any more if a role had only these permissions (orgs.role_uses)."""
    if DECIDE in codes:
        return ""
    if rules := ApprovalRule.objects.filter(role=role, removed_at=None).count():
        which = "An approval rule leaves" if rules == 1 else f"{rules} approval rules leave"
        return f"{which} it to {role.name} to decide. Name another role there first."
    waiting = Approval.objects.filter(role=role, status=ApprovalStatus.PENDING)
    if waiting.filter(expires_at__gt=Clock()).exists():
        return f"Requests wait that only {role.name} may decide. Have them decided first."
    return ""


def list_rules() -> QuerySet[ApprovalRule]:
    """The rules that count, the newest first."""
    rows = ApprovalRule.objects.select_related("agent", "project", "role", "created_by")
    return rows.filter(removed_at=None).order_by("-created_at", "-id")


def get_rule(ref: str) -> ApprovalRule:
    """A rule that counts, by its public id; raises NotFound."""
    found = list_rules().filter(id=parse_id(RULE, ref)).first()
    if found is None:
        raise NotFound("There is no such rule.")
    return found


def find_agent_id(ref: str, *, tool: str = "") -> UUID | None:
    """An agent that isn't retired by its public id or slug, if it has that tool: one that it
    offers, or one that its model has called. None if there is none. Agents belong to a higher app,
    so only the rules' own column is followed.
    """
    named = {"slug": ref} if is_slug(ref) else {"id": parse_id(AGENT, ref)}
    rows = _agents().exclude(status="retired").filter(**named)
    if tool:
        own = Q(config__tools__contains=[{"name": tool}])
        rows = rows.filter(Q(capabilities__name=tool) | own)
    found: UUID | None = rows.values_list("id", flat=True).first()
    return found


def find_rule(subject_type: str, about: About) -> ApprovalRule | None:
    """The most specific rule for a request: by tool, else agent, else project, else for anything;
    and of two alike the one that names this type. None if no rule is meant for it.
    """
    of_tool = Q(agent_id=about.agent_id, tool=about.tool)
    of_agent = Q(agent_id=about.agent_id, tool="")
    of_project = Q(project_id=about.project_id)
    anything = Q(agent=None, project=None)
    ranks = [(anything, 3)]
    if about.project_id:
        ranks.insert(0, (of_project, 2))
    if about.agent_id:
        ranks.insert(0, (of_agent, 1))
    if about.agent_id and about.tool:
        ranks.insert(0, (of_tool, 0))
    meant = Q()
    for condition, _ in ranks:
        meant |= condition
    rank = Case(
        *(When(condition, then=Value(place)) for condition, place in ranks),
        output_field=IntegerField(),
    )
    rows = ApprovalRule.objects.filter(meant, removed_at=None, subject_type__in=["", subject_type])
    return rows.alias(rank=rank).order_by("rank", "-subject_type").first()


def _agents() -> QuerySet[Any]:
    model: Any = ApprovalRule._meta.get_field("agent").related_model
    rows: QuerySet[Any] = model.objects.all()
    return rows
