"""The demo orgs' agents, which do real work without any key of outside, and what they have done."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import create_agent
from apps.agents.services.grants import create_grant
from apps.orgs.models import Project
from apps.orgs.principals import Principal
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
    """Register the demo agents, let the concierge call two of them, and put each to work once."""
    slugs, project = ORGS.get(org.slug, ((), ""))
    if not slugs or Agent.objects.exists():
        return
    found = Project.objects.filter(slug=project).first()
    made = {slug: _register(slug, found, owner, at) for slug in slugs}
    for caller, callee in CALLS:
        if caller in made:
            create_grant(
                callee_id=made[callee].id,
                caller_id=made[caller].id,
                tools=["*"],
                by_member_id=owner.member_id,
                actor=owner.actor,
                at=at,
            )
    for ask in ASKS:
        if ask.agent in made:
            invoke(ask, caller=owner.actor, at=timezone.now())


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
