"""Roles of the org's own: no way up, no orphan, and effect from the commit on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.errors import Invalid, NotFound, PreconditionFailed
from apps.common.etag import Precondition
from apps.common.ids import public_id, uuid7
from apps.orgs import selectors
from apps.orgs.errors import (
    BeyondOwnPower,
    BuiltInRoleStays,
    LastOwner,
    RoleInUse,
    RoleNameInUse,
    TooManyRoles,
)
from apps.orgs.management.commands.apikey import scopes_of
from apps.orgs.models import Invitation, Member, Role
from apps.orgs.permissions import MATRIX, NOT_FOR_AGENTS, OWNERS_ONLY, codes_of
from apps.orgs.services import invitations, keys, members, roles
from apps.tenants import keys as keys_of_tenant
from apps.tenants.models import User
from tests.orgs.conftest import AT, join, owner_of
from tests.orgs.test_members import held_before_the_log, race

READING = ["agents.view", "runs.view"]


def make(by: Any, *permissions: str, name: str = "Auditor", **more: Any) -> Role:
    return roles.create_role(name=name, permissions=permissions or READING, by=by, at=AT, **more)


def codes(role: Role) -> list[str]:
    found: Any = selectors.get_role(role.slug)
    return list(found.codes)


def now(who: Any) -> Any:
    """The principal that the member's next request has."""
    user_id = Member.objects.get(id=who.member_id).user_id
    return selectors.find_member_principal(user_id=user_id)


def test_a_role_is_made_and_recorded(owner: Any, events: Any) -> None:
    role = make(owner, description="Reads.")

    assert (role.slug, role.built_in, codes(role)) == ("auditor", False, READING)
    facts = {"slug": "auditor", "name": "Auditor", "description": "Reads.", "permissions": READING}
    subject = public_id("rol", role.id)
    assert events() == [("orgs.role.created", subject, {"new": facts})]
    assert [r.slug for r in selectors.list_roles()][-1] == "auditor"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "two\x07lines"}, "name"),
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": "new"}, "slug"),
        ({"slug": "owner"}, "slug"),
        ({"description": "x" * 201}, "description"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["runs.fly"]}, "permissions"),
        *(({"permissions": [code]}, "permissions") for code in sorted(OWNERS_ONLY)),
    ],
)
def test_values_that_will_not_do_make_nothing(
    owner: Any, events: Any, given: dict[str, Any], field: str
) -> None:
    fine: dict[str, Any] = {"name": "Auditor", "permissions": READING}
    with pytest.raises(Invalid) as caught:
        roles.create_role(**{**fine, **given}, by=owner, at=AT)
    assert [error["field"] for error in caught.value.extra["errors"]] == [field]
    assert (Role.objects.filter(built_in=False).count(), events()) == (0, [])
    assert roles.create_role(**fine, by=owner, at=AT).id


def test_names_are_unique_whatever_their_case_and_slugs_for_good(owner: Any) -> None:
    first = make(owner)
    for name in ("AUDITOR", "owner"):
        with pytest.raises(RoleNameInUse):
            make(owner, name=name, slug="another")
    roles.delete_role(role_id=first.id, by=owner, at=AT)

    again = make(owner)
    assert again.slug == "auditor-2"
    with pytest.raises(NotFound):
        selectors.get_role("auditor")


def test_an_org_has_only_so_many(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "ROLES_MAX", 2)
    first = make(owner, name="A")
    make(owner, name="B")
    with pytest.raises(TooManyRoles):
        make(owner, name="C")
    roles.delete_role(role_id=first.id, by=owner, at=AT)
    assert make(owner, name="C").id


def test_nobody_makes_gives_or_changes_what_is_beyond_them(
    org: Any, owner: Any, somebody: Any, events: Any
) -> None:
    # Given somebody who manages roles and members, and may little else
    power = make(owner, "roles.manage", "members.manage", "invitations.manage", name="Power")
    strong, weak = make(owner, "audit.view", name="Strong"), make(owner, "members.manage", name="W")
    by, viewer = join(org, power.slug), somebody("viewer")
    before = len(events())

    def refused(act: Any, **given: Any) -> None:
        with pytest.raises(BeyondOwnPower):
            act(**given, by=by, at=AT)

    refused(roles.create_role, name="Up", permissions=["members.manage", "audit.view"])
    refused(roles.update_role, role_id=power.id, permissions=["roles.manage", "audit.view"])
    refused(roles.update_role, role_id=strong.id, permissions=["roles.manage"])
    refused(roles.update_role, role_id=strong.id, name="Other")
    refused(roles.delete_role, role_id=strong.id)
    refused(members.change_member_role, member_id=by.member_id, role="strong")
    refused(members.change_member_role, member_id=by.member_id, role="owner")
    refused(members.change_member_role, member_id=viewer.member_id, role=power.slug)
    refused(members.remove_member, member_id=viewer.member_id)
    refused(invitations.invite, email="up@x.example", role="strong")
    assert (len(events()), now(by).role, now(viewer).role) == (before, power.slug, "viewer")

    # And what is within their reach they do
    made = roles.create_role(name="Less", permissions=["members.manage"], by=by, at=AT)
    held = join(org, made.slug)
    members.change_member_role(member_id=held.member_id, role=weak.slug, by=by, at=AT)
    roles.update_role(role_id=weak.id, permissions=["roles.manage"], by=by, at=AT)
    assert now(held).permissions == {"roles.manage"}


def test_a_key_makes_no_role_beyond_its_scopes(org: Any, owner: Any) -> None:
    narrow = replace(owner, permissions=frozenset({"roles.manage", "runs.view"}))
    with pytest.raises(BeyondOwnPower):
        make(narrow, "audit.view")
    assert codes(make(narrow, "runs.view")) == ["runs.view"]


def test_a_key_touches_no_role_beyond_its_scopes(owner: Any, events: Any) -> None:
    """What it doesn't cover it neither takes from others nor ends."""
    strong, weak = make(owner, "audit.view", name="Strong"), make(owner, "runs.view", name="Weak")
    narrow, before = replace(owner, permissions=frozenset({"roles.manage", "runs.view"})), events()

    with pytest.raises(BeyondOwnPower):
        roles.update_role(role_id=strong.id, permissions=["runs.view"], by=narrow, at=AT)
    with pytest.raises(BeyondOwnPower):
        roles.delete_role(role_id=strong.id, by=narrow, at=AT)
    assert (codes(strong), events()) == (["audit.view"], before)

    roles.update_role(role_id=weak.id, permissions=["roles.manage"], by=narrow, at=AT)
    roles.delete_role(role_id=weak.id, by=narrow, at=AT)
    assert [r.slug for r in selectors.list_roles()][-1] == strong.slug


def test_a_change_counts_for_members_and_keys_from_its_commit_on(
    org: Any, owner: Any, events: Any
) -> None:
    role = make(owner)
    who = join(org, role.slug)
    made = keys.create_key(name="Theirs", by=who, at=timezone.now())
    scoped = keys.create_key(name="Scoped", scopes=["runs.view"], by=now(who), at=timezone.now())

    def may() -> list[Any]:
        at = timezone.now()
        hashes = [made.key.key_hash, scoped.key.key_hash]
        found = [selectors.find_key_principal(key_hash=h, at=at) for h in hashes]
        return [now(who).permissions, *(each[0].permissions for each in found if each)]

    assert may() == [set(READING), set(READING), {"runs.view"}]
    changed = ["agents.view", "projects.view"]
    roles.update_role(role_id=role.id, permissions=changed, by=owner, at=AT)

    assert may() == [set(changed), set(changed), frozenset()]
    assert events()[-1] == (
        "orgs.role.updated",
        public_id("rol", role.id),
        {"old": {"permissions": READING}, "new": {"permissions": changed}},
    )


def test_what_is_the_same_is_no_change_and_a_stale_one_is_refused(owner: Any, events: Any) -> None:
    role, before = make(owner), len(events())
    stale = Precondition.read(roles.version_of(role))
    same = roles.update_role(
        role_id=role.id, name="Auditor", permissions=READING, expected=stale, by=owner, at=AT
    )
    assert (same.version, len(events())) == (1, before)

    roles.update_role(role_id=role.id, name="Reader", expected=stale, by=owner, at=AT)
    for act in (roles.update_role, roles.delete_role):
        with pytest.raises(PreconditionFailed):
            act(role_id=role.id, expected=stale, by=owner, at=AT)
    assert (selectors.get_role("auditor").name, len(events())) == ("Reader", before + 1)


def test_built_in_roles_are_changed_by_nobody(owner: Any, events: Any) -> None:
    for slug in ("owner", "viewer"):
        role = selectors.get_role(slug)
        with pytest.raises(BuiltInRoleStays):
            roles.update_role(role_id=role.id, permissions=READING, by=owner, at=AT)
        with pytest.raises(BuiltInRoleStays):
            roles.delete_role(role_id=role.id, by=owner, at=AT)
        assert frozenset(codes(role)) == codes_of(slug)
    for act in (roles.update_role, roles.delete_role):
        with pytest.raises(NotFound):
            act(role_id=uuid7(), by=owner, at=AT)
    assert events() == []


def test_a_role_in_use_stays_and_says_who_has_it(org: Any, owner: Any, events: Any) -> None:
    role = make(owner)
    who = join(org, role.slug, name="Ada Osei")
    open_one = invitations.invite(email="pat@x.example", role=role.slug, by=owner, at=AT)

    with pytest.raises(RoleInUse, match="Ada Osei"):
        roles.delete_role(role_id=role.id, by=owner, at=AT)
    members.remove_member(member_id=who.member_id, by=owner, at=AT)
    with pytest.raises(RoleInUse, match="pat@x.example"):
        roles.delete_role(role_id=role.id, by=owner, at=AT)
    assert codes(role) == READING
    invitations.revoke_invitation(invitation_id=open_one.id, by=owner, at=AT)

    roles.delete_role(role_id=role.id, by=owner, at=AT)

    assert events()[-1][0] == "orgs.role.deleted"
    assert events()[-1][2]["old"]["permissions"] == READING
    assert Member.objects.get(id=who.member_id).role_id == role.id  # what was, stays on record
    with pytest.raises(Invalid):
        invitations.invite(email="new@x.example", role=role.slug, by=owner, at=AT)


def test_a_role_is_given_or_deleted_but_not_both(throwaway_org: Any) -> None:
    org = throwaway_org()
    boss = owner_of(org)
    with keys_of_tenant.holding(org.schema, org.id):
        role = make(boss)
        who = join(org, "viewer")
    acts = [
        lambda: members.change_member_role(member_id=who.member_id, role=role.slug, by=boss, at=AT),
        lambda: roles.delete_role(role_id=role.id, by=boss, at=AT),
    ]

    results = race(org, acts)

    with keys_of_tenant.holding(org.schema, org.id):
        has_it = Member.objects.get(id=who.member_id).role_id == role.id
        is_gone = Role.objects.get(id=role.id).deleted_at is not None
    assert sorted(type(result).__name__ for result in results) in (
        ["NoneType", "RoleInUse"],
        ["Invalid", "NoneType"],
    )
    assert has_it is not is_gone


def test_a_role_stays_while_somebody_gets_it_by_accepting(throwaway_org: Any) -> None:
    """Whichever of the two is looked for first, the other has begun to be when it commits."""
    org = throwaway_org()
    boss, guest = owner_of(org), owner_of(throwaway_org())
    user = User.objects.get(email=guest.email)
    with keys_of_tenant.holding(org.schema, org.id):
        role = make(boss)
        open_one = invitations.invite(email=guest.email, role=role.slug, by=boss, at=timezone.now())
    accepted: list[Any] = []

    def accept() -> None:
        now = timezone.now()
        invitations.accept_invitation(invitation_id=open_one.id, user_id=user.pk, at=now)

    def meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if not accepted and ('FROM "members"' in sql or 'FROM "invitations"' in sql):
            accepted.append(race(org, [accept]))
        return result

    with (
        keys_of_tenant.holding(org.schema, org.id),
        connection.execute_wrapper(meanwhile),
        pytest.raises(RoleInUse),
    ):
        roles.delete_role(role_id=role.id, by=boss, at=AT)

    assert accepted == [[None]]
    with keys_of_tenant.holding(org.schema, org.id):
        assert now(replace(guest, member_id=_joined(user))).permissions == frozenset(READING)


def _joined(user: User) -> Any:
    return Member.objects.get(user_id=user.pk, left_at=None).id


def test_who_may_no_longer_invite_has_no_open_invitation(org: Any, owner: Any) -> None:
    role = make(owner, "invitations.manage", "runs.view")
    low = make(owner, "runs.view", name="Low")
    theirs = invitations.invite(email="a@x.example", role=low.slug, by=join(org, role.slug), at=AT)
    ours = invitations.invite(email="b@x.example", role=low.slug, by=owner, at=AT)

    roles.update_role(role_id=role.id, permissions=["runs.view"], by=owner, at=AT)

    states = dict(Invitation.objects.values_list("id", "state"))
    assert states == {theirs.id: "revoked", ours.id: "pending"}


def test_a_role_that_gives_and_takes_at_once_holds_all_before_the_log(org: Any, owner: Any) -> None:
    role = make(owner, "invitations.manage", "runs.view")
    low = make(owner, "runs.view", name="Low")
    invitations.invite(email="a@x.example", role=low.slug, by=join(org, role.slug), at=AT)
    invitations.invite(email="b@x.example", role=role.slug, by=join(org, role.slug), at=AT)

    with CaptureQueriesContext(connection) as seen:
        given = ["agents.view", "runs.view"]
        roles.update_role(role_id=role.id, permissions=given, by=owner, at=AT)

    held_before_the_log(seen)
    assert set(Invitation.objects.values_list("state", flat=True)) == {"revoked"}


def test_the_last_owner_stays_whatever_roles_there_are(owner: Any) -> None:
    role = make(owner, *(codes_of("owner") - OWNERS_ONLY))
    with pytest.raises(LastOwner):
        members.change_member_role(member_id=owner.member_id, role=role.slug, by=owner, at=AT)
    assert now(owner).permissions == frozenset(MATRIX)


def test_a_key_on_the_command_line_can_be_narrowed_to_a_role_of_the_org(owner: Any) -> None:
    make(owner)
    assert scopes_of(now(owner), "auditor", "") == READING
    assert scopes_of(now(owner), "auditor", "runs.view") == ["runs.view"]
    with pytest.raises(CommandError, match="there is no role emperor"):
        scopes_of(now(owner), "emperor", "")
    for role in ("auditor", "owner", None):
        with pytest.raises(CommandError, match="there is no permission runs.veiw"):
            scopes_of(now(owner), role, "agents.view,runs.veiw")
    assert scopes_of(now(owner), "auditor", "*") == READING
    assert scopes_of(now(owner), "owner", "") is None


def test_an_agents_key_makes_no_roles() -> None:
    assert "roles.manage" in NOT_FOR_AGENTS
