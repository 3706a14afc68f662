"""The demo orgs' agents, which do real work without any key of outside, and what they have done."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import QuerySet
from django.utils import timezone

from apps.agents.models import Agent, AgentStatus, Grant
from apps.agents.services.agents import create_agent
from apps.agents.services.grants import create_grant
from apps.orgs.models import Project
from apps.orgs.principals import Principal
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants.selectors import OrgRef

# slug → (name, what it is for)
AGENTS: Final = {
    "echo": ("Echo", "Repeats what it is told, to see that everything works."),
    "calculator": ("Calculator", "Works out sums, so that nobody guesses them."),
    "summarizer": ("Summarizer", "Shortens long messages to their most telling sentences."),
    "concierge": ("Concierge", "Answers questions by asking the agents it may call."),
}
# org → (its demo agents, the project that they belong to)
ORGS: Final = {"acme": (tuple(AGENTS), "support"), "globex": (("echo",), "default")}
CALLS: Final = (("concierge", "calculator"), ("concierge", "summarizer"))

MESSAGE: Final = (
    "My parcel was promised for Monday and has not arrived. The tracking page has shown the same "
    "depot since Saturday. I need the parcel before my daughter's birthday on Thursday. The driver "
    "last month was very kind. Please tell me whether the parcel will arrive before Thursday or "
    "send a new one."
)
ASKS: Final = (
    Ask(agent="echo", input={"text": "Hello, Mandate"}),
    Ask(agent="calculator", input={"expression": "19.90 * 3 + 4.50"}),
    Ask(agent="calculator", input={"expression": "1 / 0"}),
    Ask(agent="summarizer", input={"text": MESSAGE, "sentences": 2}),
    Ask(
        agent="concierge",
        input={"question": f"What is 17 * 23, and summarize this: {MESSAGE}"},
    ),
)


def seed_agents(org: OrgRef, owner: Principal, at: datetime) -> None:
    """Register the demo agents, let the concierge call two of them, and put each to work once.

    Makes what was never there, so that a seeding that was cut short is completed, and nothing
    comes back that somebody has retired or revoked.
    """
    slugs, project = ORGS.get(org.slug, ((), ""))
    found = Project.objects.filter(slug=project).first()
    for slug in slugs:
        if not Agent.objects.filter(slug=slug).exists():
            _register(slug, found, owner, at)
    for caller, callee in CALLS:
        if caller in slugs:
            _let_call(caller, callee, owner, at)
    for ask in ASKS:
        if ask.agent in slugs:
            _put_to_work(ask, owner)


def _let_call(caller: str, callee: str, owner: Principal, at: datetime) -> None:
    pair = {agent.slug: agent for agent in _present(caller, callee)}
    if len(pair) < 2 or Grant.objects.filter(caller=pair[caller], callee=pair[callee]).exists():
        return
    create_grant(
        callee_id=pair[callee].id,
        caller_id=pair[caller].id,
        tools=["*"],
        by_member_id=owner.member_id,
        actor=owner.actor,
        at=at,
    )


def _put_to_work(ask: Ask, owner: Principal) -> None:
    """Invoke an agent that can be, unless it did this before."""
    able = _present(ask.agent).filter(status=AgentStatus.ACTIVE)
    if able and not Run.objects.filter(agent__in=able, input=ask.input).exists():
        invoke(ask, caller=owner, at=timezone.now())


def _present(*slugs: str) -> QuerySet[Agent]:
    return Agent.objects.filter(slug__in=slugs).exclude(status=AgentStatus.RETIRED)


def _register(slug: str, project: Project | None, owner: Principal, at: datetime) -> Agent:
    name, purpose = AGENTS[slug]
    return create_agent(
        name=name,
        slug=slug,
        purpose=purpose,
        runtime="builtin",
        config={"skill": slug},
        project=project,
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=at,
    )
