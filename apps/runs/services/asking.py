"""What policies are asked of a call, what they oblige to, and what that means for the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from apps.agents.directory import Frozen, Tool
from apps.agents.runtimes.base import Annotations, Effect
from apps.common import ratelimit
from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.models import Project
from apps.orgs.principals import Principal
from apps.policies.engine.types import Obligations, Rate
from apps.policies.questions import Circumstances, Question, Resource, Subject
from apps.policies.services.deciding import Answer, decide
from apps.runs.errors import REASONS
from apps.runs.masking import NOTHING_HIDDEN, Mask
from apps.tenants import keys

ENVIRONMENT: Final = "live"
AGENT: Final = "agt"
_WORDS: Final = ("reasons", "would_reasons", "flaw")
"""Where a record has what policies say in their own words."""
# What a decision means for the call that it is about, where that isn't let through.
REFUSALS: Final = {"deny": "policy", "unavailable": "policy_unavailable"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the member who stands behind, a key's, or who made an agent's, and their role
    and groups.
    """

    actor: Actor
    member_id: UUID | None
    role: str | None
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, by: Principal) -> Caller:
        return cls(by.actor, by.member_id, by.role, by.groups)

    @property
    def is_agent(self) -> bool:
        return self.actor.type == ActorType.AGENT

    @property
    def action(self) -> Literal["agent.invoke", "agent.call"]:
        return "agent.call" if self.is_agent else "agent.invoke"

    @property
    def subject(self) -> Subject:
        """As policies know them: a person by their own id, whichever key of theirs asks."""
        if self.is_agent:
            return self.standing_behind(self.actor.id)
        person = public_id("mem", self.member_id) if self.member_id else self.actor.id
        return Subject(type="user", id=person, role=self.role, groups=self.groups)

    def standing_behind(self, agent: str) -> Subject:
        """An agent, by its public id, that does something on this one's behalf."""
        return Subject(type="agent", id=agent, role=self.role, groups=self.groups)


@dataclass(frozen=True, slots=True)
class Place:
    """A project that a run counts for, or that its agent is of."""

    id: UUID
    slug: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """On whose behalf a run works, where it counts, and by which agents it came there.

    `root_id` is the run that waits if a person has to be asked; `approval_id` what one said last.
    `agreed` are the reasons for which a person was asked whether the run may begin, and agreed.
    """

    root_id: UUID
    behind: Caller
    place: Place
    home: Place
    lineage: tuple[str, ...]
    approval_id: UUID | None = None
    agreed: tuple[str, ...] = ()

    @property
    def tags(self) -> dict[str, list[str]]:
        """By project, what the database compares: what was decided by other tags is void."""
        return {str(place.id): list(place.tags) for place in (self.place, self.home)}

    def resource(self, agent_id: UUID, tool: str, annotations: Annotations) -> Resource:
        """A tool of the last agent. The tags are those of both projects: nobody gets past a policy
        by having the run count for another project than the agent's.
        """
        return Resource(
            agent_id=agent_id,
            agent=self.lineage[-1],
            tool=tool,
            annotations=annotations.as_json(),
            project_id=self.place.id,
            project=self.place.slug,
            tags=tuple(dict.fromkeys((*self.place.tags, *self.home.tags))),
            agent_project_id=self.home.id,
            agent_project=self.home.slug,
            agent_tags=self.home.tags,
        )


def with_present_tags(charge: Charge) -> Charge:
    """The charge with its projects as they are now; one query."""
    ids = {charge.place.id, charge.home.id}
    rows = Project.objects.filter(id__in=ids).values_list("id", "slug", "tags")
    now = {row[0]: Place(row[0], row[1], tuple(row[2])) for row in rows}
    return replace(charge, place=now[charge.place.id], home=now[charge.home.id])


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of a call: nothing against it, a reason against it, or ask a person.

    Where policies were asked, what they said stands in `answer`; `record` is what is kept of it,
    and `mask` what of the call nobody is to read in it. `retry_after` is the seconds after which a
    call that came too soon may come again.
    """

    refusal: str | None = None
    answer: Answer | None = None
    record: Object | None = None
    mask: Mask = NOTHING_HIDDEN
    retry_after: int | None = None

    @property
    def bundle(self) -> int | None:
        return self.answer.bundle if self.answer else None

    @property
    def id(self) -> UUID | None:
        return self.answer.id if self.answer and self.record else None

    @property
    def needs_approval(self) -> bool:
        is_asked = self.answer is not None and self.answer.verdict.result == "require_approval"
        return is_asked and self.refusal is None

    @property
    def reasons(self) -> tuple[str, ...]:
        said = self.answer.verdict.reasons if self.answer else ()
        return tuple(self.mask.scrub(said))

    @property
    def obligations(self) -> Obligations:
        return self.answer.verdict.obligations if self.answer else Obligations()

    @property
    def rests_on_tags(self) -> bool:
        """Whether policies were asked, to which a project's tags may matter."""
        return self.answer is not None and self.answer.is_recorded

    def against(self, refusal: str, *, retry_after: int | None = None) -> Decision:
        """The same, where an obligation is in the way of what policies would let through."""
        result = "unavailable" if refusal == "policy_unavailable" else "deny"
        said = {"result": result, "reasons": [REASONS[refusal]]}
        record = {**self.record, **said} if self.record else None
        return replace(self, refusal=refusal, record=record, retry_after=retry_after)


UNASKED: Final = Decision()


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts a call against the rates that it is bound by: once, however often it is looked at."""

    identity: str
    told: dict[Rate, ratelimit.Verdict | None] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: str, agent_id: UUID, tool: str) -> Meter:
        """Each person and each agent is counted by itself for each tool, in each org: who has
        many keys has one rate.
        """
        org = keys.current().org_id
        return cls(f"{org}:{subject}:{agent_id.hex}:{tool}")

    def spend(self, rate: Rate) -> ratelimit.Verdict | None:
        if rate not in self.told:
            limit = ratelimit.Policy("policy", rate.requests, rate.seconds)
            name = f"{self.identity}:{rate.requests}/{rate.seconds}"
            self.told[rate] = ratelimit.default_limiter().spend(limit, name)
        return self.told[rate]


def ask(
    question: Question,
    *,
    caller: Actor,
    price_micros: int = 0,
    above: Mask = NOTHING_HIDDEN,
    fresh: bool = False,
) -> Decision:
    """Have the org's policies decide, and say what that comes to, with the record for whoever puts
    the call on record. Nothing is written here, and no rate is counted (`metered`).

    `above` is what is hidden of the run that makes the call; a price over the cap is refused.
    """
    answer = decide(question, fresh=fresh)
    mask = _mask_of(question, answer.verdict.obligations, above)
    said = Decision(answer=answer, record=_record(answer, question, caller, mask), mask=mask)
    if refusal := REFUSALS.get(answer.verdict.result):
        return replace(said, refusal=refusal)
    cap = said.obligations.cap_cost_micros
    return said.against("policy_cost") if cap is not None and price_micros > cap else said


def metered(said: Decision, meter: Meter) -> Decision:
    """The decision after the call was counted against the rates that it is bound by.

    To be counted when it is let through, or when a person is asked, and not once more when it goes
    on by that. A rate that can't be counted is no rate, so the call waits until it can be.
    """
    if said.refusal is not None:
        return said
    for rate in said.obligations.rates:
        verdict = meter.spend(rate)
        if verdict is None:
            return said.against("policy_unavailable")
        if not verdict.allowed:
            return said.against("policy_rate", retry_after=verdict.reset)
    return said


def question_of_run(
    caller: Caller,
    charge: Charge,
    *,
    agent_id: UUID,
    frozen: Frozen,
    tool: Tool,
    input: Object,
    run_id: UUID,
    at: datetime,
) -> Question:
    """What is asked about an invocation, or about one agent's call of another."""
    before = charge.lineage[:-1]
    return Question(
        action=caller.action,
        subject=caller.subject,
        resource=charge.resource(agent_id, tool.name, tool.annotations),
        context=Circumstances(
            cost_micros=_most(frozen, tool),
            depth=len(before),
            environment=ENVIRONMENT,
            input=input,
            at=at,
            caller=before[-1] if before else None,
            lineage=before,
        ),
        run_id=run_id,
    )


def question_of_effect(
    charge: Charge,
    effect: Effect,
    input: Object,
    *,
    agent_id: UUID,
    run_id: UUID,
    host_is_new: bool,
    at: datetime,
) -> Question:
    """What is asked before an agent has a tool call made outside."""
    return Question(
        action="tool.call",
        subject=charge.behind.standing_behind(public_id(AGENT, agent_id)),
        resource=charge.resource(agent_id, effect.tool, effect.annotations),
        context=Circumstances(
            cost_micros=0,
            depth=len(charge.lineage),
            environment=ENVIRONMENT,
            input=input,
            at=at,
            caller=charge.lineage[-1],
            lineage=charge.lineage,
            host=effect.host,
            host_is_new=host_is_new,
        ),
        run_id=run_id,
    )


def _most(frozen: Frozen, tool: Tool) -> int:
    """What a call costs at most, as far as that is known: its price, and what the agent's own
    limits let it spend on models.
    """
    limits: Mapping[str, Any] = frozen.config.get("limits") or {}
    return (tool.price_micros or 0) + (limits.get("cost_micros") or 0)


def _mask_of(question: Question, obligations: Obligations, above: Mask) -> Mask:
    """What is hidden of a call: of a run's own what is hidden of the run, of another run also what
    is hidden above it.
    """
    input = question.context.input
    if question.action == "tool.call":
        return above.within(obligations.mask, input)
    return Mask.of(obligations.mask, input, above=above) if obligations.mask or above else above


def _record(answer: Answer, question: Question, caller: Actor, mask: Mask) -> Object | None:
    """What is kept of a decision: what policies said, of whose call of what."""
    record = answer.as_record(mask.input(question.context.input))
    if record is None:
        return None
    if mask:
        record = _hidden(record, mask)
    about: Mapping[str, Any] = {
        "agent_id": str(question.resource.agent_id),
        "tool": question.resource.tool,
        "caller_type": caller.type.value,
        "caller_id": caller.id,
        "caller_label": caller.label,
    }
    return {**record, **about}


def _hidden(record: Object, mask: Mask) -> Object:
    """A record whose reasons tell nothing of what is hidden: they may be made of the input."""

    def said(one: Object) -> Object:
        return {**one, **{name: mask.scrub(one[name]) for name in set(_WORDS) & one.keys()}}

    return {
        **said(record),
        "policies": [said(one) for one in record["policies"]],
        "shadows": [said(one) for one in record["shadows"] or ()] or None,
    }
