"""What Postgres itself holds policies to."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError

from apps.common.fsm import transition_table
from apps.policies.models import Attachment, Decision, OrgPolicy, Policy, PolicyStatus
from apps.runs.models import Run
from tests.orgs.conftest import AT
from tests.runs.factories import admit, make_agent

NO = None
TABLE = {
    ("draft", "pass_tests"): "tested",
    ("draft", "activate"): NO,
    ("draft", "retire"): "retired",
    ("tested", "pass_tests"): NO,
    ("tested", "activate"): "active",
    ("tested", "retire"): "retired",
    ("active", "pass_tests"): NO,
    ("active", "activate"): NO,
    ("active", "retire"): "retired",
    ("retired", "pass_tests"): NO,
    ("retired", "activate"): NO,
    ("retired", "retire"): NO,
}


def policy() -> Policy:
    return Policy.objects.create(name="Guard", created_at=AT)


def version(of: Policy, number: int = 1, **fields: Any) -> OrgPolicy:
    return OrgPolicy.objects.create(
        policy=of, version=number, name="Guard", rego_text="#", digest="d", created_at=AT, **fields
    )


def refused(do: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        do(*args, **kwargs)
    return str(caught.value.__cause__.diag.constraint_name)  # type: ignore[union-attr]


def test_the_machine_is_as_drawn() -> None:
    assert transition_table(OrgPolicy) == TABLE


def test_a_policy_has_one_version_in_force_and_one_on_its_way(org: Any) -> None:
    guard, other = policy(), policy()
    facts = {"status": PolicyStatus.ACTIVE, "activated_at": AT}
    version(guard, 1, **facts)
    assert refused(version, guard, 2, **facts) == "org_policy_one_active"
    version(guard, 2, status=PolicyStatus.TESTED)
    assert refused(version, guard, 3) == "org_policy_one_open"
    assert refused(version, guard, 2, status="retired", retired_at=AT) == "org_policy_version"
    version(other, 1)
    assert OrgPolicy.objects.filter(policy__in=[guard, other]).count() == 3


@pytest.mark.parametrize("field", ["rego_text", "tests", "name", "purpose", "digest"])
def test_what_a_version_says_never_changes(org: Any, field: str) -> None:
    row = version(policy())
    rows = OrgPolicy.objects.filter(id=row.id)
    assert refused(rows.update, **{field: "other"}) == "org_policy_text"
    row.pass_tests(at=AT)
    row.save()
    row.refresh_from_db()
    assert (row.status, row.rego_text) == ("tested", "#")


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "org", "tool": "echo"},
        {"scope": "project"},
        {"scope": "agent"},
        {"scope": "tool", "tool": "echo"},
        {"scope": "planet"},
    ],
)
def test_an_attachment_names_what_its_scope_says(org: Any, fields: dict[str, str]) -> None:
    guard = policy()
    names = refused(Attachment.objects.create, policy=guard, created_at=AT, **fields)
    assert names == "policy_attachment_names_its_scope"
    Attachment.objects.create(policy=guard, scope="org", created_at=AT)
    again = {"policy": guard, "scope": "org", "created_at": AT}
    assert refused(Attachment.objects.create, **again) == "policy_attachment_once"


def test_a_decision_stays_as_it_was_made(org: Any) -> None:
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    made = Decision.objects.create(
        run=run,
        agent_id=run.agent_id,
        tool=run.tool,
        action="agent.invoke",
        bundle=1,
        input_digest=b"d" * 32,
        micros=7,
        caller_type=run.caller_type,
        caller_id=run.caller_id,
        caller_label=run.caller_label,
        at=AT,
    )
    for change in ("update decisions set result = 'allow'", "delete from decisions"):
        with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)
    made.refresh_from_db()
    assert made.result == "deny"
