"""A policy's life: written, revised, tested, activated, attached, shadowed, retired."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.errors import Invalid, PreconditionFailed
from apps.policies import selectors
from apps.policies.errors import (
    AttachmentExists,
    PolicyStateConflict,
    PolicyTestsFailed,
    RegoInvalid,
)
from apps.policies.models import OrgPolicy, Policy, PolicyHead
from apps.policies.services import activating, policies
from apps.policies.services.deciding import decide
from apps.policies.services.settings import change_settings
from tests.orgs.conftest import AT
from tests.policies.asking import question
from tests.policies.factories import (
    ALLOW,
    DENY,
    FLAWED,
    TESTS,
    activate,
    attach,
    detach,
    make_policy,
    retire,
)

FAILING = TESTS.replace("if mandate.allow", "if not mandate.allow")


def number() -> int:
    return selectors.get_head().bundle


def revise(owner: Any, version: OrgPolicy, **says: str) -> OrgPolicy:
    return policies.revise_policy(
        policy_id=version.policy_id,
        says=says,
        by_member_id=owner.member_id,
        actor=owner.actor,
        at=AT,
    )


def standing(version: OrgPolicy) -> selectors.Standing:
    return selectors.get_policy(f"pol_{version.policy_id.hex}")


def verdict() -> str:
    return decide(question(), fresh=True).verdict.result


def test_a_flawed_text_is_told_by_line_and_column_and_nothing_is_kept(
    org: Any, owner: Any, events: Any
) -> None:
    before = Policy.objects.count()
    with pytest.raises(RegoInvalid) as caught:
        make_policy(owner, rego_text=FLAWED)
    (flaw,) = caught.value.extra["errors"]
    assert (flaw["field"], flaw["line"]) == ("rego_text", 6) and flaw["column"] >= 1
    with pytest.raises(RegoInvalid) as caught:
        make_policy(owner, tests="package mandate_test\n\ntest_it if {")
    assert caught.value.extra["errors"][0]["field"] == "tests"
    for wrong in ({"name": " "}, {"name": "x" * 81}, {"purpose": "x" * 201}):
        with pytest.raises(Invalid):
            make_policy(owner, **wrong)
    assert Policy.objects.count() == before and events() == []


def test_a_draft_counts_for_nothing_and_an_active_one_for_what_it_is_attached_to(
    org: Any, owner: Any
) -> None:
    made, before = make_policy(owner, rego_text=DENY, scope="org"), number()
    assert (made.status, made.version, verdict()) == ("draft", 1, "allow")
    activate(owner, made)
    assert verdict() == "deny" and number() == before + 1
    detach(owner, made, "org")
    assert verdict() == "allow" and number() == before + 2
    attach(owner, made, "project", "default")
    assert verdict() == "allow" and number() == before + 3
    attach(owner, made, "org")
    assert verdict() == "deny"
    with pytest.raises(AttachmentExists):
        attach(owner, made, "org")
    retire(owner, made)
    assert verdict() == "allow" and number() == before + 5
    for change in (
        lambda: revise(owner, made, name="New"),
        lambda: activate(owner, made),
        lambda: attach(owner, made, "agent", "none"),
    ):
        with pytest.raises((PolicyStateConflict, Invalid)):
            change()


def test_a_revision_is_the_next_version_and_the_active_one_goes_on(
    org: Any, owner: Any, events: Any
) -> None:
    first = make_policy(owner, rego_text=DENY, scope="org")
    activate(owner, first)
    second = revise(owner, first, rego_text=ALLOW)
    assert (second.version, second.name, second.status) == (2, "Guard", "draft")
    assert verdict() == "deny"
    assert revise(owner, first, rego_text=ALLOW).id == second.id
    third = revise(owner, first, name="Renamed")
    second.refresh_from_db()
    assert (third.version, third.rego_text, second.status) == (3, ALLOW, "retired")
    activate(owner, first)
    now = standing(first)
    assert verdict() == "allow" and now.active is not None and now.waiting is None
    assert (now.active.version, now.policy.name) == (3, "Renamed")
    assert [action for action, _, _ in events()] == [
        "policies.policy.created",
        "policies.policy.activated",
        "policies.policy.revised",
        "policies.policy.revised",
        "policies.policy.activated",
    ]
    detail = events()[-1][2]
    assert (detail["old"]["version"], detail["new"]["version"]) == (1, 3)
    with pytest.raises(PolicyStateConflict):
        activate(owner, first)


def test_a_revision_of_an_older_reading_is_refused(org: Any, owner: Any) -> None:
    first = make_policy(owner)
    revise(owner, first, name="Second")
    with pytest.raises(PreconditionFailed):
        policies.revise_policy(
            policy_id=first.policy_id,
            says={"name": "Third"},
            read_version=1,
            by_member_id=owner.member_id,
            actor=owner.actor,
            at=AT,
        )
    assert standing(first).newest.name == "Second"


def test_tests_must_pass_before_a_version_counts(org: Any, owner: Any) -> None:
    made = make_policy(owner, tests=FAILING, scope="org")
    with pytest.raises(PolicyTestsFailed) as caught:
        activate(owner, made)
    assert [test["passed"] for test in caught.value.extra["tests"]] == [False]
    who = {"actor": owner.actor, "at": AT}
    assert not activating.check_tests(policy_id=made.policy_id, **who)[0].passed
    assert standing(made).newest.status == "draft"
    revise(owner, made, tests=TESTS)
    assert activating.check_tests(policy_id=made.policy_id, **who)[0].passed
    assert standing(made).newest.status == "tested"
    activate(owner, made)
    assert standing(made).newest.status == "active"


def test_a_shadow_is_in_the_bundle_until_it_is_ended_or_put_away(org: Any, owner: Any) -> None:
    made = make_policy(owner, rego_text=DENY, scope="org")
    who = {"actor": owner.actor, "at": AT}
    before = number()
    activating.shadow_policy(policy_id=made.policy_id, on=True, **who)
    given = decide(question(), fresh=True)
    assert (given.verdict.result, number()) == ("allow", before + 1)
    assert [shadow.would_be.result for shadow in given.shadows] == ["deny"]
    activating.shadow_policy(policy_id=made.policy_id, on=True, **who)
    assert number() == before + 1
    activating.shadow_policy(policy_id=made.policy_id, on=False, **who)
    assert not decide(question(), fresh=True).is_recorded
    activating.shadow_policy(policy_id=made.policy_id, on=True, **who)
    revise(owner, made, rego_text=ALLOW)
    assert not decide(question(), fresh=True).is_recorded and number() == before + 4


def test_the_orgs_own_answer_holds_where_nothing_is_attached(org: Any, owner: Any) -> None:
    who = {"by_member_id": owner.member_id, "actor": owner.actor, "at": AT}
    change_settings(fields={"default_answer": "deny"}, **who)
    assert verdict() == "deny"
    for wrong in ({"default_answer": "maybe"}, {"keep_inputs_days": 0}):
        with pytest.raises(Invalid):
            change_settings(fields=wrong, **who)
    assert PolicyHead.objects.get().default_answer == "deny"
