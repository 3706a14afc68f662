"""A host that an org brought: it serves all that its own host does, and nothing once it is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.orgs.models import ApiKey, Invitation
from apps.orgs.services import domains
from apps.tenants import keys
from apps.tenants.models import Org, Session, Ticket, User
from apps.tenants.services import orgs
from apps.tenants.sessions import HOST, MFA_AT, PROVED_AT
from tests.orgs.conftest import Api, owner_of, problem, token_for
from tests.orgs.domains import verified_domain
from tests.tenants.browsing import APEX, TwoHosts, anonymous, host, signed_in, user_of
from tests.workspace.operators import make_operator

pytestmark = pytest.mark.usefixtures("committed")


class Brought:
    """An org with a host of its own, and who owns it."""

    def __init__(self, org: Any) -> None:
        self.org, self.email = org, f"owner@{org.slug}.example"
        self.name = f"agents.{org.slug}.example"
        self.where = {"HTTP_HOST": f"{self.name}:8000"}
        self.origin = f"http://{self.name}:8000"
        with keys.holding(org.schema, org.id):
            self.owner = owner_of(org)
            self.domain = verified_domain(self.name, by=self.owner)

    def remove(self) -> None:
        with keys.holding(self.org.schema, self.org.id):
            domains.remove_domain(domain_id=self.domain.id, by=self.owner, at=timezone.now())

    def enter(self, browser: TwoHosts, path: str = "/settings/") -> Any:
        sign_in(browser, self.email)
        start = browser.get(f"/login?next={path}", self.where)
        return browser.follow(browser.follow(start))


@pytest.fixture
def brought(throwaway_org: Any) -> Brought:
    return Brought(throwaway_org())


@pytest.fixture
def browser() -> TwoHosts:
    return TwoHosts()


def sign_in(browser: TwoHosts, email: str) -> Any:
    return browser.post("/account/login/", APEX, {"login": email, "password": "mandate-demo"})


def ticket_for(brought: Brought, browser: TwoHosts, where: dict[str, str]) -> str:
    """The path of a good ticket for that host, not used yet."""
    sign_in(browser, brought.email)
    location = browser.follow(browser.get("/login", where))["Location"]
    return "/" + location.partition("://")[2].partition("/")[2]


def test_a_member_enters_by_it_and_works_there(brought: Brought, browser: TwoHosts) -> None:
    stranger = browser.get("/agents/", brought.where)
    assert (stranger.status_code, stranger["Location"]) == (302, "/login?next=%2Fagents%2F")

    entered = brought.enter(browser)

    assert (entered.status_code, entered["Location"]) == (302, "/settings/")
    cookie = entered.cookies[django_settings.SESSION_COOKIE_NAME]
    assert cookie["domain"] == "" and cookie["httponly"] and cookie["samesite"] == "Lax"
    session = Session.objects.get(org_id=brought.org.id)
    assert session.host == brought.name and session.parent is not None
    for path in ("/", "/agents/", "/runs/", "/settings/domains/"):
        assert browser.get(path, brought.where).status_code == 200
    assert browser.get("/settings/", host(brought.org)).status_code == 302  # a host, a session
    assert browser.post("/logout", brought.where).status_code == 303
    assert browser.get("/settings/", brought.where).status_code == 302


def test_a_host_that_is_not_proved_serves_nothing(brought: Brought, browser: TwoHosts) -> None:
    with keys.holding(brought.org.schema, brought.org.id):
        name = f"pending.{brought.org.slug}.example"
        domains.add_domain(kind="host", name=name, by=brought.owner, at=timezone.now())
        mail = verified_domain(f"{brought.org.slug}.mail.example", by=brought.owner, kind="mail")
    for unserved in (name, mail.name, f"x.{brought.name}", brought.name.partition(".")[2]):
        for path in ("/", "/login", "/v1/me", "/.well-known/jwks.json"):
            assert browser.get(path, {"HTTP_HOST": unserved}).status_code == 404
    sign_in(browser, brought.email)
    query = f"/account/handover/?org={brought.org.slug}&nonce={'00' * 32}&host="
    assert browser.get(query + name, APEX).status_code == 404
    assert browser.get(query + brought.name, APEX).status_code == 302


def test_what_is_removed_is_gone_with_the_commit(brought: Brought, browser: TwoHosts) -> None:
    brought.enter(browser)
    own = signed_in(user_of(brought.owner), brought.org)
    client = browser.on(brought.where)  # its process has served the host already
    assert client.get("/settings/", **brought.where).status_code == 200
    waiting = ticket_for(brought, browser, brought.where)

    brought.remove()

    for path in ("/settings/", "/login", waiting, "/v1/me", "/.well-known/jwks.json"):
        assert client.get(path, **brought.where).status_code == 404
    assert not Session.objects.filter(host=brought.name).exists()
    assert not Ticket.objects.filter(host=brought.name).exists()
    assert own.get("/settings/").status_code == 200
    again = Brought.__new__(Brought)
    again.__dict__ |= brought.__dict__
    with keys.holding(brought.org.schema, brought.org.id):
        again.domain = verified_domain(brought.name, by=brought.owner)
    assert client.get("/settings/", **brought.where).status_code == 302  # the old session is over


@pytest.mark.parametrize("made_for_own", [True, False])
def test_a_ticket_is_for_one_host(brought: Brought, browser: TwoHosts, made_for_own: bool) -> None:
    own, other = host(brought.org), brought.where
    right, wrong = (own, other) if made_for_own else (other, own)
    path = ticket_for(brought, browser, right)
    browser.on(wrong).cookies.update(browser.on(right).cookies)

    assert browser.get(path, wrong).status_code == 403
    assert not Session.objects.filter(org_id=brought.org.id).exists()
    assert browser.get(path, right).status_code == 302


@pytest.mark.parametrize("made_for_own", [True, False])
def test_a_session_is_for_one_host(brought: Brought, browser: TwoHosts, made_for_own: bool) -> None:
    own, other = host(brought.org), brought.where
    right, wrong = (own, other) if made_for_own else (other, own)
    browser.get(ticket_for(brought, browser, right), right)
    assert browser.get("/settings/", right).status_code == 200
    thief = Client()
    thief.cookies.update(browser.on(right).cookies)

    assert thief.get("/settings/", **wrong)["Location"].startswith("/login")


def test_a_stranger_and_another_orgs_member_stay_out(
    brought: Brought, browser: TwoHosts, throwaway_org: Any
) -> None:
    other = Brought(throwaway_org())
    sign_in(browser, other.email)
    start = browser.get("/login", brought.where)
    assert browser.follow(start).status_code == 404
    # Its own org, but the other's host: the apex knows which is whose.
    asked = parse_qs(urlsplit(start["Location"]).query)
    mixed = f"/account/handover/?org={other.org.slug}&host={brought.name}&nonce={asked['nonce'][0]}"
    assert browser.get(mixed, APEX).status_code == 404
    assert not Session.objects.filter(org_id__in=[brought.org.id, other.org.id]).exists()


def test_the_form_may_end_on_that_host_only(brought: Brought, browser: TwoHosts) -> None:
    def allowed(name: str) -> str:
        start = browser.get("/login", brought.where)["Location"].replace(brought.name, name)
        page = browser.get(browser.follow({"Location": start})["Location"], APEX)
        policy = page["Content-Security-Policy"]
        return next(part for part in policy.split("; ") if part.startswith("form-action"))

    assert allowed(brought.name) == f"form-action 'self' {brought.origin}"
    assert allowed("evil.example") == "form-action 'self'"
    assert allowed(f"pending.{brought.org.slug}.example") == "form-action 'self'"


def test_the_api_is_there_for_keys_of_the_org(brought: Brought, throwaway_org: Any) -> None:
    other = throwaway_org()
    own = Api(token_for(brought.org, brought.owner), host=brought.where["HTTP_HOST"])
    theirs = Api(token_for(other, owner_of(other)), host=brought.where["HTTP_HOST"])

    assert own.get("/me").json()["org"]["slug"] == brought.org.slug
    assert problem(theirs.get("/me")) == (401, "unauthenticated")
    assert problem(Api(host=brought.where["HTTP_HOST"]).get("/me")) == (401, "unauthenticated")
    jwks = Client().get("/.well-known/jwks.json", **brought.where)
    assert jwks.status_code == 200 and jwks.json()["keys"]
    assert Client().get("/healthz", **brought.where).status_code == 200


def test_a_suspended_org_is_shut_there_as_on_its_own_host(
    brought: Brought, browser: TwoHosts
) -> None:
    brought.enter(browser)
    browser.get(ticket_for(brought, browser, host(brought.org)), host(brought.org))
    api = Api(token_for(brought.org, brought.owner), host=brought.where["HTTP_HOST"])
    orgs.suspend_org(org_id=brought.org.id)

    by_own, by_other = (browser.get("/", where) for where in (host(brought.org), brought.where))
    assert by_other.status_code == by_own.status_code != 200
    assert problem(api.get("/me")) == (401, "unauthenticated")
    orgs.resume_org(org_id=brought.org.id)
    assert api.get("/me").status_code == 200


def test_links_lead_to_the_host_that_was_chosen(brought: Brought, browser: TwoHosts) -> None:
    with keys.holding(brought.org.schema, brought.org.id):
        domains.set_primary(
            domain_id=brought.domain.id, primary=True, by=brought.owner, at=timezone.now()
        )
    sign_in(browser, brought.email)
    home = browser.get("/account/", APEX).content.decode()
    assert f'href="{brought.origin}"' in home
    own = signed_in(user_of(brought.owner), brought.org)
    assert f"{brought.origin}/v1/" in own.get("/settings/keys/").content.decode()  # both work

    brought.remove()

    home = browser.get("/account/", APEX).content.decode()
    assert f'href="{brought.org.own_url}"' in home and brought.name not in home
    assert Org.objects.get(id=brought.org.id).host == ""


def test_nobody_hands_the_org_out_there(brought: Brought, browser: TwoHosts) -> None:
    """Who holds the host's name could be between: no proof goes there, and no owner's power."""
    brought.enter(browser)
    session = Session.objects.get(host=brought.name)
    assert {MFA_AT, PROVED_AT} & set(session.get_decoded()) == set()

    made = browser.post("/settings/keys/", brought.where, {"name": "Stolen"})
    assert (made.status_code, made["Location"]) == (303, "/confirm/")
    page = browser.get("/confirm/", brought.where).content.decode()
    assert f"{brought.org.own_url}/settings/" in page and "Not at this address" in page
    assert "ticket" not in page and 'action="/settings/keys/"' not in page
    refused = browser.get("/settings/danger/", brought.where)
    assert refused.status_code == 403 and brought.org.own_url in refused.content.decode()
    invited = {"email": f"thief@{brought.org.slug}.example", "role": "owner"}
    for role in ("owner", "admin", "viewer"):
        sent = browser.post("/settings/invitations/", brought.where, {**invited, "role": role})
        assert (sent.status_code, sent["Location"]) == (303, "/confirm/")
    with keys.holding(brought.org.schema, brought.org.id):
        assert not ApiKey.objects.filter(name="Stolen").exists()
        assert not Invitation.objects.exists()

    own = signed_in(user_of(brought.owner), brought.org)  # the controls, where it is allowed
    assert own.post("/settings/keys/", {"name": "Good"}).status_code == 200
    assert own.get("/settings/danger/").status_code == 200
    assert own.post("/settings/invitations/", invited).status_code == 303


def test_no_operator_looks_as_a_member_there(brought: Brought, browser: TwoHosts) -> None:
    """The way begins there, and what it ends with is good at the own address alone."""
    operator = make_operator()
    way = urlsplit(browser.get("/login?as=", brought.where)["Location"])
    assert way.path == f"/admin/impersonate/{brought.org.slug}/"
    form = {"email": brought.email, "reason": "Ticket 4711", "minutes": "15"}
    asked = signed_in(operator).post(f"{way.path}?{way.query}", form)
    assert asked["Location"].startswith(f"{brought.org.own_url}/session?")
    path = asked["Location"].removeprefix(brought.org.own_url)

    for where in (brought.where, host(brought.org)):
        assert browser.get(path, where).status_code == 403
    assert not Session.objects.filter(impersonator=operator).exists()


def test_nobody_removes_the_host_that_they_stand_on(brought: Brought, browser: TwoHosts) -> None:
    brought.enter(browser)
    path = f"/settings/domains/dom_{brought.domain.id.hex}/remove/"
    answer = browser.post(path, brought.where)
    assert answer.status_code == 409 and brought.org.own_url in answer.content.decode()
    assert browser.get("/settings/", brought.where).status_code == 200
    own = signed_in(user_of(brought.owner), brought.org)
    assert own.post(path).status_code == 303
    assert browser.get("/settings/", brought.where).status_code == 404


def test_a_form_from_elsewhere_is_refused(brought: Brought, browser: TwoHosts) -> None:
    brought.enter(browser)
    client = Client(enforce_csrf_checks=True)
    client.cookies.update(browser.on(brought.where).cookies)
    token = str(client.get("/projects/", **brought.where).context["csrf_token"])
    form = {"name": "Gemini", "csrfmiddlewaretoken": token}

    def post(origin: str) -> int:
        where = {**brought.where, "HTTP_ORIGIN": origin}
        return int(client.post("/projects/", form, **where).status_code)

    assert post("https://evil.example") == post(brought.org.own_url) == 403
    assert post(brought.origin) == 303


def test_only_the_host_itself_is_held_to_https(brought: Brought, settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 1000, True
    settings.SECURE_HSTS_PRELOAD = True
    header = "Strict-Transport-Security"
    theirs = Client().get("/login", secure=True, **brought.where)
    ours = Client().get("/login", secure=True, **host(brought.org))
    assert theirs[header] == "max-age=1000"
    assert ours[header] == "max-age=1000; includeSubDomains; preload"
    assert header not in Client().get("/login", **brought.where)


def test_it_costs_one_look_at_whose_it_is(brought: Brought, browser: TwoHosts) -> None:
    brought.enter(browser)
    browser.get(ticket_for(brought, browser, host(brought.org)), host(brought.org))

    def queries(where: dict[str, str]) -> int:
        browser.get("/projects/", where)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/projects/", where).status_code == 200
        return len(seen)

    assert queries(brought.where) <= queries(host(brought.org)) + 1


def test_sessions_of_hosts_end_with_their_parent(brought: Brought, browser: TwoHosts) -> None:
    brought.enter(browser)
    session = Session.objects.get(host=brought.name)
    assert session.get_decoded()[HOST] == brought.name
    Session.objects.filter(pk=session.parent_id).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    assert browser.get("/settings/", brought.where).status_code == 302
    assert User.objects.filter(email=brought.email).exists()
    assert anonymous().get("/").status_code == 200
