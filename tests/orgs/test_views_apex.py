"""An invitation's link, from the mail to the membership."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.utils import timezone

from apps.orgs.apex_urls import urlpatterns
from apps.orgs.models import Invitation, Member
from apps.orgs.services import invitations
from apps.orgs.services.org import close_org
from apps.tenants.models import InvitationIndex, Membership, User
from tests.tenants.browsing import anonymous, is_page, signed_in, user_of


@pytest.fixture
def invited(org: Any, owner: Any) -> tuple[Invitation, str]:
    """An invitation and the path that its mail leads to."""
    made = invitations.invite(email="pat@x.example", role="member", by=owner, at=timezone.now())
    invitations.deliver_invitation(invitation_id=made.id, at=timezone.now())
    found = re.search(r"http://localhost:8000(/\S+)", mail.outbox[-1].body)
    assert found
    return made, found[1]


def person(email: str, *, verified: bool = True) -> User:
    user = User.objects.create_user(email, "mandate-demo", name="Pat")
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def test_every_page_of_the_apex_is_tried_here() -> None:
    """`reopen` is tried with the closing that it undoes, in test_views_settings.py."""
    assert {pattern.name for pattern in urlpatterns} == {"invitation", "reopen"}


def test_the_mails_link_opens_and_says_what_it_is(invited: tuple[Any, str], owner: Any) -> None:
    _, path = invited

    page = anonymous().get(path)

    assert page.status_code == 200 and is_page(page)
    assert "no-store" in page["Cache-Control"]
    assert b"Join Acme" in page.content and b"Member" in page.content
    assert f"?next={path.replace('/', '%2F')}".encode() in page.content
    other = signed_in(user_of(owner)).get(path)
    assert b"for someone else" in other.content and b"Accept invitation" not in other.content


def test_the_invited_person_joins(org: Any, invited: tuple[Any, str], events: Any) -> None:
    row, path = invited
    user, count = person("pat@x.example"), len(events())
    browser = signed_in(user)
    assert b"Accept invitation" in browser.get(path).content

    answer = browser.post(path)

    assert (answer.status_code, answer["Location"]) == (303, "/account/")
    assert Member.objects.select_related("role").get(user_id=user.pk).role.slug == "member"
    assert Membership.objects.filter(user=user, org_id=org.id).exists()
    assert [action for action, *_ in events()][count:] == ["orgs.invitation.accepted"]
    assert signed_in(user, org).get("/").status_code == 200
    for again in (browser.get(path), browser.post(path)):
        assert again.status_code == 404 and is_page(again)


def test_an_address_need_not_be_the_primary_one(org: Any, invited: tuple[Any, str]) -> None:
    _, path = invited
    user = person("pat@home.example")
    second = EmailAddress.objects.create(user=user, email="Pat@X.example", verified=False)
    browser = signed_in(user)
    assert b"for someone else" in browser.get(path).content

    EmailAddress.objects.filter(pk=second.pk).update(verified=True)

    assert b"Accept invitation" in browser.get(path).content
    assert browser.post(path).status_code == 303
    assert Member.objects.filter(user_id=user.pk, email="pat@home.example").exists()


@pytest.mark.parametrize(
    ("who", "status"), [("nobody", 302), ("another", 403), ("unverified", 403), ("forged", 403)]
)
def test_nobody_else_joins(
    org: Any, invited: tuple[Any, str], events: Any, who: str, status: int
) -> None:
    row, path = invited
    count = len(events())
    browser = {
        "nobody": anonymous,
        "another": lambda: signed_in(person("sam@x.example")),
        "unverified": lambda: signed_in(person("pat@x.example", verified=False)),
        "forged": lambda: signed_in(person("pat@x.example"), csrf=True),
    }[who]()

    answer = browser.post(path)

    assert answer.status_code == status
    if who == "nobody":
        assert answer["Location"] == f"/account/login/?next={path}"
    row.refresh_from_db()
    assert row.state == "pending" and len(events()) == count
    assert not Membership.objects.filter(org_id=org.id, user__email__endswith="@x.example").exists()


@pytest.mark.parametrize("fault", ["unknown", "revoked", "expired", "closed"])
def test_a_link_that_is_no_good_is_not_found(
    org: Any, owner: Any, invited: tuple[Any, str], fault: str
) -> None:
    row, path = invited
    now = timezone.now()
    if fault == "unknown":
        path = path[:-5] + "xxxx/"
    elif fault == "revoked":
        invitations.revoke_invitation(invitation_id=row.id, by=owner, at=now)
    elif fault == "expired":
        Invitation.objects.filter(id=row.id).update(expires_at=now)
    else:
        close_org(by=owner, at=now)
    browser = signed_in(person("pat@x.example"))

    for answer in (anonymous().get(path), browser.get(path), browser.post(path)):
        assert answer.status_code == 404 and is_page(answer)
    assert not Member.objects.filter(email="pat@x.example").exists()


def test_who_is_invited_is_told_so_at_home(org: Any, invited: tuple[Invitation, str]) -> None:
    """Also who signed up apart from the link, at any of their confirmed addresses."""
    pat, stranger = person("sam@x.example"), person("kim@x.example")
    address = EmailAddress.objects.create(user=pat, email="Pat@x.example", verified=False)

    def told(user: User) -> bool:
        page = signed_in(user).get("/account/").content.decode()
        assert ("You are invited" in page) == ("the mail to pat@x.example" in page)
        return "You are invited" in page

    assert not told(pat)
    EmailAddress.objects.filter(pk=address.pk).update(verified=True)
    assert told(pat) and not told(stranger)
    InvitationIndex.objects.update(expires_at=timezone.now())
    assert not told(pat)


def test_who_has_accepted_is_invited_no_more(org: Any, invited: tuple[Invitation, str]) -> None:
    browser = signed_in(person("pat@x.example"))
    assert b"You are invited" in browser.get("/account/").content
    assert browser.post(invited[1]).status_code == 303
    assert b"You are invited" not in browser.get("/account/").content
