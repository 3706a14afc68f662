"""Fresh proofs: what counts, how long, and how one comes from the apex to an org's host."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth import SESSION_KEY
from django.core import mail
from django.test import RequestFactory

from apps.common.ids import uuid7
from apps.orgs.models import ApiKey
from apps.tenants import keys, proofs
from apps.tenants.models import Membership, Session, User
from apps.tenants.sessions import MFA_AT, PROVED_AT, SessionStore
from tests.e2e import totp
from tests.tenants.browsing import APEX, TwoHosts, enter, host, signed_in

pytestmark = pytest.mark.usefixtures("committed")

INVITED = {"email": "pat@x.example", "role": "viewer"}
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def org(throwaway_org: Callable[[], Any]) -> Any:
    return throwaway_org()


@pytest.fixture
def user(org: Any) -> User:
    return User.objects.get(email=f"owner@{org.slug}.example")


@pytest.fixture
def two(org: Any, user: User) -> TwoHosts:
    """A browser that has just signed in with the password, on both hosts."""
    browser = TwoHosts()
    enter(browser, org, user.email)
    return browser


def session_on(two: TwoHosts, where: dict[str, str]) -> SessionStore:
    return SessionStore(two.on(where).cookies["mandate-8000"].value)


def age(two: TwoHosts, where: dict[str, str], *, minutes: int) -> None:
    """Have every proof on that host be older."""
    session = session_on(two, where)
    for key in (PROVED_AT, MFA_AT):
        if noted := session.get(key):
            older = datetime.fromisoformat(noted) - timedelta(minutes=minutes)
            session[key] = older.isoformat()
    for record in session.get("account_authentication_methods", []):
        record["at"] -= minutes * 60
    session.modified = True
    session.save()


def make_key(two: TwoHosts, org: Any) -> Any:
    return two.post("/settings/keys/", host(org), {"name": "Nightly", "scopes": ["org.view"]})


def key_names(org: Any) -> list[str]:
    with keys.holding(org.schema, org.id):
        return list(ApiKey.objects.values_list("name", flat=True))


def prove_url(two: TwoHosts, org: Any) -> str:
    """Where the page that asks for a proof leads to."""
    found: str = two.get("/confirm/", host(org)).context["prove_url"]
    return found


def go_and_prove(two: TwoHosts, org: Any, path: str, data: dict[str, str]) -> Any:
    """Over the apex and back; the answer of the org's session door."""
    asked = two.follow(two.get(prove_url(two, org), host(org)))
    assert asked["Location"].startswith(path), asked["Location"]
    target = two.get(asked["Location"], APEX).context["redirect_field_value"]
    proved = two.post(path, APEX, {**data, "next": target})
    handover = two.get(proved["Location"], APEX)
    return two.follow(handover)


def test_a_fresh_sign_in_is_a_proof(two: TwoHosts, org: Any) -> None:
    assert make_key(two, org).status_code == 200
    assert key_names(org) == ["Nightly"]


def test_who_has_just_signed_up_invites_without_being_asked_again() -> None:
    two, email = TwoHosts(), f"founder-{uuid7()}@new.example"
    form = {
        "email": email,
        "password1": "a-long-passphrase-9",
        "name": "Ada",
        "organization": "Ada",
    }
    two.post("/account/signup/", APEX, form)
    assert SESSION_KEY not in session_on(two, APEX)
    link = re.search(r"http://localhost:8000(/account/confirm-email/\S+)", mail.outbox[-1].body)
    assert link
    two.post(link[1], APEX)
    org = Membership.objects.select_related("org").get(user__email=email).org
    two.follow(two.follow(two.get("/login", host(org))))

    invited = two.post("/settings/invitations/", host(org), INVITED)
    assert (invited.status_code, invited["Location"]) == (303, "/settings/members/")

    age(two, host(org), minutes=11)
    later = two.post("/settings/invitations/", host(org), {**INVITED, "email": "kim@x.example"})
    assert (later.status_code, later["Location"]) == (303, "/confirm/")


def test_an_address_confirmed_elsewhere_proves_nothing_there() -> None:
    here, there, email = TwoHosts(), TwoHosts(), f"founder-{uuid7()}@new.example"
    form = {"email": email, "password1": "a-long-passphrase-9", "name": "Ada", "organization": ""}
    here.post("/account/signup/", APEX, form)
    link = re.search(r"http://localhost:8000(/account/confirm-email/\S+)", mail.outbox[-1].body)
    assert link
    there.post(link[1], APEX)
    assert PROVED_AT not in session_on(there, APEX)


def test_an_old_one_is_not_and_the_form_waits_until_it_is_renewed(two: TwoHosts, org: Any) -> None:
    age(two, host(org), minutes=11)
    age(two, APEX, minutes=11)

    refused = make_key(two, org)

    assert (refused.status_code, refused["Location"]) == (303, "/confirm/")
    assert key_names(org) == []
    page = two.get("/confirm/", host(org))
    assert b"Create key" in page.content and b"Nightly" in page.content
    assert b"<form" not in page.content.partition(b'id="kept"')[2].partition(b"</section>")[0]

    back = go_and_prove(two, org, "/account/reauthenticate/", {"password": "mandate-demo"})
    assert back["Location"] == "/confirm/"
    kept = two.get("/confirm/", host(org)).context["kept"]
    assert (kept.path, dict(kept.fields)) == (
        "/settings/keys/",
        {"name": ["Nightly"], "scopes": ["org.view"]},
    )
    assert key_names(org) == []
    assert two.post(kept.path, host(org), dict(kept.fields)).status_code == 200
    assert key_names(org) == ["Nightly"]
    assert two.get("/confirm/", host(org)).context["kept"] is None


def test_a_wrong_password_proves_nothing(two: TwoHosts, org: Any) -> None:
    age(two, host(org), minutes=11)
    age(two, APEX, minutes=11)
    make_key(two, org)
    asked = two.follow(two.get(prove_url(two, org), host(org)))
    target = two.get(asked["Location"], APEX).context["redirect_field_value"]

    answer = two.post("/account/reauthenticate/", APEX, {"password": "wrong", "next": target})

    assert answer.status_code == 200
    assert two.get(target, APEX)["Location"].startswith("/account/reauthenticate/")
    assert make_key(two, org).status_code == 303 and key_names(org) == []


def test_the_page_that_proves_may_end_on_the_org_that_asked(two: TwoHosts, org: Any) -> None:
    age(two, host(org), minutes=11)
    age(two, APEX, minutes=11)
    make_key(two, org)
    asked = two.follow(two.get(prove_url(two, org), host(org)))
    page = two.get(asked["Location"], APEX)
    policy = page["Content-Security-Policy"]
    assert f"form-action 'self' http://{host(org)['HTTP_HOST']}" in policy


def enrol(user: User) -> None:
    TOTP.activate(user, SECRET)


def test_who_has_a_second_factor_has_to_give_it(two: TwoHosts, org: Any, user: User) -> None:
    enrol(user)

    assert make_key(two, org).status_code == 303
    assert key_names(org) == []
    asked = two.follow(two.get(prove_url(two, org), host(org)))
    assert asked["Location"].startswith("/account/2fa/reauthenticate/")
    # The password's page is none of their ways any more.
    byway = two.post("/account/reauthenticate/", APEX, {"password": "mandate-demo"})
    assert byway["Location"] == "/account/2fa/reauthenticate/"
    assert two.get(prove_target(asked), APEX)["Location"].startswith("/account/2fa/")

    code = totp.code(SECRET)
    back = go_and_prove(two, org, "/account/2fa/reauthenticate/", {"code": code})
    assert back["Location"] == "/confirm/"
    assert make_key(two, org).status_code == 200
    assert key_names(org) == ["Nightly"]
    assert Session.objects.get(org_id=org.id).mfa_at is not None


def prove_target(asked: Any) -> str:
    """The hand-over that a proof would lead back to."""
    return parse_qs(urlsplit(asked["Location"]).query)["next"][0]


def test_a_second_factor_at_sign_in_counts_and_grows_old(
    two: TwoHosts, org: Any, user: User
) -> None:
    enrol(user)
    browser = TwoHosts()
    form = {"login": user.email, "password": "mandate-demo"}
    browser.post("/account/login/", APEX, form)
    browser.post("/account/2fa/authenticate/", APEX, {"code": totp.code(SECRET)})
    browser.follow(browser.follow(browser.get("/login", host(org))))

    assert make_key(browser, org).status_code == 200
    age(browser, host(org), minutes=11)
    assert make_key(browser, org).status_code == 303
    assert key_names(org) == ["Nightly"]


def test_a_kept_form_is_not_for_the_next_person(user: User) -> None:
    session = SessionStore()
    session.update({SESSION_KEY: str(user.pk), proofs.KEPT: {"act": "Create key"}})
    assert proofs.kept_for(session, user.pk) == {proofs.KEPT: {"act": "Create key"}}
    assert proofs.kept_for(session, uuid7()) == {}
    assert proofs.kept_for(SessionStore(), user.pk) == {}


def test_what_one_user_proved_is_nothing_of_the_next_ones(user: User) -> None:
    other = User.objects.get(email="owner@acme.example")
    request = RequestFactory().get("/")
    request.session = SessionStore()
    record_authentication(request, user, "mfa", type="totp")

    proofs.remember(request, user)
    assert {PROVED_AT, MFA_AT} <= set(request.session.keys())
    proofs.remember(request, other)
    assert not {PROVED_AT, MFA_AT} & set(request.session.keys())


def test_a_step_before_the_sign_in_is_complete_proves_nothing(org: Any, user: User) -> None:
    enrol(user)
    browser = TwoHosts()
    browser.post("/account/login/", APEX, {"login": user.email, "password": "mandate-demo"})
    assert PROVED_AT not in session_on(browser, APEX)
    browser.post("/account/2fa/authenticate/", APEX, {"code": totp.code(SECRET)})
    assert PROVED_AT in session_on(browser, APEX)


def test_who_can_prove_nothing_is_told_what_to_do(org: Any, user: User) -> None:
    user.set_unusable_password()
    user.save(update_fields=["password"])
    browser = signed_in(user)
    way = f"/account/handover/?org={org.slug}&nonce={'ab' * 32}&fresh=1"
    assert browser.get(way).status_code == 302

    session = SessionStore(browser.client.cookies["mandate-8000"].value)
    del session[PROVED_AT]
    session.save()
    refused = browser.get(way)
    assert refused.status_code == 403 and b"Sign out and sign in again" in refused.content
