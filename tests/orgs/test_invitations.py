"""Invitations: by mail, to one address, once, for a week; and what a crash in between costs."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import transaction

from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.fsm import transition_table
from apps.orgs import selectors
from apps.orgs.errors import AlreadyInvited, AlreadyMember, BeyondOwnPower, InvitationClosed
from apps.orgs.models import Invitation, Member
from apps.orgs.services import invitations, members
from apps.orgs.tokens import hash_of
from apps.tenants import keys
from apps.tenants.models import InvitationIndex, Membership, Org, User
from apps.tenants.selectors import find_invitation_org
from tests.orgs.conftest import AT, join, owner_of

GUEST = "guest@elsewhere.example"


def person(email: str = GUEST, *, verified: bool = True) -> User:
    user = User.objects.create_user(email, "x", name="The Guest")
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def deliver(invitation: Invitation, at: Any = AT) -> str:
    """Have the mail written; the token in its link."""
    assert invitations.deliver_invitation(invitation_id=invitation.id, at=at)
    link = re.search(r"http://localhost:8000/invitations/([\w-]+)/", mail.outbox[-1].body)
    assert link, mail.outbox[-1].body
    return link[1]


def test_the_machine_has_these_arrows_and_no_others() -> None:
    arrows = {key: to for key, to in transition_table(Invitation, "state").items() if to}
    assert arrows == {
        ("pending", "accept"): "accepted",
        ("pending", "revoke"): "revoked",
        ("pending", "expire"): "expired",
    }


def test_an_invited_person_becomes_a_member(owner: Any, events: Any) -> None:
    guest = person()
    invitation = invitations.invite(
        email=" Guest@Elsewhere.example", role="member", by=owner, at=AT
    )
    assert (invitation.email, invitation.expires_at) == (GUEST, AT + invitations.LIFE)
    token = deliver(invitation)
    found = find_invitation_org(token_hash=hash_of(token), at=AT)
    assert found
    assert (found[0].id, found[1]) == (owner.org_id, GUEST)
    assert selectors.find_open_invitation(token_hash=hash_of(token), at=AT) == invitation

    member = invitations.accept_invitation(invitation_id=invitation.id, user_id=guest.pk, at=AT)

    assert (member.label, member.email, member.role.slug) == ("The Guest", GUEST, "member")
    assert Membership.objects.filter(user=guest, org_id=owner.org_id).exists()
    invitation.refresh_from_db()
    assert (invitation.state, invitation.accepted_by, invitation.token_hash) == (
        "accepted",
        member,
        None,
    )
    assert not InvitationIndex.objects.filter(token_hash=hash_of(token)).exists()
    assert [action for action, _, _ in events()] == [
        "orgs.invitation.created",
        "orgs.invitation.accepted",
    ]
    with pytest.raises(InvitationClosed):
        invitations.accept_invitation(invitation_id=invitation.id, user_id=guest.pk, at=AT)


def test_the_mail_names_inviter_org_and_role(owner: Any) -> None:
    deliver(invitations.invite(email=GUEST, role="admin", by=owner, at=AT))
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == ([GUEST], "Join Acme on Mandate")
    assert sent.body.startswith("Owner of Acme invites you to join Acme on Mandate as admin.")


def test_only_the_hash_of_the_link_is_kept(owner: Any, events: Any) -> None:
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    token = deliver(invitation)
    invitation.refresh_from_db()
    assert bytes(invitation.token_hash or b"") == hash_of(token)
    assert token not in str(events())


@pytest.mark.parametrize("verified", [True, False])
def test_only_the_address_that_was_invited_may_accept(owner: Any, verified: bool) -> None:
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    wrong = person("other@elsewhere.example") if verified else person(verified=False)

    with pytest.raises(PermissionDenied):
        invitations.accept_invitation(invitation_id=invitation.id, user_id=wrong.pk, at=AT)

    invitation.refresh_from_db()
    assert invitation.state == "pending"
    assert not Member.objects.filter(user_id=wrong.pk).exists()
    assert not Membership.objects.filter(user=wrong).exists()


def test_somebody_who_left_comes_back_as_the_same_member(owner: Any, somebody: Any) -> None:
    gone = somebody("admin", email="back@acme.example")
    members.remove_member(member_id=gone.member_id, by=owner, at=AT)
    invitation = invitations.invite(email="back@acme.example", role="viewer", by=owner, at=AT)
    user = User.objects.get(email="back@acme.example")

    member = invitations.accept_invitation(invitation_id=invitation.id, user_id=user.pk, at=AT)

    assert (member.id, member.role.slug, member.left_at) == (gone.member_id, "viewer", None)


def test_sending_again_ends_the_old_link(owner: Any, events: Any) -> None:
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    old, later = deliver(invitation), AT + timedelta(days=3)

    again = invitations.resend_invitation(invitation_id=invitation.id, by=owner, at=later)
    new = deliver(invitation, later)

    assert again.expires_at == later + invitations.LIFE
    assert find_invitation_org(token_hash=hash_of(old), at=later) is None
    assert find_invitation_org(token_hash=hash_of(new), at=later) is not None
    assert events()[-1][0] == "orgs.invitation.resent"


def test_a_revoked_invitation_opens_nothing(owner: Any, events: Any) -> None:
    guest = person()
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    token = deliver(invitation)

    invitations.revoke_invitation(invitation_id=invitation.id, by=owner, at=AT)

    assert find_invitation_org(token_hash=hash_of(token), at=AT) is None
    ref = invitation.id
    for act in (
        lambda: invitations.accept_invitation(invitation_id=ref, user_id=guest.pk, at=AT),
        lambda: invitations.resend_invitation(invitation_id=ref, by=owner, at=AT),
        lambda: invitations.revoke_invitation(invitation_id=ref, by=owner, at=AT),
    ):
        with pytest.raises(InvitationClosed):
            act()
    assert not Membership.objects.filter(user=guest).exists()
    assert events()[-1][0] == "orgs.invitation.revoked"


def test_an_invitation_ends_after_a_week(owner: Any, events: Any) -> None:
    guest = person()
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    token, over = deliver(invitation), AT + invitations.LIFE
    assert find_invitation_org(token_hash=hash_of(token), at=over) is None
    with pytest.raises(InvitationClosed):
        invitations.accept_invitation(invitation_id=invitation.id, user_id=guest.pk, at=over)

    assert invitations.expire_invitations(at=over - timedelta(seconds=1)) == 0
    assert invitations.expire_invitations(at=over) == 1

    invitation.refresh_from_db()
    assert invitation.state == "expired"
    assert not InvitationIndex.objects.filter(token_hash=hash_of(token)).exists()
    assert events()[-1][0] == "orgs.invitation.expired"
    assert invitations.invite(email=GUEST, role="member", by=owner, at=over).state == "pending"


def test_one_open_invitation_an_address_and_none_for_members(owner: Any, somebody: Any) -> None:
    somebody("viewer", email="in@acme.example")
    invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    before = Invitation.objects.count()

    for email, role, refusal in (
        (GUEST.upper(), "viewer", AlreadyInvited),
        ("In@acme.example", "viewer", AlreadyMember),
        ("nobody", "viewer", Invalid),
        ("x@y.example", "emperor", Invalid),
    ):
        with pytest.raises(refusal):
            invitations.invite(email=email, role=role, by=owner, at=AT)
    assert Invitation.objects.count() == before


def test_an_admin_invites_no_owner(somebody: Any) -> None:
    admin = somebody("admin")
    with pytest.raises(BeyondOwnPower):
        invitations.invite(email=GUEST, role="owner", by=admin, at=AT)
    assert not Invitation.objects.exists()
    assert invitations.invite(email=GUEST, role="admin", by=admin, at=AT).role.slug == "admin"


def test_the_mail_leaves_once(owner: Any) -> None:
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
    deliver(invitation)
    assert not invitations.deliver_invitation(invitation_id=invitation.id, at=AT)
    assert len(mail.outbox) == 1


def test_a_name_of_two_lines_does_not_keep_the_mail(owner: Any, org: Any) -> None:
    """A header is one line, and what would be another one is refused when the mail is sent."""
    Org.objects.filter(id=org.id).update(name="Acme\r\nBcc: all@example.com")
    deliver(invitations.invite(email=GUEST, role="member", by=owner, at=AT))
    (sent,) = mail.outbox
    assert sent.subject == "Join Acme Bcc: all@example.com on Mandate"
    assert sent.recipients() == [GUEST]


def test_a_mail_that_could_not_leave_is_owed(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr(invitations, "send_mail", refuse)
        with pytest.raises(ConnectionRefusedError):
            invitations.deliver_invitation(invitation_id=invitation.id, at=AT)
    invitation.refresh_from_db()
    assert (invitation.sent_at, mail.outbox) == (None, [])

    again = AT + timedelta(minutes=1)
    assert not invitations.deliver_invitation(invitation_id=invitation.id, at=AT)
    deliver(invitation, again)
    invitation.refresh_from_db()
    assert invitation.sent_at == again
    assert len(mail.outbox) == 1


def test_unknown_invitations_are_not_found(owner: Any) -> None:
    with pytest.raises(NotFound):
        invitations.revoke_invitation(invitation_id=uuid.uuid4(), by=owner, at=AT)


def test_a_lost_wake_up_is_found_by_the_sweeper_and_no_secret_is_in_the_queue(
    throwaway_org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    org, sent = throwaway_org(), []
    owner = owner_of(org)
    with keys.holding(org.schema, org.id):
        with monkeypatch.context() as lost:
            lost.setattr(invitations, "enqueue", lambda name, **kw: sent.append((name, kw)))
            invitation = invitations.invite(email=GUEST, role="member", by=owner, at=AT)
        assert sent == [("orgs.send_invitation", {"invitation_id": str(invitation.id)})]
        assert mail.outbox == []

        invitations.sweep_invitations(AT + timedelta(seconds=29))
        assert mail.outbox == []
        invitations.sweep_invitations(AT + timedelta(seconds=31))

        assert [message.to for message in mail.outbox] == [[GUEST]]
        invitation.refresh_from_db()
        assert invitation.sent_at is not None


def test_inviting_sends_the_mail_after_the_commit(throwaway_org: Any) -> None:
    org = throwaway_org()
    admin = join(org, "admin")
    with keys.holding(org.schema, org.id), transaction.atomic():
        invitations.invite(email=GUEST, role="member", by=admin, at=AT)
        assert mail.outbox == []
    assert [message.to for message in mail.outbox] == [[GUEST]]
