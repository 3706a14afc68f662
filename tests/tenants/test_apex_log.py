"""What happens on the apex stands in the log of the built-in org, or doesn't happen."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.orgs.services import org as org_services
from apps.tenants import apex_log, keys
from apps.tenants.models import Org, User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services import orgs
from apps.trust.models import AuditEvent
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import signed_in

pytestmark = pytest.mark.usefixtures("committed")


def events(subject_id: str) -> list[tuple[str, str]]:
    system = find_org_by_slug("system")
    assert system
    with keys.holding(system.schema, system.id):
        found = AuditEvent.objects.filter(subject_id=subject_id).order_by("seq")
        return [(event.action, event.actor_type) for event in found]


def test_an_orgs_life_is_on_record(throwaway_org: Any) -> None:
    org = throwaway_org()
    orgs.suspend_org(org_id=org.id)
    orgs.resume_org(org_id=org.id)
    assert events(f"org_{org.id.hex}") == [
        ("tenants.org.requested", "user"),
        ("tenants.org.suspended", "system"),
        ("tenants.org.resumed", "system"),
    ]


def test_who_closed_an_org_and_thought_better_of_it_is_on_record(throwaway_org: Any) -> None:
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        org_services.close_org(by=owner, at=timezone.now())
        org_services.reopen_org(by=owner, at=timezone.now())
    assert events(f"org_{org.id.hex}")[1:] == [
        ("tenants.org.closed", "user"),
        ("tenants.org.reopened", "user"),
    ]


def test_who_retried_is_on_record(throwaway_org: Any) -> None:
    org = throwaway_org()
    Org.objects.filter(id=org.id).update(state="failed")
    browser = signed_in(User.objects.get(email=f"owner@{org.slug}.example"))

    assert browser.post(f"/account/orgs/{org.slug}/retry/").status_code == 303

    assert events(f"org_{org.id.hex}")[1:] == [("tenants.org.retried", "user")]


def test_an_operators_act_names_the_operator(throwaway_org: Any) -> None:
    org = throwaway_org()
    operator = User.objects.create_superuser(f"op@{org.slug}.example", "mandate-demo", name="Op")
    browser = Client()
    browser.force_login(operator)
    form = {"action": "suspend", "_selected_action": [str(org.id)]}

    answer = browser.post("/admin/tenants/org/", form, HTTP_HOST="localhost:8000")

    assert answer.status_code == 302
    assert Org.objects.get(id=org.id).state == "suspended"
    assert events(f"org_{org.id.hex}")[-1] == ("tenants.org.suspended", "operator")


def test_what_cannot_be_recorded_does_not_happen(
    throwaway_org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = throwaway_org()

    def broken(**_: Any) -> None:
        raise RuntimeError("the log is down")

    monkeypatch.setattr(apex_log, "_writers", [broken])
    with pytest.raises(RuntimeError):
        orgs.suspend_org(org_id=org.id)
    assert Org.objects.get(id=org.id).state == "active"


def test_account_security_is_on_record(throwaway_org: Any) -> None:
    org = throwaway_org()
    user = User.objects.get(email=f"owner@{org.slug}.example")
    browser, apex = Client(), {"HTTP_HOST": "localhost:8000"}
    form = {"login": user.email, "password": "mandate-demo"}
    browser.post("/account/login/", form, **apex)
    new = {"oldpassword": "mandate-demo", "password1": "a-new-one-9-long", "password2": ""}
    new["password2"] = new["password1"]

    assert browser.post("/account/password/change/", new, **apex).status_code == 302

    assert events(f"usr_{user.pk.hex}") == [("tenants.password.changed", "user")]


def test_nobody_can_enter_the_built_in_org() -> None:
    browser = Client()
    browser.post(
        "/account/login/",
        {"login": "owner@acme.example", "password": "mandate-demo"},
        HTTP_HOST="localhost:8000",
    )
    answer = browser.get("/account/handover/?org=system&nonce=00", HTTP_HOST="localhost:8000")
    assert answer.status_code == 404
