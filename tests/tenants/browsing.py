"""Browsers: a cookie jar a host, sign-in through the doors, and the short way past them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client
from django.utils import timezone

from apps.tenants import keys
from apps.tenants.models import User
from apps.tenants.org_views import BACKEND
from apps.tenants.sessions import ORG, PARENT, PROVED_AT, VIA, SessionStore

APEX_HOST = "localhost:8000"
APEX = {"HTTP_HOST": APEX_HOST}


def host(org: Any) -> dict[str, str]:
    return {"HTTP_HOST": f"{org.slug}.{APEX_HOST}"}


class TwoHosts:
    """A browser with a cookie jar a host, as browsers have; Django's client has but one."""

    def __init__(self) -> None:
        self.jars: dict[str, Client] = {}

    def on(self, where: dict[str, str]) -> Client:
        return self.jars.setdefault(where["HTTP_HOST"], Client())

    def get(self, path: str, where: dict[str, str], **headers: Any) -> Any:
        return self.on(where).get(path, **where, **headers)

    def post(self, path: str, where: dict[str, str], data: Any = None, **headers: Any) -> Any:
        return self.on(where).post(path, data or {}, **where, **headers)

    def follow(self, answer: Any) -> Any:
        """GET where a redirect leads, on whichever host that is."""
        _, _, rest = answer["Location"].partition("://")
        where, _, path = rest.partition("/")
        return self.get(f"/{path}", {"HTTP_HOST": where})


def enter(browser: TwoHosts, org: Any, email: str) -> Any:
    """Sign in on the apex and go to the org's host; the answer of its session door."""
    browser.post("/account/login/", APEX, {"login": email, "password": "mandate-demo"})
    start = browser.get("/login?next=/settings/", host(org))
    handover = browser.follow(start)
    return browser.follow(handover) if handover.status_code == 302 else handover


@dataclass
class Browser:
    """One tab on one host; a test's own keys are put away while it speaks."""

    client: Client
    host: str

    def get(self, path: str, **headers: str) -> Any:
        return self._send("GET", path, None, headers)

    def part(self, path: str) -> Any:
        """What htmx asks for when it wants a fragment."""
        return self.get(path, HX_Request="true")

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        return self._send("POST", path, data or {}, headers)

    def _send(self, method: str, path: str, data: Any, headers: dict[str, str]) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        call = getattr(self.client, method.lower())
        with keys.holding():
            return call(path, data, HTTP_HOST=self.host, headers=sent)


def anonymous(org: Any = None, *, csrf: bool = False) -> Browser:
    """A browser with empty jars, on the org's host or the apex."""
    return Browser(Client(enforce_csrf_checks=csrf), host(org)["HTTP_HOST"] if org else APEX_HOST)


def signed_in(
    user: Any, org: Any = None, *, csrf: bool = False, on: Any = None, proved_at: Any = None
) -> Browser:
    """A browser with the session that the door of the org's host (or the apex) would have opened.

    `on` carries it to another org's host, as a thief would; the password was given just now, or at
    `proved_at`.
    """
    proved = {PROVED_AT: (proved_at or timezone.now()).isoformat()}
    with keys.holding():
        session = _open(user, proved)
        if org is not None:
            facts = {ORG: str(org.id), PARENT: session.session_key, VIA: "password"}
            session = _open(user, {**facts, **proved})
    browser = anonymous(on or org, csrf=csrf)
    browser.client.cookies[settings.SESSION_COOKIE_NAME] = str(session.session_key)
    return browser


def _open(user: Any, facts: dict[str, Any]) -> SessionStore:
    session = SessionStore()
    session.update(facts)
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session


def as_member(org: Any, principal: Any, **options: Any) -> Browser:
    """The browser of a member of the org, on its host."""
    return signed_in(user_of(principal), org, **options)


def user_of(principal: Any) -> User:
    return User.objects.get(email=principal.email)


def is_page(answer: Any) -> bool:
    """Whether the answer is a whole document with exactly one first heading."""
    html = answer.content.decode()
    return "<html" in html and html.count("<h1") == 1


def is_part(answer: Any) -> bool:
    """Whether the answer is a fragment that no cache may serve as the page."""
    return b"<html" not in answer.content and "HX-Request" in answer["Vary"]
