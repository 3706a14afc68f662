"""Operators and their browsers on the apex."""

from __future__ import annotations

import uuid
from typing import Any

from apps.tenants import keys
from apps.tenants.models import User
from tests.tenants.browsing import Browser, signed_in

REASON = "Ticket 4711: runs are stuck"


def make_operator(**fields: Any) -> User:
    """Somebody who runs the installation, and is in no org."""
    with keys.holding():
        email = f"operator-{uuid.uuid4().hex[:8]}@mandate.example"
        return User.objects.create_superuser(email, "mandate-demo", name="Olga", **fields)


def door(org: Any, rest: str = "") -> str:
    return f"/admin/orgs/{org.slug}/{rest}"


def look_into(org: Any, user: User | None = None, **fields: Any) -> Browser:
    """The browser of an operator who has opened the org's site."""
    browser = signed_in(user or make_operator())
    answer = browser.post(door(org), {"reason": REASON, "minutes": "30", **fields})
    assert (answer.status_code, answer["Location"]) == (303, door(org)), answer.content
    return browser
