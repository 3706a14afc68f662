"""Ways round the rules of an org that are shut now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command

from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.errors import InvitationClosed
from apps.orgs.models import Invitation, Member, Role
from apps.orgs.services import invitations, members, roles
from apps.tenants.models import InvitationIndex, Membership, User
from tests.orgs.conftest import AT, Api, join, problem, token_for


def test_a_key_cannot_remove_the_member_it_acts_for(
    org: Any, somebody: Callable[..., Any], events: Any
) -> None:
    # Given an admin's and a second owner's key that may manage members
    for role in ("admin", "owner"):
        who, other = somebody(role), somebody("viewer")
        api = Api(token_for(org, who, scopes=["members.manage"]))

        # When it names its own member
        answer = api.delete(f"/members/{public_id('mem', who.member_id)}")

        # Then nobody leaves; another member still can be removed
        assert problem(answer) == (403, "permission_denied")
        assert selectors.get_member(who.member_id).left_at is None
        path = f"/members/{public_id('mem', other.member_id)}"
        assert api.delete(path).status_code == 204


def test_a_role_that_leaves_no_scope_makes_no_key(org: Any, owner: Any) -> None:
    """No scopes would mean all of them, so the command must not hand on an empty list."""
    from apps.orgs.models import ApiKey

    def apikey(*options: str) -> str:
        out = StringIO()
        call_command("apikey", "--org", "acme", "--user", owner.email, *options, stdout=out)
        return out.getvalue().strip()

    before = ApiKey.objects.count()
    for options in (["--role", "viewer", "--scopes", "members.manage"], ["--role", "emperor"]):
        with pytest.raises(CommandError):
            apikey(*options)
    assert ApiKey.objects.count() == before

    token = apikey("--role", "viewer", "--scopes", "projects.view,members.manage")
    assert Api(token).get("/me").json()["permissions"] == ["projects.view"]


@pytest.mark.parametrize("end", ["removed", "demoted"])
def test_nobody_comes_in_by_the_link_of_somebody_who_may_no_longer_invite(
    org: Any, owner: Any, somebody: Callable[..., Any], end: str
) -> None:
    # Given an invitation by an admin and one by the owner
    admin = somebody("admin")
    theirs = invitations.invite(email="second@x.example", role="admin", by=admin, at=AT)
    other = invitations.invite(email="third@x.example", role="admin", by=owner, at=AT)

    # When the admin goes, or may no longer invite
    if end == "removed":
        members.remove_member(member_id=admin.member_id, by=owner, at=AT)
    else:
        members.change_member_role(member_id=admin.member_id, role="viewer", by=owner, at=AT)

    # Then their invitation is taken back, and nobody else's
    theirs.refresh_from_db()
    other.refresh_from_db()
    assert (theirs.state, theirs.token_hash) == ("revoked", None)
    assert other.state == "pending"
    assert not InvitationIndex.objects.filter(email="second@x.example").exists()


def test_nobody_keeps_a_way_back_to_what_they_were(
    org: Any, owner: Any, somebody: Callable[..., Any], events: Any
) -> None:
    # Given an owner's and an admin's invitations, to what they are and to less
    second, admin = somebody("owner"), somebody("admin")
    recruiting = ["invitations.manage", "runs.view"]
    recruiter = roles.create_role(name="Recruiter", permissions=recruiting, by=owner, at=AT)
    back, less = (
        invitations.invite(email=f"{role}@x.example", role=role, by=second, at=AT)
        for role in ("owner", "admin")
    )
    theirs, kept = (
        invitations.invite(email=f"{role}@y.example", role=role, by=admin, at=AT)
        for role in ("admin", recruiter.slug)
    )

    # When each gets a role that may still invite, and may less
    members.change_member_role(member_id=second.member_id, role="admin", by=owner, at=AT)
    members.change_member_role(member_id=admin.member_id, role=recruiter.slug, by=owner, at=AT)

    # Then what gives more than that is taken back, and nothing else
    states = dict(Invitation.objects.values_list("id", "state"))
    taken, open_ones = {back.id, theirs.id}, {less.id, kept.id}
    assert states == {**dict.fromkeys(taken, "revoked"), **dict.fromkeys(open_ones, "pending")}
    revoked = [row for row in events() if row[0] == "orgs.invitation.revoked"]
    assert [row[2]["old"]["role"] for row in revoked] == ["owner", "admin"]


@pytest.mark.parametrize("whose", ["the inviter's", "the invitation's"])
def test_a_role_that_changes_leaves_no_invitation_beyond_its_inviter(
    org: Any, owner: Any, whose: str
) -> None:
    inviting = ["invitations.manage", "projects.view", "runs.view"]
    mine = roles.create_role(name="Recruiter", permissions=inviting, by=owner, at=AT)
    given = roles.create_role(name="Reader", permissions=["runs.view"], by=owner, at=AT)
    seeing = roles.create_role(name="Seer", permissions=["projects.view"], by=owner, at=AT)
    by = join(org, mine.slug)
    made = invitations.invite(email="a@x.example", role=given.slug, by=by, at=AT)
    other = invitations.invite(email="b@x.example", role=seeing.slug, by=by, at=AT)
    ours = invitations.invite(email="c@x.example", role=given.slug, by=owner, at=AT)

    if whose == "the inviter's":
        less = ["invitations.manage", "projects.view"]
        roles.update_role(role_id=mine.id, permissions=less, by=owner, at=AT)
    else:
        more = ["runs.view", "audit.view"]
        roles.update_role(role_id=given.id, permissions=more, by=owner, at=AT)

    states = dict(Invitation.objects.values_list("id", "state"))
    assert states == {made.id: "revoked", other.id: "pending", ours.id: "pending"}


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"left_at": AT}])
def test_an_invitation_gives_what_its_inviter_may_give_when_it_is_accepted(
    org: Any, owner: Any, somebody: Callable[..., Any], change: dict[str, Any]
) -> None:
    """Whatever the order in which a change of roles and an invitation were committed."""
    admin = somebody("admin")
    made = invitations.invite(email="guest@x.example", role="admin", by=admin, at=AT)
    guest = User.objects.create_user("guest@x.example", "x", name="The Guest")
    EmailAddress.objects.create(user=guest, email=guest.email, verified=True, primary=True)
    if role := change.get("role"):
        change = {"role": Role.objects.get(slug=role)}
    Member.objects.filter(id=admin.member_id).update(**change)

    accept = {"invitation_id": made.id, "user_id": guest.pk, "at": AT}
    with pytest.raises(InvitationClosed, match="may no longer give"):
        invitations.accept_invitation(**accept)
    assert not Member.objects.filter(user_id=guest.pk).exists()
    assert not Membership.objects.filter(user=guest).exists()

    Member.objects.filter(id=admin.member_id).update(
        role=Role.objects.get(slug="admin"), left_at=None
    )
    assert invitations.accept_invitation(**accept).role.slug == "admin"


def test_a_key_makes_nobody_stronger_than_itself(org: Any, somebody: Callable[..., Any]) -> None:
    admin, other = somebody("admin"), somebody("viewer")
    narrow = Api(token_for(org, admin, scopes=["members.manage"]))
    whole = Api(token_for(org, admin))
    path = f"/members/{public_id('mem', other.member_id)}"

    assert problem(narrow.patch(path, {"role": "admin"}))[0] == 403
    assert selectors.get_member(other.member_id).role.slug == "viewer"
    assert whole.patch(path, {"role": "admin"}).status_code == 200


def test_a_mail_server_that_refuses_is_asked_ever_more_rarely(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a mail server that refuses, and an invitation
    asked: list[Any] = []

    def refuse(self: Any) -> int:
        asked.append(self.to)
        raise OSError("refused")

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    made = invitations.invite(email="far@x.example", role="viewer", by=owner, at=AT)

    # When the sweeper comes every five seconds for two hours
    for seconds in range(0, 7200, 5):
        at = AT + timedelta(seconds=seconds)
        invitations.sweep_invitations(at)
        with contextlib.suppress(OSError):
            invitations.deliver_invitation(invitation_id=made.id, at=at)

    # Then it was asked a handful of times, and the mail is still owed
    assert len(asked) == 8
    made.refresh_from_db()
    assert (made.state, made.sent_at) == ("pending", None)
