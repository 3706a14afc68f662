"""Who is told what of a request."""

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.approvals.models import Approval, ApprovalRule
from apps.approvals.selectors import About
from apps.approvals.services import outcome, requests, voting
from apps.common.ids import public_id
from apps.notify.models import Delivery, Notice
from apps.notify.services.channels import create_channel
from apps.orgs.models import Role
from tests.approvals.factories import KIND, PAYLOAD, ask, ask_too_late
from tests.notify.furnishing import DISCORD
from tests.orgs.conftest import AT
from tests.runs.factories import capability, make_agent

CANCELLED = "approvals.request.cancelled"


def told_of(approval, kind):
    """Whom the notices of a request reached."""
    rows = Notice.objects.filter(kind=kind, subject_id=public_id("apr", approval.id))
    return set(rows.values_list("member_id", flat=True))


def act(service, approval, voter):
    return service(approval_id=approval.id, voter=voter, comment="Fine.", at=timezone.now())


def end(*approvals, **fields):
    """What follows where all that these are about is over."""
    ids = [approval.subject_id for approval in approvals]
    return requests.cancel_for(subject_type=KIND, subject_ids=ids, at=AT, **fields)


def test_who_may_decide_is_told_and_nobody_else(org, owner, admin, somebody):
    somebody("viewer")
    approval = ask(by=owner)

    told = told_of(approval, "approvals.request.made")
    assert admin.member_id in told
    assert owner.member_id not in told
    notice = Notice.objects.get(member_id=admin.member_id, subject_id=f"apr_{approval.id.hex}")
    assert notice.path == f"/approvals/apr_{approval.id.hex}/"
    assert "new address" in notice.body
    assert PAYLOAD["input"]["to"] not in notice.title + notice.body


def test_where_a_role_decides_its_members_are_told(org, owner, admin):
    now = timezone.now()
    ApprovalRule.objects.create(
        role=Role.objects.get(slug="owner"),
        timeout_minutes=5,
        created_by_id=owner.member_id,
        created_at=now,
        updated_at=now,
    )
    assert told_of(ask(), "approvals.request.made") == {owner.member_id}


def test_no_notice_and_no_channel_says_what_a_call_takes(org, owner, admin):
    create_channel(name="Room", own=False, **DISCORD, by=owner, at=AT)
    desk = make_agent("desk", tools=[capability("refund")])
    said = "Refund zanzibar"
    about = About(agent_id=desk.id, tool="refund")
    act(voting.approve, ask(by=owner, title=said, about=about), admin)
    ask_too_late(by=owner, title=said, about=about)
    outcome.expire_approvals(at=timezone.now())
    broken = ask(by=owner, title=said, about=about)
    voting.break_glass(approval_id=broken.id, by=admin, reason="Fire", at=timezone.now())
    ask(by=owner, title=said)  # of no tool

    words = ("Waits for approval", "Approved", "Expired", "Glass broken")
    expected = {f"{word}: A call of refund" for word in words} | {"Waits for approval: Thing"}
    for told in (Notice, Delivery):
        assert set(told.objects.values_list("title", flat=True)) == expected
        assert not told.objects.filter(body__contains="zanzibar").exists()


def test_who_asked_is_told_of_the_decision(org, owner, admin):
    yes, no = ask(by=owner), ask(by=owner)
    act(voting.approve, yes, admin)
    act(voting.reject, no, admin)

    for approval, word in ((yes, "Approved"), (no, "Rejected")):
        assert told_of(approval, "approvals.request.decided") == {owner.member_id}
        notice = Notice.objects.get(kind="approvals.request.decided", title__startswith=word)
        assert (admin.member_label in notice.body, "Fine." in notice.body) == (True, True)


def test_an_expiry_is_told_to_both(org, owner, admin, somebody):
    asker = somebody("member")
    approval = ask_too_late(by=asker)
    outcome.expire_approvals(at=timezone.now())

    told = told_of(approval, "approvals.request.expired")
    assert told >= {asker.member_id, owner.member_id, admin.member_id}


def test_what_cannot_happen_any_more_is_told_to_both(org, owner, admin, somebody):
    asker = somebody("member")
    waits, agreed = ask(by=asker), ask(by=asker)
    act(voting.approve, agreed, admin)
    requests.cancel_these(approval_ids=[waits.id, agreed.id], at=AT)

    assert told_of(waits, CANCELLED) == {asker.member_id, owner.member_id, admin.member_id}
    assert told_of(agreed, CANCELLED) == {asker.member_id}
    said = Notice.objects.filter(kind=CANCELLED, member_id=asker.member_id)
    for approval, word in ((waits, "nobody has to decide"), (agreed, "It was approved, but")):
        notice = said.get(subject_id=public_id("apr", approval.id))
        assert notice.title == "Taken back: Thing" and word in notice.body


def test_of_what_is_over_only_who_heard_of_an_approval_is_told(org, owner, admin, somebody):
    """A run that is over says so by itself, and many may end at once."""
    asker = somebody("member")
    waits, agreed = ask(by=asker), ask(by=asker)
    act(voting.approve, agreed, admin)
    assert end(waits, agreed) == 2

    assert told_of(waits, CANCELLED) == set() and told_of(agreed, CANCELLED) == {asker.member_id}
    body = Notice.objects.get(kind=CANCELLED).body
    assert "the thing ended" in body and "Ask again" not in body


def test_who_ends_what_they_asked_for_is_not_told_of_it(org, owner, admin, somebody):
    asker, other = somebody("member"), somebody("member")
    own, theirs = ask(by=asker), ask(by=other)
    for approval in (own, theirs):
        act(voting.approve, approval, admin)
    end(own, theirs, actor=asker.actor)

    assert told_of(own, CANCELLED) == set() and told_of(theirs, CANCELLED) == {other.member_id}


def test_of_what_is_asked_anew_nobody_hears_that_it_was_taken_back(org, owner, admin, somebody):
    asker = somebody("member")
    old, beside = ask(by=asker), ask(by=asker)
    act(voting.approve, old, admin)
    new = ask(by=asker, subject_id=old.subject_id, instead=True)

    states = Approval.objects.in_bulk([old.id, beside.id, new.id])
    assert [states[one.id].status for one in (old, beside, new)] == [
        *("cancelled", "pending", "pending")
    ]
    assert told_of(old, CANCELLED) == set()
    assert told_of(new, "approvals.request.made") == {owner.member_id, admin.member_id}


def test_all_is_told_before_anything_is_put_on_record(org, owner, admin):
    """Notices wait for digests, and the audit log's is the last lock that anything takes."""
    agreed = [ask(by=owner), ask(by=owner)]
    for approval in agreed:
        act(voting.approve, approval, admin)
    again = {"by": owner, "subject_id": ask(by=owner).subject_id, "instead": True}
    for act_, told in ((lambda: end(*agreed), 2), (lambda: ask(**again), 1)):
        with CaptureQueriesContext(connection) as seen:
            act_()
        asked = [query["sql"] for query in seen]
        notices = [n for n, sql in enumerate(asked) if sql.startswith('INSERT INTO "notices"')]
        recorded = [n for n, sql in enumerate(asked) if "audit" in sql]
        assert len(notices) == told and len(recorded) >= 2
        assert max(notices) < min(recorded)


def test_broken_glass_alerts_everybody_who_decides_and_who_asked(org, owner, admin, somebody):
    asker, viewer = somebody("member"), somebody("viewer")
    approval = ask(by=asker)
    voting.break_glass(
        approval_id=approval.id, by=owner, reason="Nobody can pay", at=timezone.now()
    )

    told = told_of(approval, "approvals.glass.broken")
    assert told >= {asker.member_id, admin.member_id}
    assert not told & {owner.member_id, viewer.member_id}
    notice = Notice.objects.get(kind="approvals.glass.broken", member_id=admin.member_id)
    assert "Nobody can pay" in notice.body
