"""Attacks on the way into an org's host: tickets that nobody asked for, addresses that nobody has
in mind, and what a name that is nobody's may say of others.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.test import Client

from apps.tenants.models import Session, Ticket
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import (
    APEX_HOST,
    Browser,
    anonymous,
    as_member,
    host,
    is_page,
    signed_in,
    user_of,
)

OF_NOTHING = hashlib.sha256(b"").hexdigest()


def ticket(user: Any, nonce_hash: str) -> str:
    """The path of a ticket that a member of acme had made for that hash of a nonce."""
    answer = signed_in(user).get(f"/account/handover/?org=acme&nonce={nonce_hash}")
    origin = f"http://{host_name()}"
    assert answer.status_code == 302 and answer["Location"].startswith(origin)
    return str(answer["Location"].removeprefix(origin))


def host_name() -> str:
    return f"acme.{APEX_HOST}"


@pytest.mark.parametrize("cookie", [None, ""])
def test_nobody_is_signed_in_as_who_sends_them_a_ticket(org: Any, cookie: str | None) -> None:
    """A browser that never asked has no nonce; a ticket for the hash of none is not for it."""
    victim = anonymous(org)
    if cookie is not None:
        victim.client.cookies[django_settings.NONCE_COOKIE_NAME] = cookie

    answer = victim.get(ticket(user_of(owner_of(org)), OF_NOTHING))

    assert answer.status_code == 403 and is_page(answer)
    assert not Session.objects.filter(org_id=org.id).exists()
    assert Ticket.objects.get().used_at is None


def test_who_is_in_stays_who_they_are(org: Any, other_org: Any) -> None:
    path = ticket(user_of(owner_of(org)), OF_NOTHING)
    browser = as_member(org, owner_of(org))
    before = browser.client.cookies[django_settings.SESSION_COOKIE_NAME].value
    assert browser.get(path).status_code == 403
    assert browser.client.cookies[django_settings.SESSION_COOKIE_NAME].value == before
    assert browser.get("/settings/").status_code == 200


def test_a_browser_that_asked_is_let_in(org: Any) -> None:
    """The control."""
    browser, nonce = anonymous(org), "n" * 43
    browser.client.cookies[django_settings.NONCE_COOKIE_NAME] = nonce
    path = ticket(user_of(owner_of(org)), hashlib.sha256(nonce.encode()).hexdigest())
    assert browser.get(path).status_code == 302
    assert browser.get("/settings/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *(f"/settings/members/?{name}=%00" for name in ("q", "role", "group", "after")),
        *(f"/settings/keys/?{name}=%00" for name in ("q", "status")),
        *(f"/projects/?{name}=%00" for name in ("q", "status")),
        *(f"/agents/?{name}=%00" for name in ("q", "status", "sort")),
        *(f"/runs/?{name}=%00" for name in ("q", "agent", "session_id", "after", "project")),
        "/search/?q=%00",
        "/session?ticket=%00",
        "/login?next=%00",
    ],
)
def test_an_address_with_nul_breaks_no_page(org: Any, path: str) -> None:
    browser = as_member(org, owner_of(org))
    browser.client.raise_request_exception = False
    assert browser.get(path).status_code < 500


@pytest.mark.parametrize("query", ["org=%00", f"org=acme&host=%00&nonce={OF_NOTHING}"])
def test_nor_does_one_on_the_apex(org: Any, query: str) -> None:
    handover = f"/account/handover/?{query}"
    member, stranger = signed_in(user_of(owner_of(org))), anonymous()
    for browser in (member, stranger):
        browser.client.raise_request_exception = False
    assert member.get(handover).status_code == 404
    assert stranger.get(f"/account/login/?next={quote(handover)}").status_code == 200


def test_a_name_that_is_nobodys_says_nothing_of_names_below_it(settings: Any, org: Any) -> None:
    """It may have been an org's, or will be: what lies below it is its owner's in any case."""
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 1000, True
    header = "Strict-Transport-Security"
    for path in ("/", "/status/", "/healthz", "/v1/me"):
        answer = Client().get(path, secure=True, HTTP_HOST="nobody.example")
        assert answer[header] == "max-age=1000", path
        assert header not in Client().get(path, HTTP_HOST="nobody.example")
    ours = Client().get("/healthz", secure=True, **host(org))
    assert ours[header] == "max-age=1000; includeSubDomains"


@pytest.mark.parametrize(
    "asked",
    [
        f"{host_name()}.",
        host_name().upper(),
        "acme.localhost.:8000",
        "ACME.localhost:1",
        "acme.localhost",
    ],
)
def test_a_host_is_the_same_however_it_is_spelt(org: Any, asked: str) -> None:
    """And the answer leads nowhere else: its links come from the settings, never from the asker."""
    answer = Browser(anonymous().client, asked).get("/login")
    if asked == f"{host_name()}.":  # a dot behind the port is no host at all
        assert answer.status_code == 400
        return
    assert answer["Location"].startswith(f"http://{APEX_HOST}/account/handover/?org=acme&")
    assert "host=" not in answer["Location"]


@pytest.mark.parametrize(
    "asked",
    [
        "acme.localhost.evil.example",
        "evil.example",
        "x.acme.localhost",
        "xn--acme.localhost",
        "acme.localhost@evil.example",
        "[::1]",
        "127.0.0.1",
        "acme_.localhost",
    ],
)
def test_no_other_name_leads_to_it(org: Any, asked: str) -> None:
    browser = Browser(anonymous().client, asked)
    forwarded = {"X_Forwarded_Host": host_name(), "Forwarded": f"host={host_name()}"}
    for path in ("/login", "/v1/me", "/.well-known/jwks.json"):
        assert browser.get(path, **forwarded).status_code in {400, 404}
