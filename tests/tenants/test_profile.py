"""/account/profile/: a name that is the same everywhere, and the zone that times are written in;
/account/email/: the address that orgs write to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import connection
from django.utils import timezone

from apps.orgs.models import Member
from apps.orgs.services import members
from apps.tenants import keys, zones
from apps.tenants.models import User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services import profiles
from apps.trust.models import AuditEvent
from tests.orgs.conftest import AT, join, owner_of
from tests.tenants.browsing import TwoHosts, as_member, enter, is_page, is_part, signed_in, user_of

PATH = "/account/profile/"
SAID = {"name": "Ada Lovelace", "time_zone": "Europe/Berlin"}


@pytest.fixture
def user(acme: Any) -> User:
    return user_of(owner_of(acme))


def actions(org: Any) -> list[str]:
    with keys.holding(org.schema, org.id):
        return list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))


def label_in(org: Any, user: User) -> str:
    with keys.holding(org.schema, org.id):
        return Member.objects.get(user_id=user.pk).label


def test_what_was_said_is_kept_and_on_record(acme: Any, user: User) -> None:
    before = actions(acme)
    browser = signed_in(user)
    answer = browser.post(PATH, SAID)

    assert (answer.status_code, answer["Location"]) == (303, PATH)
    user.refresh_from_db()
    assert (user.name, user.time_zone) == ("Ada Lovelace", "Europe/Berlin")
    assert label_in(acme, user) == "Ada Lovelace"
    assert actions(acme)[len(before) :] == ["orgs.member.renamed"]
    system = find_org_by_slug("system")
    assert actions(system)[-1] == "tenants.user.changed"
    assert b"Your profile was saved." in browser.get(PATH).content


def test_the_same_again_changes_nothing(acme: Any, user: User) -> None:
    before = actions(acme)
    same = {"name": user.name, "time_zone": user.time_zone}
    assert signed_in(user).post(PATH, same).status_code == 303
    assert actions(acme) == before


def test_another_zone_is_no_matter_of_the_orgs(acme: Any, user: User) -> None:
    before = actions(acme)
    signed_in(user).post(PATH, {"name": user.name, "time_zone": "Asia/Tokyo"})
    assert User.objects.get(pk=user.pk).time_zone == "Asia/Tokyo"
    assert actions(acme) == before


def test_only_this_persons_name_changes_and_only_where_they_are(
    acme: Any, other_org: Any, user: User
) -> None:
    colleague = join(acme, "member", name="Bert")
    stranger = owner_of(other_org)
    before = actions(other_org)
    signed_in(user).post(PATH, SAID)
    assert label_in(acme, user_of(colleague)) == "Bert"
    assert label_in(other_org, user_of(stranger)) == stranger.member_label
    assert actions(other_org) == before


def test_who_has_left_keeps_the_name_they_left_with(acme: Any) -> None:
    gone = join(acme, "member", name="Bert")
    user = user_of(gone)
    with keys.holding(acme.schema, acme.id):
        members.leave_org(by=gone, at=AT)
    profiles.change_profile(user_id=user.pk, **SAID, at=AT)
    assert label_in(acme, user) == "Bert"


def test_a_name_is_changed_everywhere_or_nowhere(
    acme: Any, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no room for an event")

    monkeypatch.setattr(profiles, "_followers", [members.follow_person, fail])
    was = label_in(acme, user)
    with pytest.raises(RuntimeError, match="no room"):
        profiles.change_profile(user_id=user.pk, **SAID, at=AT)
    assert User.objects.get(pk=user.pk).name == user.name
    assert label_in(acme, user) == was


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "Ada\r\nBcc: all@example.com"}, "name"),
        ({"name": "Ada \u202egnikool"}, "name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ],
)
def test_what_can_not_be_meant_is_refused(user: User, wrong: dict[str, str], field: str) -> None:
    page = signed_in(user).post(PATH, {**SAID, **wrong})
    assert page.status_code == 422 and is_page(page)
    assert list(page.context["form"].errors) == [field]
    part = signed_in(user).post(PATH, {**SAID, **wrong}, HX_Request="true")
    assert part.status_code == 422 and is_part(part)
    assert User.objects.get(pk=user.pk).name == user.name


def test_the_page_and_its_fragment(user: User) -> None:
    page = signed_in(user).get(PATH)
    assert is_page(page) and user.email in page.content.decode()
    assert b'aria-current="page" href="/account/profile/">Profile</a>' in page.content
    assert is_part(signed_in(user).part(PATH))


# Addresses ------------------------------------------------------------------------------------


@pytest.fixture
def second(user: User) -> EmailAddress:
    return EmailAddress.objects.create(user=user, email="ada@new.example", verified=True)


def make_primary(user: User, address: str) -> Any:
    tab, proof = signed_in(user), {"password": "mandate-demo"}
    tab.post("/account/reauthenticate/", proof)
    return tab.post("/account/email/", {"email": address, "action_primary": "1"})


def address_in(org: Any, user: User) -> str:
    with keys.holding(org.schema, org.id):
        return Member.objects.get(user_id=user.pk).email


def test_each_org_writes_to_the_address_that_is_primary_now(
    acme: Any,
    other_org: Any,
    user: User,
    second: EmailAddress,
    django_capture_on_commit_callbacks: Any,
) -> None:
    before, elsewhere = actions(acme), actions(other_org)

    with django_capture_on_commit_callbacks() as after:
        assert make_primary(user, second.email).status_code == 302

    assert User.objects.get(pk=user.pk).email == address_in(acme, user) == second.email
    assert label_in(acme, user) == user.name
    assert actions(acme)[len(before) :] == ["orgs.member.email_changed"]
    assert actions(find_org_by_slug("system"))[-1] == "tenants.email.changed"
    assert actions(other_org) == elsewhere
    assert len(after) == 1 and mail.outbox == [], "no lock is held while a mail leaves"


def test_who_has_no_name_is_called_by_the_address_that_they_have_now(
    acme: Any, user: User, second: EmailAddress
) -> None:
    User.objects.filter(pk=user.pk).update(name="")
    make_primary(user, second.email)
    assert label_in(acme, user) == address_in(acme, user) == second.email


def test_the_address_that_is_primary_already_is_no_change(acme: Any, user: User) -> None:
    before = actions(acme), actions(find_org_by_slug("system"))
    assert make_primary(user, user.email).status_code == 302
    assert (actions(acme), actions(find_org_by_slug("system"))) == before


def test_an_address_is_changed_everywhere_or_nowhere(
    acme: Any, user: User, second: EmailAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no room for an event")

    monkeypatch.setattr(profiles, "_followers", [members.follow_person, fail])
    with pytest.raises(RuntimeError, match="no room"):
        make_primary(user, second.email)
    assert User.objects.get(pk=user.pk).email == address_in(acme, user) == user.email
    assert not EmailAddress.objects.get(pk=second.pk).primary
    assert mail.outbox == []


def test_an_org_that_had_not_followed_does_so_when_the_person_signs_in(
    acme: Any, user: User
) -> None:
    colleague = join(acme, "member")
    email, name = user.email, user.name
    with keys.holding(acme.schema, acme.id):
        Member.objects.update(email="given-up@old.example", label="Somebody")
    before = actions(acme)
    with keys.holding():
        assert enter(TwoHosts(), acme, email).status_code == 302

    assert (address_in(acme, user), label_in(acme, user)) == (email, name)
    assert address_in(acme, user_of(colleague)) == "given-up@old.example", "it's each one's own"
    followed = ["orgs.member.renamed", "orgs.member.email_changed"]
    assert actions(acme)[len(before) :] == followed
    with keys.holding():
        assert enter(TwoHosts(), acme, email).status_code == 302
    assert actions(acme)[len(before) :] == followed, "and then there is nothing left to follow"


# Zones ----------------------------------------------------------------------------------------


def test_times_are_written_in_the_readers_zone(acme: Any, user: User) -> None:
    at = datetime(2026, 1, 2, 23, 30, tzinfo=UTC)
    with keys.holding(acme.schema, acme.id):
        Member.objects.filter(user_id=user.pk).update(joined_at=at)

    def shown() -> str:
        return as_member(acme, owner_of(acme)).get("/settings/members/").content.decode()

    assert ">Jan 2, 23:30</time>" in shown()
    User.objects.filter(pk=user.pk).update(time_zone="Europe/Berlin")
    page = shown()
    assert ">Jan 3, 00:30</time>" in page
    assert 'title="2026-01-02 23:30:00 UTC"' in page
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_zone_that_is_no_longer_known_is_utc(acme: Any, user: User) -> None:
    User.objects.filter(pk=user.pk).update(time_zone="Atlantis/Capital")
    assert signed_in(user).get(PATH).status_code == 200
    assert zones.zone_of(User.objects.get(pk=user.pk)) is UTC
    assert zones.zone_of(None) is UTC


def test_every_zone_that_can_be_chosen_is_one() -> None:
    (utc, _), *regions = zones.choices()
    names = [utc, *(name for _, cities in regions for name, _ in cities)]
    assert len(names) > 300 and len(set(names)) == len(names)
    now = timezone.now()
    for name in names:
        offset = zones.zone_of(User(time_zone=name)).utcoffset(now)
        assert offset is not None and abs(offset) <= timedelta(hours=14)
    assert ("Europe/Berlin", "Berlin") in dict(regions)["Europe"]


def test_the_database_keeps_utc(user: User) -> None:
    """What a zone changes is how a time is written, never which time it is."""
    User.objects.filter(pk=user.pk).update(time_zone="Asia/Tokyo")
    signed_in(user).get(PATH)
    with connection.cursor() as cursor:
        cursor.execute("show timezone")
        assert cursor.fetchone() == ("UTC",)
