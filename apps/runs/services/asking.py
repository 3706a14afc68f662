"""What policies are asked of a call, what they oblige to, and what that means for the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from apps.agents.directory import Tool
from apps.agents.runtimes.base import Annotations, Effect
from apps.common import ratelimit
from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.common.json import Object
from apps.orgs.principals import Principal
from apps.policies.engine.types import Obligations, Rate
from apps.policies.questions import Circumstances, Question, Resource, Subject
from apps.policies.services.deciding import Answer, decide
from apps.tenants import keys

ENVIRONMENT: Final = "live"
AGENT: Final = "agt"
# What a decision means for the call that it is about, where that isn't let through.
REFUSALS: Final = {"deny": "policy", "unavailable": "policy_unavailable"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the member and the role that stand behind: a key's, or who made an agent's."""

    actor: Actor
    member_id: UUID | None
    role: str | None

    @classmethod
    def of(cls, by: Principal) -> Caller:
        return cls(by.actor, by.member_id, by.role)

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
            return Subject(type="agent", id=self.actor.id, role=self.role)
        person = public_id("mem", self.member_id) if self.member_id else self.actor.id
        return Subject(type="user", id=person, role=self.role)


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


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of a call: nothing against it, a reason against it, or ask a person.

    Where policies were asked, what they said stands in `answer`; `record` is what is kept of it.
    `retry_after` is the seconds after which a call that came too soon may come again.
    """

    refusal: str | None = None
    answer: Answer | None = None
    record: Object | None = None
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
        return self.answer.verdict.reasons if self.answer else ()

    @property
    def obligations(self) -> Obligations:
        return self.answer.verdict.obligations if self.answer else Obligations()


UNASKED: Final = Decision()


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts a call against the rates that it is bound by: once, however often it is looked at."""

    identity: str
    told: dict[Rate, ratelimit.Verdict | None] = field(default_factory=dict)

    @classmethod
    def of(cls, caller: Actor, agent_id: UUID, tool: str) -> Meter:
        """Each caller of each tool is counted by itself, in each org."""
        org = keys.current().org_id
        return cls(f"{org}:{caller.principal}:{agent_id.hex}:{tool}")

    def spend(self, rate: Rate) -> ratelimit.Verdict | None:
        if rate not in self.told:
            limit = ratelimit.Policy("policy", rate.requests, rate.seconds)
            name = f"{self.identity}:{rate.requests}/{rate.seconds}"
            self.told[rate] = ratelimit.default_limiter().spend(limit, name)
        return self.told[rate]


def ask(question: Question, *, caller: Actor, meter: Meter | None, fresh: bool = False) -> Decision:
    """Have the org's policies decide, and say what that comes to: with what they oblige to, and
    the record for whoever puts the call on record. Nothing is written here.

    Without a meter no rate is counted: the call was, when it was asked for.
    """
    answer = decide(question, fresh=fresh)
    said = Decision(answer=answer, record=_record(answer, question, caller))
    if refusal := REFUSALS.get(answer.verdict.result):
        return replace(said, refusal=refusal)
    return _obliged(said, question.context.cost_micros, meter)


def question_of_run(
    caller: Caller,
    charge: Charge,
    *,
    agent_id: UUID,
    tool: Tool,
    input: Object,
    run_id: UUID,
    at: datetime,
) -> Question:
    """What is asked about an invocation, or about one agent's call of another."""
    return Question(
        action=caller.action,
        subject=caller.subject,
        resource=charge.resource(agent_id, tool.name, tool.annotations),
        context=Circumstances(
            cost_micros=tool.price_micros or 0,
            depth=len(charge.lineage) - 1,
            environment=ENVIRONMENT,
            input=input,
            at=at,
            caller=charge.lineage[-2] if caller.is_agent else None,
            lineage=charge.lineage,
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
    agent = public_id(AGENT, agent_id)
    return Question(
        action="tool.call",
        subject=Subject(type="agent", id=agent, role=charge.behind.role),
        resource=charge.resource(agent_id, effect.tool, effect.annotations),
        context=Circumstances(
            cost_micros=0,
            depth=len(charge.lineage) - 1,
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


def _obliged(said: Decision, cost_micros: int, meter: Meter | None) -> Decision:
    """The decision with what it obliges to before a call is let through.

    A rate that can't be counted is no rate, so the call waits until it can be.
    """
    cap = said.obligations.cap_cost_micros
    if cap is not None and cost_micros > cap:
        return replace(said, refusal="policy_cost")
    if meter is None:
        return said
    for rate in said.obligations.rates:
        verdict = meter.spend(rate)
        if verdict is None:
            return replace(said, refusal="policy_unavailable")
        if not verdict.allowed:
            return replace(said, refusal="policy_rate", retry_after=verdict.reset)
    return said


def _record(answer: Answer, question: Question, caller: Actor) -> Object | None:
    """What is kept of a decision: what policies said, of whose call of what."""
    record = answer.as_record()
    if record is None:
        return None
    about: Mapping[str, Any] = {
        "agent_id": str(question.resource.agent_id),
        "tool": question.resource.tool,
        "caller_type": caller.type.value,
        "caller_id": caller.id,
        "caller_label": caller.label,
    }
    return {**record, **about}
