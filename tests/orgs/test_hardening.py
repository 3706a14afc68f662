"""Ways round the rules of an org that are shut now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.services import invitations, members
from apps.tenants.models import InvitationIndex
from tests.orgs.conftest import AT, Api, problem, token_for


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
