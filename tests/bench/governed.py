"""An agent of the demo org that three policies are attached to, beside one that none is."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import create_agent
from apps.orgs.models import Member
from apps.orgs.selectors import find_member_principal
from apps.policies.models import Attachment
from apps.tenants import keys
from apps.tenants.models import Org
from tests.runs.governing import count_up, in_force

SLUG: Final = "governed"
POLICIES: Final = {
    "Roles and tags": """deny contains "Viewers may not use what is restricted." if {
  input.subject.role == "viewer"
  "restricted" in input.resource.project.tags
}

deny contains "Too many agents on the way." if input.context.depth > 4
""",
    "Persons and costs": """require_approval contains "It may destroy something." if {
  input.resource.annotations.destructive
  not input.resource.annotations.read_only
}

obligations := {"cap_cost_micros": 50000}
""",
    "Words": """deny contains "This word is not for agents." if {
  some word in ["password", "secret", "token", "credential"]
  contains(lower(input.context.input.text), word)
}
""",
}


def prepare() -> None:
    """Leave no policy attached to anything but this agent, whatever the demo has."""
    org = Org.objects.get(slug="acme")
    with keys.holding(org.schema_name, org.id):
        Attachment.objects.all().delete()
        count_up()
        agent = Agent.objects.filter(slug=SLUG).first() or _make()
        for name, rules in POLICIES.items():
            in_force(rules, name=name, scope="agent", agent=agent)


def _make() -> Agent:
    member = Member.objects.select_related("role").order_by("joined_at")[0]
    owner = find_member_principal(user_id=member.user_id)
    assert owner is not None
    return create_agent(
        name="Governed",
        slug=SLUG,
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=timezone.now(),
    )
