"""Who is told, by which ways, and what is written down of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.common.errors import Invalid
from apps.notify import kinds
from apps.notify.errors import NotifyMisuse
from apps.notify.models import Delivery, Digest, Notice, Preference
from apps.notify.services import telling
from apps.notify.services.preferences import Ways, save_preferences
from apps.notify.services.telling import Audience, next_digest
from apps.orgs.models import Member
from tests.notify.conftest import ALARM, NEWS, QUIET, said
from tests.orgs.conftest import AT


def told(**wanted: Any) -> set[Any]:
    return set(Notice.objects.filter(**wanted).values_list("member_id", flat=True))


def choose(who: Any, *, every: str | None = None, **ways: bool) -> None:
    chosen = {NEWS.code: Ways(**{"bell": True, "email": True, "channels": True, **ways})}
    save_preferences(ways=chosen, every=every, by=who, at=AT)


# Who ------------------------------------------------------------------------------------------


def test_members_with_the_permission_are_told_and_the_one_who_did_it_is_not(
    owner: Any, somebody: Any
) -> None:
    admin, other, member = somebody("admin"), somebody("admin"), somebody("member")

    reached = said(Audience(permission="notify.manage", without=other.member_id))

    assert told() == {owner.member_id, admin.member_id} and reached == 2
    assert member.member_id not in told()


def test_named_members_are_told_besides_and_nobody_twice(owner: Any, somebody: Any) -> None:
    member = somebody("member")

    said(Audience(permission="owners.manage", members=(member.member_id, owner.member_id)))

    assert told() == {owner.member_id, member.member_id}
    assert Notice.objects.count() == 2


def test_who_has_left_is_told_nothing(org: Any, somebody: Any) -> None:
    gone, here = somebody("member"), somebody("member")
    Member.objects.filter(id=gone.member_id).update(left_at=AT)

    assert said(Audience(members=(gone.member_id, here.member_id))) == 1
    assert told() == {here.member_id}


def test_an_empty_audience_is_told_nothing(org: Any) -> None:
    assert said(Audience()) == 0
    assert not Notice.objects.exists()


def test_another_orgs_member_can_not_be_told(org: Any, other_org: Any) -> None:
    from apps.tenants import keys
    from tests.orgs.conftest import owner_of

    theirs = owner_of(other_org).member_id
    assert said(Audience(members=(theirs,))) == 0
    with keys.holding(other_org.schema, other_org.id):
        assert not Notice.objects.exists()


# What -----------------------------------------------------------------------------------------


def test_a_notice_says_what_happened_and_where_to_look(owner: Any) -> None:
    said(Audience(members=(owner.member_id,)))

    notice = Notice.objects.get()
    assert (notice.kind, notice.title, notice.body) == (
        NEWS.code,
        "The thing is there",
        "It came by night.",
    )
    assert (notice.path, notice.subject_type, notice.subject_id) == ("/things/1/", "thing", "thg_1")
    assert (notice.created_at, notice.read_at, notice.in_inbox) == (AT, None, True)


def test_what_is_too_long_is_cut_and_a_title_is_one_line(owner: Any) -> None:
    said(Audience(members=(owner.member_id,)), title="a\r\nBcc: x " + "é" * 300, body="b" * 3000)

    notice = Notice.objects.get()
    assert len(notice.title) == 200 and len(notice.body) == 2000
    assert notice.title.startswith("a Bcc: x é") and notice.title.endswith("…")


def test_what_looks_like_a_secret_is_not_kept(owner: Any) -> None:
    said(
        Audience(members=(owner.member_id,)),
        title="It said token=abcdef123",
        body="Authorization: Bearer mnd_abcdefgh",
    )
    notice = Notice.objects.get()
    assert "abcdef" not in notice.title + notice.body


@pytest.mark.parametrize(
    "path", ["//evil.example/", "https://evil.example/", "things/", "", "/" * 400]
)
def test_a_notice_leads_to_a_page_of_the_org_only(owner: Any, path: str) -> None:
    with pytest.raises(NotifyMisuse):
        said(Audience(members=(owner.member_id,)), path=path)
    assert not Notice.objects.exists()


def test_an_unknown_kind_is_refused(owner: Any) -> None:
    with pytest.raises(KeyError):
        said(Audience(members=(owner.member_id,)), kind="tests.nothing.known")


def test_one_code_has_one_meaning() -> None:
    kinds.register(NEWS)
    with pytest.raises(ValueError, match="another meaning"):
        kinds.register(kinds.Kind(NEWS.code, "Something else", "Never."))


# By which ways --------------------------------------------------------------------------------


def test_a_kind_takes_its_own_ways_until_a_member_chooses(owner: Any) -> None:
    said(Audience(members=(owner.member_id,)), kind=QUIET.code)
    assert Notice.objects.get().mail == Notice.Mail.NONE


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ({}, (True, "owed")),
        ({"email": False}, (True, "none")),
        ({"bell": False}, (False, "owed")),
    ],
)
def test_a_members_choice_counts(owner: Any, ways: dict[str, bool], expected: Any) -> None:
    choose(owner, **ways)
    said(Audience(members=(owner.member_id,)))

    notice = Notice.objects.get()
    assert (notice.in_inbox, notice.mail) == expected


def test_what_everybody_has_to_hear_of_rings_whatever_was_chosen(owner: Any, somebody: Any) -> None:
    # Given somebody who would hear of nothing, by a row from before the kind was always told
    other = somebody()
    silent = {"kind": ALARM.code, "bell": False, "email": False, "channels": False}
    Preference.objects.create(member_id=other.member_id, **silent)
    for code in (ALARM.code, NEWS.code):
        ways = {code: Ways(bell=False, email=False, channels=False)}
        if code == NEWS.code:
            save_preferences(ways=ways, by=owner, at=AT)
            continue
        with pytest.raises(Invalid, match="always rings"):
            save_preferences(ways=ways, by=owner, at=AT)

    for kind in (ALARM, NEWS):
        said(Audience(members=(owner.member_id, other.member_id)), kind=kind.code)

    assert told(kind=ALARM.code, in_inbox=True) == {owner.member_id, other.member_id}
    assert told(kind=NEWS.code) == {other.member_id}
    quiet = {ALARM.code: Ways(bell=True, email=False, channels=False)}
    save_preferences(ways=quiet, by=owner, at=AT)  # the other ways are anybody's choice


def test_who_wants_neither_has_no_row_and_hinders_nobody(owner: Any, somebody: Any) -> None:
    choose(owner, bell=False, email=False)
    other = somebody()

    said(Audience(members=(owner.member_id, other.member_id)))

    assert told() == {other.member_id}


@pytest.mark.parametrize(
    ("every", "due_at"),
    [
        ("hourly", datetime(2027, 1, 31, 13, 0, tzinfo=UTC)),
        ("daily", datetime(2027, 2, 1, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_gathered_mail_waits_for_its_hour(owner: Any, every: str, due_at: datetime) -> None:
    at = datetime(2027, 1, 31, 12, 34, 56, tzinfo=UTC)
    choose(owner, every=every)

    said(Audience(members=(owner.member_id,)), at=at)
    said(Audience(members=(owner.member_id,)), at=at + timedelta(minutes=1))

    assert set(Notice.objects.values_list("mail", flat=True)) == {"digest"}
    assert Digest.objects.get().due_at == due_at
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("every", "at", "due"),
    [
        ("off", "12:00", None),
        ("hourly", "12:00", "13:00"),
        ("hourly", "23:59", "00:00"),
        ("daily", "06:59", "07:00"),
        ("daily", "07:00", "07:00"),
    ],
)
def test_when_a_digest_leaves(every: str, at: str, due: str | None) -> None:
    now = datetime.fromisoformat(f"2027-01-31T{at}:00+00:00")
    found = next_digest(every, now)
    assert (found.strftime("%H:%M") if found else None) == due
    assert found is None or timedelta(0) < found - now <= timedelta(days=1)


# What it costs --------------------------------------------------------------------------------


def test_telling_costs_the_same_for_two_and_for_twenty(
    owner: Any, somebody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "enqueue", lambda *_, **__: None)
    choose(owner, every="daily")
    counts = []
    for more in (1, 18):
        for _ in range(more):
            somebody("admin")
        with CaptureQueriesContext(connection) as seen:
            said(Audience(permission="notify.manage"))
        counts.append(len(seen))
    assert counts == [4, 4]  # the members, their notices, the digests, the channels
    assert not Delivery.objects.exists()
