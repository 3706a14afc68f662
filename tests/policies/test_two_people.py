"""Where an org wants two people for what decides: nobody changes it alone, by whichever way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.approvals.errors import ApprovalClosed, OwnRequest
from apps.approvals.models import Approval
from apps.approvals.services import outcome, voting
from apps.common.ids import public_id
from apps.notify.models import Notice
from apps.orgs.selectors import get_project
from apps.orgs.services import members, projects
from apps.policies import selectors
from apps.policies.errors import AttachmentExists
from apps.policies.models import Attachment, OrgPolicy, PolicyHead
from apps.policies.services import approved, policies
from apps.policies.services.deciding import decide
from apps.policies.services.settings import change_settings
from apps.trust.canonical import digest
from apps.trust.models import AuditEvent
from tests.orgs.conftest import AT
from tests.policies.asking import question
from tests.policies.factories import (
    ALLOW,
    DENY,
    about,
    activate,
    attach,
    detach,
    make_policy,
    retire,
)

Act = Callable[[Any, OrgPolicy], Approval | None]


def attach_org(owner: Any, guard: OrgPolicy) -> Approval | None:
    return attach(owner, guard, "org").approval


def detach_org(owner: Any, guard: OrgPolicy) -> Approval | None:
    return detach(owner, guard, "org")


# What is done to a policy that denies; where it is attached before; what is decided before, after.
ACTS: dict[str, tuple[Act, tuple[str, str], str, str]] = {
    "attached": (attach_org, ("project", "default"), "allow", "deny"),
    "detached": (detach_org, ("org", ""), "deny", "allow"),
    "retired": (retire, ("org", ""), "deny", "allow"),
}
every_act = pytest.mark.parametrize("verb", ACTS)


def verdict() -> str:
    return decide(question(), fresh=True).verdict.result


def number() -> int:
    return selectors.get_head().bundle


def active(owner: Any, where: tuple[str, str] = ("org", "")) -> OrgPolicy:
    """A policy that denies everything there, in force."""
    made = make_policy(owner, rego_text=DENY, scope=where[0], ref=where[1])
    activate(owner, made)
    return made


def want_two(owner: Any) -> None:
    change_settings(fields={"two_person": True}, **about(owner))


def status_of(approval: Approval) -> str:
    return str(Approval.objects.get(id=approval.id).status)


def agree(approval: Approval, voter: Any) -> None:
    """Somebody approves, and the job that follows runs."""
    voting.approve(approval_id=approval.id, voter=voter, comment="", at=AT)
    outcome.tell_subject(approval_id=approval.id, at=AT)


@every_act
def test_one_person_changes_what_decides_unless_two_are_wanted(
    org: Any, owner: Any, verb: str
) -> None:
    act, where, before, after = ACTS[verb]
    guard = active(owner, where)
    assert verdict() == before
    assert act(owner, guard) is None
    assert verdict() == after and not Approval.objects.exists()


@every_act
def test_with_two_people_another_one_confirms_each_change(
    org: Any, owner: Any, somebody: Any, events: Any, verb: str
) -> None:
    act, where, before, after = ACTS[verb]
    guard = active(owner, where)
    want_two(owner)
    bundle, known = number(), len(events())

    asked = act(owner, guard)
    assert asked is not None and act(owner, guard) == asked
    assert [action for action, _, _ in events()[known:]] == ["approvals.request.made"]
    with pytest.raises(OwnRequest):
        voting.approve(approval_id=asked.id, voter=owner, comment="", at=AT)
    assert (verdict(), number(), status_of(asked)) == (before, bundle, "pending")

    agree(asked, somebody("admin"))
    assert (verdict(), number(), status_of(asked)) == (after, bundle + 1, "consumed")
    actions = [action for action, _, _ in events()[known + 1 :]]
    used = ["approvals.request.approved", "approvals.request.used", f"policies.policy.{verb}"]
    assert actions == used
    last = AuditEvent.objects.latest("seq")
    assert (last.actor_id, last.subject_id) == (owner.actor.id, public_id("pol", guard.policy_id))

    approved.on_change_decided(Approval(id=asked.id, payload=asked.payload, status="approved"))
    assert (number(), status_of(asked)) == (bundle + 1, "consumed")


@every_act
def test_a_policy_without_an_active_version_is_changed_by_one(
    org: Any, owner: Any, verb: str
) -> None:
    act, (scope, ref), _, _ = ACTS[verb]
    want_two(owner)
    draft = make_policy(owner, rego_text=DENY, scope=scope, ref=ref)
    assert act(owner, draft) is None and not Approval.objects.exists()
    standing = selectors.get_policy(public_id("pol", draft.policy_id))
    there = {row.scope for row in standing.attachments}
    done = {"attached": "org" in there, "detached": not there, "retired": standing.is_retired}
    assert done[verb]


def test_a_request_says_exactly_what_will_happen(org: Any, owner: Any) -> None:
    guard = active(owner, ("project", "default"))
    want_two(owner)
    attachment = Attachment.objects.get(policy=guard.policy_id)
    project = public_id("prj", get_project("default").id)
    about_it = {
        "policy": public_id("pol", guard.policy_id),
        "name": "Guard",
        "version": 1,
        "rego_digest": guard.digest,
    }
    asked = {
        "attach": (attach_org(owner, guard), "Attach Guard to the organization"),
        "detach": (detach(owner, guard, "project"), "Detach Guard from project default"),
        "retire": (retire(owner, guard), "Retire Guard"),
    }
    more: dict[str, Any] = {
        "attach": {"place": {"scope": "org", "name": "", "id": None}},
        "detach": {
            "place": {"scope": "project", "name": "default", "id": project},
            "attachment": public_id("pla", attachment.id),
        },
        "retire": {"attached": ["project default"]},
    }
    for verb, (approval, title) in asked.items():
        assert approval is not None
        payload = {"action": f"policy.{verb}", **about_it, **more[verb]}
        assert (approval.payload, approval.title) == (payload, title)
        assert bytes(approval.payload_digest) == digest(payload)
    assert len(selectors.list_requests_about(guard.policy_id)) == 3


@every_act
def test_what_another_version_overtook_is_taken_back(
    org: Any, owner: Any, somebody: Any, verb: str
) -> None:
    act, where, before, _ = ACTS[verb]
    guard, boss = active(owner, where), somebody("admin")
    want_two(owner)
    asked = act(owner, guard)
    assert asked is not None
    text = f"{DENY}\n# more\n"
    policies.revise_policy(policy_id=guard.policy_id, says={"rego_text": text}, **about(owner))
    assert status_of(asked) == "pending"
    agree(activate(owner, guard).approval, boss)

    assert status_of(asked) == "cancelled"
    with pytest.raises(ApprovalClosed):
        agree(asked, boss)
    assert verdict() == before
    again = act(owner, guard)
    assert again is not None and again.payload["version"] == 2
    agree(again, boss)
    assert status_of(again) == "consumed" and verdict() == ACTS[verb][3]


@every_act
def test_what_changed_before_the_approval_is_used_covers_nothing(
    org: Any, owner: Any, somebody: Any, verb: str
) -> None:
    """Changed past the services, so that only the digest of what would happen can tell."""
    act, where, before, _ = ACTS[verb]
    guard = active(owner, where)
    want_two(owner)
    asked = act(owner, guard)
    assert asked is not None
    rows = Attachment.objects.filter(policy=guard.policy_id)
    if verb == "attached":
        OrgPolicy.objects.filter(id=guard.id).update(status="retired", retired_at=AT)
    if verb == "detached":
        rows.delete()
        Attachment.objects.create(policy_id=guard.policy_id, scope="org", created_at=AT)
    if verb == "retired":
        place = {"scope": "project", "project_id": get_project("default").id}
        Attachment.objects.create(policy_id=guard.policy_id, created_at=AT, **place)
    bundle, there = number(), rows.count()

    agree(asked, somebody("admin"))
    assert (status_of(asked), number(), rows.count()) == ("cancelled", bundle, there)
    told = Notice.objects.filter(kind="approvals.request.cancelled", member_id=owner.member_id)
    assert told.get().subject_id == public_id("apr", asked.id)
    assert verdict() == before
    assert selectors.get_policy(public_id("pol", guard.policy_id)).is_retired is False


def test_a_place_that_is_gone_is_not_attached_to(org: Any, owner: Any, somebody: Any) -> None:
    guard, who = active(owner, ("project", "default")), {"actor": owner.actor, "at": AT}
    want_two(owner)
    gone = projects.create_project(name="Gone", slug="gone", **who)
    asked = attach(owner, guard, "project", "gone").approval
    assert asked is not None
    projects.delete_project(project_id=gone.id, **who)
    agree(asked, somebody("admin"))
    assert status_of(asked) == "cancelled"
    assert Attachment.objects.filter(policy=guard.policy_id).count() == 1


def test_nobody_is_asked_to_attach_it_where_it_is(org: Any, owner: Any) -> None:
    guard = active(owner)
    want_two(owner)
    with pytest.raises(AttachmentExists):
        attach(owner, guard, "org")
    assert not Approval.objects.exists()


def test_retiring_a_policy_takes_back_all_that_was_asked_of_it(
    org: Any, owner: Any, somebody: Any
) -> None:
    guard, other = active(owner), active(owner, ("project", "default"))
    want_two(owner)
    says = {"rego_text": ALLOW}
    policies.revise_policy(policy_id=guard.policy_id, says=says, **about(owner))
    asked = [
        activate(owner, guard).approval,
        attach(owner, guard, "project", "default").approval,
        detach_org(owner, guard),
    ]
    spared, retirement = attach_org(owner, other), retire(owner, guard)
    assert retirement is not None and spared is not None

    agree(retirement, somebody("admin"))
    assert [status_of(one) for one in asked] == ["cancelled"] * 3
    assert (status_of(retirement), status_of(spared)) == ("consumed", "pending")


def test_what_was_refused_stays_and_can_be_asked_again(org: Any, owner: Any, somebody: Any) -> None:
    guard, boss = active(owner), somebody("admin")
    want_two(owner)
    asked = retire(owner, guard)
    assert asked is not None
    voting.reject(approval_id=asked.id, voter=boss, comment="", at=AT)
    outcome.tell_subject(approval_id=asked.id, at=AT)
    assert (status_of(asked), verdict()) == ("rejected", "deny")
    again = retire(owner, guard)
    assert again is not None and again != asked


def test_an_activation_waits_for_another_one(org: Any, owner: Any, somebody: Any) -> None:
    want_two(owner)
    made = make_policy(owner, rego_text=DENY, scope="org")
    done = activate(owner, made)
    assert done.approval is not None and verdict() == "allow"
    assert activate(owner, made).approval == done.approval
    with pytest.raises(OwnRequest):
        voting.approve(approval_id=done.approval.id, voter=owner, comment="", at=AT)
    assert verdict() == "allow"
    agree(done.approval, somebody("admin"))
    assert verdict() == "deny" and status_of(done.approval) == "consumed"
    assert OrgPolicy.objects.get(id=made.id).activated_by_id == owner.member_id


def test_an_activation_of_what_counts_elsewhere_by_now_is_taken_back(
    org: Any, owner: Any, somebody: Any
) -> None:
    want_two(owner)
    made, boss = make_policy(owner, rego_text=DENY), somebody("admin")
    done = activate(owner, made)
    assert done.approval is not None
    voting.approve(approval_id=done.approval.id, voter=boss, comment="", at=AT)
    attach(owner, made, "org")  # it would count for more than was approved
    outcome.tell_subject(approval_id=done.approval.id, at=AT)
    assert OrgPolicy.objects.get(id=made.id).status == "tested" and verdict() == "allow"
    assert status_of(done.approval) == "cancelled"
    again = activate(owner, made).approval
    assert again is not None and again != done.approval
    agree(again, boss)
    assert verdict() == "deny"


def test_two_people_are_given_up_by_two_people(org: Any, owner: Any, somebody: Any) -> None:
    want_two(owner)
    fields = {"two_person": False, "default_answer": "deny", "keep_inputs_days": 7}
    asked = change_settings(fields=fields, **about(owner)).approval
    head = PolicyHead.objects.get()
    assert (head.two_person, head.default_answer, head.keep_inputs_days) == (True, "allow", 7)
    assert asked is not None and verdict() == "allow"
    assert asked.payload["to"] == {"two_person": False, "default_answer": "deny"}
    assert change_settings(fields=fields, **about(owner)).approval == asked
    agree(asked, somebody("owner"))
    head = PolicyHead.objects.get()
    assert (head.two_person, head.default_answer) == (False, "deny") and verdict() == "deny"


def test_settings_that_were_changed_meanwhile_are_left(org: Any, owner: Any, somebody: Any) -> None:
    want_two(owner)
    asked = change_settings(fields={"default_answer": "deny"}, **about(owner)).approval
    assert asked is not None
    PolicyHead.objects.update(default_answer="deny")
    bundle = number()
    agree(asked, somebody("admin"))
    assert (status_of(asked), number()) == ("cancelled", bundle)


def demoted(who: Any, by: Any) -> None:
    members.change_member_role(member_id=who.member_id, role="member", by=by, at=AT)


def removed(who: Any, by: Any) -> None:
    members.remove_member(member_id=who.member_id, by=by, at=AT)


@pytest.mark.parametrize("end", [demoted, removed])
@pytest.mark.parametrize("what", ["policy", "settings"])
def test_what_somebody_asked_who_may_no_longer_ask_does_not_happen(
    org: Any, owner: Any, somebody: Any, what: str, end: Callable[[Any, Any], None]
) -> None:
    asker, boss = somebody("admin"), somebody("admin")
    guard = active(owner)
    want_two(owner)
    if what == "policy":
        asked = retire(asker, guard)
    else:
        asked = change_settings(fields={"default_answer": "deny"}, **about(asker)).approval
    assert asked is not None
    end(asker, owner)
    bundle = number()

    agree(asked, boss)
    assert (status_of(asked), number()) == ("cancelled", bundle)
    head = PolicyHead.objects.get()
    assert not selectors.get_policy(public_id("pol", guard.policy_id)).is_retired
    assert head.default_answer == "allow"


@pytest.mark.parametrize("end", [demoted, removed])
def test_whoever_asks_what_somebody_asked_who_may_no_longer_has_a_request_of_their_own(
    org: Any, owner: Any, somebody: Any, end: Callable[[Any, Any], None]
) -> None:
    asker, heir, boss = somebody("admin"), somebody("admin"), somebody("admin")
    guard = active(owner)
    want_two(owner)
    dead = retire(asker, guard)
    assert dead is not None and retire(heir, guard) == dead
    end(asker, owner)

    own = retire(heir, guard)
    assert own is not None and own != dead and retire(boss, guard) == own
    agree(own, boss)
    assert (status_of(own), verdict()) == ("consumed", "allow")
    assert status_of(dead) == "cancelled"


def test_a_change_of_settings_takes_back_what_it_overtakes(
    org: Any, owner: Any, somebody: Any, events: Any
) -> None:
    boss = somebody("admin")
    want_two(owner)
    deny = change_settings(fields={"default_answer": "deny"}, **about(owner)).approval
    end = change_settings(fields={"two_person": False}, **about(owner)).approval
    both = change_settings(
        fields={"two_person": False, "default_answer": "deny"}, **about(owner)
    ).approval
    assert deny is not None and end is not None and both is not None
    change_settings(fields={"keep_inputs_days": 9}, **about(owner))
    assert [status_of(one) for one in (deny, end, both)] == ["pending"] * 3
    known = len(events())

    agree(end, boss)
    assert [status_of(one) for one in (deny, end, both)] == ["pending", "consumed", "cancelled"]
    told = [action for action, _, _ in events()[known:]]
    assert told == [
        "approvals.request.approved",
        "approvals.request.cancelled",
        "approvals.request.used",
        "policies.settings.changed",
    ]
    assert AuditEvent.objects.latest("seq").detail["new"] == {"two_person": False}

    change_settings(fields={"default_answer": "deny"}, **about(owner))
    assert status_of(deny) == "cancelled" and verdict() == "deny"
    assert selectors.list_requests_about(PolicyHead.objects.get().id) == []
