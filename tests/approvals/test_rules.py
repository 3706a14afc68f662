"""Who must approve what: the rules, and which of them a request finds."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from apps.approvals.errors import RuleExists
from apps.approvals.models import Approval, ApprovalRule
from apps.approvals.selectors import About, find_rule
from apps.approvals.services import requests, rules
from apps.common.errors import Invalid, NotFound
from apps.common.ids import uuid7
from apps.orgs.errors import RoleInUse
from apps.orgs.models import Project
from apps.orgs.selectors import get_role
from apps.orgs.services import projects, roles
from tests.approvals.factories import KIND, ask
from tests.orgs.conftest import AT
from tests.runs.factories import capability, make_agent


@pytest.fixture
def desk(org):
    return make_agent("desk", tools=[capability("refund"), capability("look")])


def create(owner, **fields):
    values = {"timeout_minutes": 60, **fields}
    return rules.create_rule(**values, by=owner, at=timezone.now())


def test_the_most_specific_rule_counts(org, owner, desk):
    support = projects.create_project(name="Support", actor=owner.actor, at=timezone.now())
    made = {
        "any": create(owner),
        "kind": create(owner, subject_type=KIND),
        "project": create(owner, project="support"),
        "agent": create(owner, agent="desk"),
        "agent's kind": create(owner, agent="desk", subject_type=KIND),
        "tool": create(owner, agent="desk", tool="refund"),
    }
    names = {rule.id: name for name, rule in made.items()}

    def found(kind=KIND, **about):
        return names[find_rule(kind, About(**about)).id]

    inside = {"project_id": support.id}
    assert found(agent_id=desk.id, tool="refund", **inside) == "tool"
    assert found(agent_id=desk.id, tool="look", **inside) == "agent's kind"
    assert found("other", agent_id=desk.id, tool="look", **inside) == "agent"
    assert found(agent_id=uuid7(), tool="refund", **inside) == "project"
    assert found(project_id=Project.objects.get(is_default=True).id) == "kind"
    assert found("other") == "any"
    assert found("other", tool="refund") == "any"


def test_no_rule_is_found_where_none_is_meant(org, owner, desk):
    create(owner, agent="desk", tool="refund")
    assert find_rule(KIND, About(agent_id=desk.id, tool="look")) is None
    assert find_rule(KIND, About()) is None


def test_a_request_keeps_what_its_rule_said(org, owner, desk):
    rule = create(owner, agent="desk", quorum=2, role="admin", timeout_minutes=30)
    approval = ask(about=About(agent_id=desk.id, tool="refund"))
    rules.update_rule(
        rule_id=rule.id, fields={"quorum": 3, "role": ""}, by=owner, at=timezone.now()
    )

    found = Approval.objects.get(id=approval.id)
    assert (found.quorum, found.role.slug, found.rule_id) == (2, "admin", rule.id)
    assert (found.agent_id, found.tool) == (desk.id, "refund")
    assert found.expires_at - found.created_at == timedelta(minutes=30)
    assert ask(about=About(agent_id=desk.id)).quorum == 3


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(10, timedelta(minutes=10)), (90, timedelta(minutes=60))]
)
def test_a_request_ends_at_the_earlier_of_two_times(org, owner, minutes, wanted):
    create(owner, timeout_minutes=60)
    now = timezone.now()

    approval = ask(at=now, expires_at=now + timedelta(minutes=minutes))

    assert approval.expires_at - now == wanted


def test_a_rule_lives_and_is_on_record(org, owner, desk, events):
    rule = create(owner, agent="desk", tool="refund")
    change = {"quorum": 2, "timeout_minutes": 5}
    rules.update_rule(rule_id=rule.id, fields=change, by=owner, at=timezone.now())
    rules.update_rule(rule_id=rule.id, fields=change, by=owner, at=timezone.now())
    rules.remove_rule(rule_id=rule.id, by=owner, at=timezone.now())

    said = events()
    assert [action for action, _, _ in said] == [
        "approvals.rule.created",
        "approvals.rule.updated",
        "approvals.rule.removed",
    ]
    assert (said[1][2]["old"]["quorum"], said[1][2]["new"]["quorum"]) == (1, 2)
    assert find_rule(KIND, About(agent_id=desk.id, tool="refund")) is None
    assert ApprovalRule.objects.get().removed_at is not None
    create(owner, agent="desk", tool="refund")
    for act in (
        lambda: rules.remove_rule(rule_id=rule.id, by=owner, at=timezone.now()),
        lambda: rules.update_rule(rule_id=rule.id, fields={}, by=owner, at=timezone.now()),
    ):
        with pytest.raises(NotFound):
            act()


def test_there_is_one_rule_for_a_thing(org, owner, desk):
    create(owner)
    create(owner, agent="desk")
    for fields in ({}, {"agent": "desk"}):
        with pytest.raises(RuleExists):
            create(owner, **fields)
    assert ApprovalRule.objects.count() == 2


def test_only_a_second_rule_is_told_as_one(org, owner):
    with pytest.raises(IntegrityError, match="approval_rule_quorum"):
        create(owner, quorum=0)
    assert not ApprovalRule.objects.exists()
    assert create(owner, quorum=1).quorum == 1


def test_a_role_that_decides_neither_goes_nor_loses_the_power(org, owner, desk, events):
    deciders = roles.create_role(
        name="Deciders", permissions=["approvals.decide", "approvals.view"], by=owner, at=AT
    )
    rule = create(owner, agent="desk", role="deciders", quorum=1)
    acts = (
        lambda: roles.delete_role(role_id=deciders.id, by=owner, at=AT),
        lambda: roles.update_role(
            role_id=deciders.id, permissions=["approvals.view"], by=owner, at=AT
        ),
    )
    said = len(events())

    def refused(why):
        for act in acts:
            with pytest.raises(RoleInUse, match=why):
                act()
        assert set(get_role("deciders").codes) == {"approvals.decide", "approvals.view"}

    refused("An approval rule leaves it to Deciders")
    waiting = ask(about=About(agent_id=desk.id))
    rules.update_rule(rule_id=rule.id, fields={"role": ""}, by=owner, at=timezone.now())
    refused("Requests wait that only Deciders")
    more = ["approvals.decide", "runs.view"]
    roles.update_role(role_id=deciders.id, permissions=more, by=owner, at=AT)
    roles.update_role(
        role_id=deciders.id, permissions=["approvals.decide", "approvals.view"], by=owner, at=AT
    )
    requests.cancel_for(subject_type=KIND, subject_ids=[waiting.subject_id], at=timezone.now())
    acts[1]()
    acts[0]()
    assert [row[0] for row in events()[said:]].count("orgs.role.deleted") == 1


def test_a_rule_names_no_role_that_was_deleted(org, owner):
    gone = roles.create_role(name="Gone", permissions=["approvals.decide"], by=owner, at=AT)
    roles.delete_role(role_id=gone.id, by=owner, at=AT)
    with pytest.raises(Invalid):
        create(owner, role="gone")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject_type": "unheard.of"}, "subject_type"),
        ({"agent": "nobody"}, "agent"),
        ({"agent": "agt_zz"}, "agent"),
        ({"tool": "refund"}, "agent"),
        ({"agent": "desk", "tool": "fly"}, "tool"),
        ({"project": "nowhere"}, "project"),
        ({"agent": "desk", "project": "default"}, "project"),
        ({"role": "nobody"}, "role"),
        ({"role": "viewer"}, "role"),
    ],
)
def test_a_rule_names_what_there_is(org, owner, desk, fields, field):
    with pytest.raises(Invalid) as refusal:
        create(owner, **fields)
    assert list(refusal.value.by_field) == [field]
    assert not ApprovalRule.objects.exists()


def test_a_rule_may_be_for_a_tool_that_an_agents_model_has_called(org, owner):
    make_agent("writer", runtime="llm", config={"tools": [{"name": "refund"}, {"name": "look"}]})
    rule = create(owner, agent="writer", tool="refund")
    assert find_rule(KIND, About(agent_id=rule.agent_id, tool="refund")) == rule
    with pytest.raises(Invalid):
        create(owner, agent="writer", tool="fly")
