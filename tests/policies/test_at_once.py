"""What several change at once, committed for real in a throw-away org: each change is made once,
one after the other, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.approvals.errors import ApprovalClosed
from apps.approvals.models import Approval
from apps.approvals.services import recording, voting
from apps.policies.errors import PolicyStateConflict
from apps.policies.models import Attachment, OrgPolicy, Policy, PolicyHead
from apps.policies.services import approved, policies
from apps.policies.services.settings import change_settings
from apps.tenants import keys
from apps.trust.models import AuditEvent
from tests.approvals.test_at_once import at_once
from tests.orgs.conftest import AT, join, owner_of
from tests.policies.factories import about, activate, attach, detach, make_policy, retire

ROUNDS = 3


@pytest.fixture(scope="module")
def made() -> list[Any]:
    """One throw-away org for the whole module, made by the first test."""
    return []


@pytest.fixture
def place(throwaway_org: Callable[[], Any], made: list[Any]) -> Iterator[Any]:
    if not made:
        made.append(throwaway_org())
    with keys.holding(made[0].schema, made[0].id):
        PolicyHead.objects.update(two_person=False)
        yield made[0]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job follows a decision by itself."""
    monkeypatch.setattr(recording, "enqueue", lambda *job, **of: None)


def number() -> int:
    return PolicyHead.objects.get().bundle


def versions(of: OrgPolicy, *statuses: str) -> list[int]:
    rows = OrgPolicy.objects.filter(policy=of.policy_id, status__in=statuses)
    return list(rows.values_list("version", flat=True))


def recorded(of: OrgPolicy, verb: str) -> int:
    subject, action = f"pol_{of.policy_id.hex}", f"policies.policy.{verb}"
    return AuditEvent.objects.filter(subject_id=subject, action=action).count()


def revise(owner: Any, of: OrgPolicy, name: str) -> None:
    policies.revise_policy(policy_id=of.policy_id, says={"name": name}, **about(owner))


def two_people(owner: Any) -> None:
    change_settings(fields={"two_person": True}, **about(owner))


def ask(approval: Approval | None) -> Approval:
    assert approval is not None
    return approval


def approve(approval: Approval, voter: Any) -> str:
    found = voting.approve(approval_id=approval.id, voter=voter, comment="", at=AT)
    return str(found.status)


def test_of_many_activations_of_two_policies_each_policy_has_one(place: Any) -> None:
    owner = owner_of(place)
    pair = [make_policy(owner, name=name, scope="org") for name in ("One", "Other")]
    for turn in range(1, ROUNDS + 1):
        before = number()

        found = at_once(place, [lambda v=v: activate(owner, v) for v in pair * 4])

        assert found.count(PolicyStateConflict) == 6
        assert number() == before + 2
        for version in pair:
            assert versions(version, "active") == [turn]
            assert recorded(version, "activated") == turn
            revise(owner, version, f"Next {turn}")


def test_of_versions_that_overtake_each_other_one_is_active(place: Any) -> None:
    owner = owner_of(place)
    guard = make_policy(owner, scope="org")
    before = number()

    def write_and_activate(name: str) -> Any:
        revise(owner, guard, name)
        return activate(owner, guard)

    found = at_once(place, [lambda n=n: write_and_activate(f"Guard {n}") for n in range(8)])

    done = [one for one in found if one is not PolicyStateConflict]
    assert done and number() == before + len(done) == before + recorded(guard, "activated")
    (active,) = versions(guard, "active")
    assert active in [one.version.version for one in done]
    assert len(versions(guard, "draft", "tested")) <= 1
    assert Policy.objects.get(id=guard.policy_id).version == 9


def test_who_ask_the_same_at_once_ask_once(place: Any) -> None:
    owner = owner_of(place)
    guard = make_policy(owner, scope="org")
    activate(owner, guard)
    two_people(owner)
    before = number()

    found = at_once(place, [lambda: ask(detach(owner, guard, "org")).id] * 6)

    assert len(set(found)) == 1
    assert Approval.objects.filter(subject_id=guard.policy_id).count() == 1
    assert number() == before and Attachment.objects.filter(policy=guard.policy_id).exists()


def test_of_jobs_that_use_one_approval_at_once_one_changes_something(
    place: Any, idle: None
) -> None:
    owner = owner_of(place)
    guard = make_policy(owner, scope="org")
    activate(owner, guard)
    two_people(owner)
    asked = ask(detach(owner, guard, "org"))
    approve(asked, join(place, "admin"))
    before, asked = number(), Approval.objects.get(id=asked.id)

    at_once(place, [lambda: approved.on_change_decided(asked)] * 6)

    assert number() == before + 1 and recorded(guard, "detached") == 1
    assert not Attachment.objects.filter(policy=guard.policy_id).exists()
    assert str(Approval.objects.get(id=asked.id).status) == "consumed"


def test_who_votes_while_a_retirement_takes_requests_back_waits_for_nobody_forever(
    place: Any, idle: None
) -> None:
    owner, boss, other = owner_of(place), join(place, "admin"), join(place, "admin")
    for _ in range(ROUNDS):
        PolicyHead.objects.update(two_person=False)
        guard = make_policy(owner, scope="org")
        activate(owner, guard)
        two_people(owner)
        wider = ask(attach(owner, guard, "project", "default").approval)
        narrower, end = ask(detach(owner, guard, "org")), ask(retire(owner, guard))
        approve(end, boss)
        end = Approval.objects.get(id=end.id)

        votes = at_once(
            place,
            [
                lambda end=end: approved.on_change_decided(end),
                lambda one=wider: approve(one, boss),
                lambda one=narrower: approve(one, other),
            ],
        )[1:]

        assert set(votes) <= {"approved", ApprovalClosed}
        assert Policy.objects.get(id=guard.policy_id).retired_at is not None
        left = [str(Approval.objects.get(id=one.id).status) for one in (wider, narrower, end)]
        assert left == ["cancelled", "cancelled", "consumed"]
