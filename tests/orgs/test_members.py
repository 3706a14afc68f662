"""Roles given and taken, people leaving, and the owner who always stays."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.errors import DomainError, Invalid, NotFound, PermissionDenied
from apps.common.ids import public_id, uuid7
from apps.notify.services import channels
from apps.orgs import selectors
from apps.orgs.errors import BeyondOwnPower, LastOwner
from apps.orgs.models import ApiKey, Member
from apps.orgs.services import invitations, members
from apps.orgs.services import keys as api_keys
from apps.tenants import keys
from apps.tenants.models import KeyIndex, Membership, Session
from tests.notify.furnishing import DISCORD
from tests.orgs.conftest import AT, join, owner_of

EVENTS = 'INTO "audit_events"'


def role_of(who: Any) -> str:
    return str(Member.objects.get(id=who.member_id).role.slug)


def count_owners() -> int:
    return Member.objects.filter(role__slug="owner", left_at=None).count()


def test_a_role_is_changed_and_recorded(owner: Any, somebody: Any, events: Any) -> None:
    who = somebody("viewer")
    members.change_member_role(member_id=who.member_id, role="admin", by=owner, at=AT)

    assert role_of(who) == "admin"
    assert events() == [
        (
            "orgs.member.role_changed",
            public_id("mem", who.member_id),
            {"old": {"role": "viewer"}, "new": {"role": "admin"}},
        )
    ]


def test_the_same_role_is_no_change(owner: Any, somebody: Any, events: Any) -> None:
    members.change_member_role(
        member_id=somebody("viewer").member_id, role="viewer", by=owner, at=AT
    )
    assert events() == []


def test_an_admin_makes_admins_but_neither_makes_nor_unmakes_owners(
    owner: Any, somebody: Any, events: Any
) -> None:
    admin, other = somebody("admin"), somebody("member")
    members.change_member_role(member_id=other.member_id, role="admin", by=admin, at=AT)
    assert role_of(other) == "admin"
    before = len(events())

    for who, role in ((other, "owner"), (admin, "owner"), (owner, "viewer")):
        with pytest.raises(BeyondOwnPower):
            members.change_member_role(member_id=who.member_id, role=role, by=admin, at=AT)
    with pytest.raises(BeyondOwnPower):
        members.remove_member(member_id=owner.member_id, by=admin, at=AT)

    assert [role_of(who) for who in (other, admin, owner)] == ["admin", "admin", "owner"]
    assert len(events()) == before


def test_the_last_owner_neither_leaves_nor_is_demoted(owner: Any, events: Any) -> None:
    with pytest.raises(LastOwner):
        members.change_member_role(member_id=owner.member_id, role="admin", by=owner, at=AT)
    with pytest.raises(LastOwner):
        members.remove_member(member_id=owner.member_id, by=owner, at=AT)
    with pytest.raises(LastOwner):
        members.leave_org(by=owner, at=AT)
    assert (count_owners(), events()) == (1, [])


def test_one_of_two_owners_may_leave(owner: Any, somebody: Any) -> None:
    somebody("owner")
    members.leave_org(by=owner, at=AT)
    assert count_owners() == 1
    assert (
        selectors.find_member_principal(user_id=Member.objects.get(id=owner.member_id).user_id)
        is None
    )


def test_an_owner_who_left_is_no_owner(owner: Any, somebody: Any) -> None:
    gone = somebody("owner")
    members.remove_member(member_id=gone.member_id, by=owner, at=AT)
    with pytest.raises(LastOwner):
        members.leave_org(by=owner, at=AT)


def test_who_is_removed_loses_sessions_and_keys_and_stays_on_record(
    owner: Any, somebody: Any, events: Any
) -> None:
    who = somebody("member")
    member = Member.objects.get(id=who.member_id)
    made = api_keys.create_key(name="Theirs", by=who, at=timezone.now())
    parent = Session.objects.create(session_key="p", session_data="", expire_date=AT)
    Session.objects.create(
        session_key="c",
        session_data="",
        expire_date=AT,
        org_id=who.org_id,
        user_id=member.user_id,
        parent=parent,
    )

    members.remove_member(member_id=who.member_id, by=owner, at=AT)

    member.refresh_from_db()
    assert member.left_at == AT
    assert ApiKey.objects.get(id=made.key.id).revoked_at == AT
    assert not KeyIndex.objects.filter(key_hash=made.key.key_hash).exists()
    assert not Membership.objects.filter(user_id=member.user_id).exists()
    assert not Session.objects.filter(session_key="c").exists()
    assert [action for action, _, _ in events()[1:]] == [
        "orgs.api_key.revoked",
        "orgs.member.removed",
    ]
    with pytest.raises(NotFound):
        members.remove_member(member_id=who.member_id, by=owner, at=AT)


def test_a_key_cannot_leave_for_its_owner(org: Any, somebody: Any) -> None:
    who = somebody("member")
    made = api_keys.create_key(name="Any", by=who, at=timezone.now())
    found = selectors.find_key_principal(key_hash=made.key.key_hash, at=timezone.now())
    assert found is not None
    with pytest.raises(PermissionDenied):
        members.leave_org(by=found[0], at=AT)
    assert selectors.get_member(who.member_id).left_at is None


def test_unknown_roles_and_people_change_nothing(owner: Any, somebody: Any, events: Any) -> None:
    who = somebody("viewer")
    with pytest.raises(Invalid):
        members.change_member_role(member_id=who.member_id, role="emperor", by=owner, at=AT)
    with pytest.raises(NotFound):
        members.change_member_role(member_id=uuid7(), role="admin", by=owner, at=AT)
    assert (role_of(who), events()) == ("viewer", [])


def test_all_that_goes_with_a_member_is_held_before_the_log_is(org: Any, owner: Any) -> None:
    """The log's head is the last lock of every transaction, so no two can wait for each other."""
    who = join(org, "admin")
    invitations.invite(email="pat@x.example", role="viewer", by=who, at=timezone.now())
    api_keys.create_key(name="Theirs", by=who, at=timezone.now())
    channels.create_channel(name="Theirs", **DISCORD, by=who, at=timezone.now())

    with CaptureQueriesContext(connection) as seen:
        members.remove_member(member_id=who.member_id, by=owner, at=timezone.now())

    held = held_before_the_log(seen)
    for table in ("members", "invitations", "api_keys", "channels"):
        assert f'"{table}"' in held


def held_before_the_log(seen: Any) -> str:
    """What was locked or written before the first event; after it nothing else may be."""
    doing = ("UPDATE", "DELETE", "INSERT", "FOR UPDATE", "FOR NO KEY")
    order = [q["sql"] for q in seen if any(word in q["sql"] for word in doing)]
    first = next(n for n, sql in enumerate(order) if EVENTS in sql)
    assert [sql for sql in order[first:] if EVENTS not in sql] == []
    return " ".join(order[:first])


def race(org: Any, acts: list[Any]) -> list[BaseException | None]:
    """Run the acts at once, each on its own connection; what each raised."""
    gate, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(index: int, act: Any) -> None:
        try:
            with keys.holding(org.schema, org.id):
                connection.ensure_connection()
                gate.wait(20)
                act()
        except DomainError as error:
            results[index] = error  # type: ignore[call-overload]
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.parametrize("how", ["demote", "leave", "remove"])
def test_two_owners_who_go_at_once_leave_one(throwaway_org: Any, how: str) -> None:
    org = throwaway_org()
    pair = [owner_of(org), join(org, "owner")]
    acts = {
        "demote": lambda me, other: members.change_member_role(
            member_id=me.member_id, role="viewer", by=me, at=AT
        ),
        "leave": lambda me, other: members.leave_org(by=me, at=AT),
        "remove": lambda me, other: members.remove_member(member_id=other.member_id, by=me, at=AT),
    }

    def act(me: Any, other: Any) -> Any:
        return lambda: acts[how](me, other)

    results = race(org, [act(*pair), act(*reversed(pair))])

    assert sorted(type(result).__name__ for result in results) == ["LastOwner", "NoneType"]
    with keys.holding(org.schema, org.id):
        assert count_owners() == 1
