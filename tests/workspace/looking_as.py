"""The way of an operator to a look through a member's eyes, and what is left of it on record."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from apps.tenants import keys
from apps.tenants.models import Session, User
from apps.tenants.selectors import find_org_by_slug
from apps.trust.models import AuditEvent
from tests.tenants.browsing import Browser, anonymous, host, signed_in
from tests.workspace.operators import REASON, make_operator

ACTIONS = "tenants.impersonation."


def ask_url(org: Any, browser: Browser, org_browser: Browser, query: str = "") -> str:
    """The address of the form, by way of the org's host, which gives the browser its nonce."""
    to_org = browser.get(f"/admin/impersonate/{org.slug}/{query}")
    way = urlsplit(to_org["Location"])
    assert (way.netloc, way.path) == (host(org)["HTTP_HOST"], "/login")
    back = urlsplit(org_browser.get(f"{way.path}?{way.query}")["Location"])
    assert back.path == f"/admin/impersonate/{org.slug}/"
    return f"{back.path}?{back.query}"


def form_for(member: Any, **fields: str) -> dict[str, str]:
    return {"email": member.email, "reason": REASON, "minutes": "30", **fields}


def look_as(org: Any, member: Any, user: User | None = None, **fields: str) -> Browser:
    """The browser of an operator on the org's host, after the whole way there."""
    browser, there = signed_in(user or make_operator()), anonymous(org)
    answer = browser.post(ask_url(org, browser, there), form_for(member, **fields))
    assert answer.status_code == 303, answer.content
    way = urlsplit(answer["Location"])
    assert there.get(f"{way.path}?{way.query}")["Location"] == "/"
    return there


def looks(slug: str) -> list[AuditEvent]:
    """What a log says of looks: the org's own, or that of the apex (`system`)."""
    with keys.holding():
        org = find_org_by_slug(slug)
    assert org is not None
    with keys.holding(org.schema, org.id):
        return list(AuditEvent.objects.filter(action__startswith=ACTIONS).order_by("seq"))


def verbs(slug: str) -> list[str]:
    return [event.action.removeprefix(ACTIONS) for event in looks(slug)]


def session_of(browser: Browser) -> Session:
    with keys.holding():
        return Session.objects.get(pk=browser.client.cookies[settings.SESSION_COOKIE_NAME].value)


def is_out(browser: Browser) -> bool:
    answer = browser.get("/settings/")
    return answer.status_code == 302 and answer["Location"].startswith("/login?")
