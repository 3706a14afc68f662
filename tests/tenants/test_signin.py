"""From sign-up to an org's host, and everything that must not open its door."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.orgs.models import Member, Role
from apps.tenants import keys
from apps.tenants.models import Membership, Session, Ticket, User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services import membership, orgs
from apps.tenants.sessions import ORG, SessionStore
from tests.tenants.browsing import APEX, TwoHosts, enter, host

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def browser() -> Client:
    return Client()


def sign_in(browser: Client, email: str, password: str = "mandate-demo") -> Any:
    return browser.post("/account/login/", {"login": email, "password": password}, **APEX)


@pytest.fixture
def two() -> TwoHosts:
    return TwoHosts()


def test_a_stranger_signs_up_verifies_and_has_an_org(browser: Client) -> None:
    email = f"founder{timezone.now().timestamp()}@new.example"
    form = {
        "email": email,
        "password1": "a-long-passphrase-9",
        "name": "Ada",
        "organization": "Ada Labs",
    }
    answer = browser.post("/account/signup/", form, **APEX)
    assert answer.status_code == 302, answer.content.decode()
    assert not Membership.objects.filter(user__email=email).exists()

    link = re.search(r"http://localhost:8000(/account/confirm-email/\S+)", mail.outbox[-1].body)
    assert link, mail.outbox[-1].body
    assert browser.get(link[1], **APEX).status_code == 200
    answer = browser.post(link[1], **APEX)

    member = Membership.objects.select_related("org").get(user__email=email)
    assert (member.org.name, member.org.state) == ("Ada Labs", "active")
    assert member.org.slug.startswith("ada-labs")


def test_a_member_gets_a_session_on_the_orgs_host(two: TwoHosts, throwaway_org: Any) -> None:
    org = throwaway_org()

    answer = enter(two, org, f"owner@{org.slug}.example")

    assert (answer.status_code, answer["Location"]) == (302, "/settings/")
    session = Session.objects.get(org_id=org.id)
    assert session.parent is not None
    assert session.user is not None and session.user.email == f"owner@{org.slug}.example"
    cookie = answer.cookies["mandate-8000"]
    assert cookie["domain"] == "" and cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_stranger_learns_of_no_org(two: TwoHosts, throwaway_org: Any) -> None:
    org, other = throwaway_org(), throwaway_org()

    answer = enter(two, org, f"owner@{other.slug}.example")

    assert answer.status_code == 404
    assert not Session.objects.filter(org_id=org.id).exists()
    unknown = two.get("/account/handover/?org=nothing-here&nonce=00", APEX)
    assert unknown.status_code == 404


def test_a_host_of_nobody_is_not_found(two: TwoHosts) -> None:
    for path in ("/", "/v1/me", "/account/login/", "/.well-known/jwks.json"):
        assert two.get(path, {"HTTP_HOST": "nobody.localhost:8000"}).status_code == 404


def ticket_url(two: TwoHosts, org: Any) -> str:
    """A good ticket's path, fetched but not used."""
    two.post(
        "/account/login/", APEX, {"login": f"owner@{org.slug}.example", "password": "mandate-demo"}
    )
    handover = two.follow(two.get("/login", host(org)))
    return "/" + handover["Location"].partition("://")[2].partition("/")[2]


def test_a_ticket_works_once(two: TwoHosts, throwaway_org: Any) -> None:
    org = throwaway_org()
    path = ticket_url(two, org)
    assert two.get(path, host(org)).status_code == 302
    assert two.get(path, host(org)).status_code == 403
    assert Session.objects.filter(org_id=org.id).count() == 1


@pytest.mark.parametrize("fault", ["other host", "other browser", "late", "tampered", "signed out"])
def test_a_ticket_is_bound(two: TwoHosts, throwaway_org: Any, fault: str) -> None:
    org, other = throwaway_org(), throwaway_org()
    path = ticket_url(two, org)
    where, browser = host(org), two.on(host(org))
    if fault == "other host":
        membership.admit_user(
            org_id=other.id,
            user_id=User.objects.get(email=f"owner@{org.slug}.example").pk,
            at=timezone.now(),
        )
        where = host(other)
    elif fault == "other browser":
        browser = Client()
    elif fault == "late":
        Ticket.objects.filter(org_id=org.id).update(expires_at=timezone.now())
    elif fault == "tampered":
        path = path.replace("ticket=", "ticket=x")
    else:
        two.post("/account/logout/", APEX)

    assert browser.get(path, **where).status_code == 403
    assert not Session.objects.filter(org_id__in=[org.id, other.id]).exists()


def signed_in(two: TwoHosts, org: Any) -> bool:
    """Whether the org's host lets this browser in; to /login it is sent otherwise."""
    answer = two.get("/settings/", host(org))
    return answer.status_code == 200 or "/login" not in answer.get("Location", "/login")


@pytest.mark.parametrize("end", ["parent ended", "left the org", "org suspended", "user disabled"])
def test_an_orgs_session_ends_at_the_next_request(
    two: TwoHosts, throwaway_org: Any, end: str
) -> None:
    org = throwaway_org()
    user = User.objects.get(email=f"owner@{org.slug}.example")
    enter(two, org, user.email)
    assert signed_in(two, org)

    if end == "parent ended":
        Session.objects.filter(user=user, org=None).update(
            expire_date=timezone.now() - timedelta(seconds=1)
        )
    elif end == "left the org":
        membership.remove_user(org_id=org.id, user_id=user.pk)
    elif end == "org suspended":
        orgs.suspend_org(org_id=org.id)
    else:
        User.objects.filter(pk=user.pk).update(is_active=False)

    assert not signed_in(two, org)


def test_signing_out_on_the_apex_ends_the_sessions_on_org_hosts(
    two: TwoHosts, throwaway_org: Any
) -> None:
    org = throwaway_org()
    enter(two, org, f"owner@{org.slug}.example")
    assert signed_in(two, org)
    two.post("/account/logout/", APEX)
    assert not Session.objects.filter(org_id=org.id).exists()
    assert not signed_in(two, org)


def test_a_session_of_one_org_is_worthless_on_anothers_host(
    two: TwoHosts, throwaway_org: Any
) -> None:
    org, other = throwaway_org(), throwaway_org()
    user = User.objects.get(email=f"owner@{org.slug}.example")
    membership.admit_user(org_id=other.id, user_id=user.pk, at=timezone.now())
    enter(two, org, user.email)
    stolen = two.on(host(org)).cookies["mandate-8000"].value

    for where in (host(other), APEX):
        thief = Client()
        thief.cookies["mandate-8000"] = stolen
        answer = thief.get("/settings/" if where is not APEX else "/account/", **where)
        assert answer.status_code == 302
        assert "/login" in answer["Location"]


def test_an_apex_session_is_worthless_on_an_orgs_host(two: TwoHosts, throwaway_org: Any) -> None:
    org = throwaway_org()
    two.post(
        "/account/login/", APEX, {"login": f"owner@{org.slug}.example", "password": "mandate-demo"}
    )
    thief = Client()
    thief.cookies["mandate-8000"] = two.on(APEX).cookies["mandate-8000"].value
    answer = thief.get("/settings/", **host(org))
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=%2Fsettings%2F")


def test_the_login_form_may_end_on_the_org_it_was_asked_for_and_nowhere_else(
    two: TwoHosts,
) -> None:
    org = find_org_by_slug("acme")
    assert org
    started = two.follow(two.get("/login", host(org)))
    page = two.get(started["Location"], APEX)
    assert "form-action 'self' http://acme.localhost:8000" in page["Content-Security-Policy"]

    for target in ("/account/handover/?org=nothing-here", "//evil.example/", "/account/"):
        page = two.get(f"/account/login/?next={target}", APEX)
        assert "form-action 'self';" in page["Content-Security-Policy"] + ";"


def test_a_cache_entry_of_one_org_is_invisible_to_another() -> None:
    from django.core.cache import cache

    acme, globex = find_org_by_slug("acme"), find_org_by_slug("globex")
    assert acme and globex
    with keys.holding(acme.schema, acme.id):
        cache.set("answer", "acme's")
        assert cache.get("answer") == "acme's"
    for schema, org_id in ((globex.schema, globex.id), (acme.schema, globex.id), ("public", None)):
        with keys.holding(schema, org_id):
            assert cache.get("answer") is None


def test_one_session_is_ended_and_with_it_those_on_org_hosts(throwaway_org: Any) -> None:
    org = throwaway_org()
    here, there, stranger = TwoHosts(), TwoHosts(), TwoHosts()
    for browser in (here, there):
        enter(browser, org, f"owner@{org.slug}.example")
        browser.get("/account/", APEX)
    enter(stranger, throwaway_org(), "owner@acme.example")
    key = there.on(APEX).session.session_key
    path = f"/account/sessions/{UserSession.objects.get(session_key=key).pk}/end/"

    assert stranger.post(path, APEX).status_code == 404
    assert signed_in(there, org)
    assert here.post(path, APEX).status_code == 303

    assert not signed_in(there, org)
    assert signed_in(here, org)
    assert there.get("/account/", APEX)["Location"].startswith("/account/login/")


def test_it_is_the_sessions_own_org_that_shuts_it_out(two: TwoHosts, throwaway_org: Any) -> None:
    """The mutation control: a stolen session that passes for the other host's opens its door."""
    org, other = throwaway_org(), throwaway_org()
    user = User.objects.get(email=f"owner@{org.slug}.example")
    membership.admit_user(org_id=other.id, user_id=user.pk, at=timezone.now())
    with keys.holding(other.schema, other.id):
        Member.objects.create(
            user_id=user.pk,
            label="Both",
            email=user.email,
            role=Role.objects.get(slug="viewer"),
            joined_at=timezone.now(),
        )
    enter(two, org, user.email)
    thief, stolen = Client(), two.on(host(org)).cookies["mandate-8000"].value
    thief.cookies["mandate-8000"] = stolen
    assert "/login" in thief.get("/settings/", **host(other))["Location"]

    enter(two, org, user.email)
    stolen = two.on(host(org)).cookies["mandate-8000"].value
    session = SessionStore(stolen)
    session[ORG] = str(other.id)
    session.save()
    thief.cookies["mandate-8000"] = stolen
    assert thief.get("/settings/", **host(other)).status_code == 200
