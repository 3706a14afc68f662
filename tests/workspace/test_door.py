"""The door of an org's site: who may open it, how it is recorded, and when it shuts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.urls import get_script_prefix, get_urlconf
from django.utils import timezone

from apps.common.ids import public_id
from apps.tenants import keys
from apps.tenants.models import Org, User
from apps.tenants.sessions import SessionStore
from apps.trust.models import AuditEvent
from apps.workspace.operators.door import OPENED
from tests.e2e import totp
from tests.orgs.conftest import owner_of
from tests.tenants.browsing import anonymous, as_member, signed_in, user_of
from tests.tenants.test_proofs import SECRET, enrol
from tests.workspace.operators import REASON, door, look_into, make_operator

RUNS = "runs/run/"
FORM = {"reason": REASON, "minutes": "15"}


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    """After whatever a page did, this thread leads to the apex again and holds no key."""
    yield
    assert get_script_prefix() == "/"


def events_of(org: Any) -> list[AuditEvent]:
    with keys.holding(org.schema, org.id):
        rows = AuditEvent.objects.filter(action__startswith="workspace.inspection.")
        return list(rows.order_by("seq"))


def session_of(browser: Any) -> SessionStore:
    return SessionStore(browser.client.cookies["mandate-8000"].value)


def set_until(browser: Any, org: Any, until: datetime) -> None:
    session = session_of(browser)
    session[OPENED] = {**session[OPENED], str(org.id): until.isoformat()}
    session.save()


def test_it_opens_with_a_reason_and_says_so_in_the_orgs_own_log(acme: Any, other_org: Any) -> None:
    user, before = make_operator(), timezone.now()
    browser = signed_in(user)
    page = browser.get(door(acme))
    assert page.status_code == 200 and b'name="reason"' in page.content
    assert b'<option value="30" selected>' in page.content
    assert events_of(acme) == []

    answer = browser.post(door(acme), FORM)

    assert (answer.status_code, answer["Location"]) == (303, door(acme))
    (event,) = events_of(acme)
    assert (event.action, event.actor_type) == ("workspace.inspection.opened", "operator")
    assert (event.actor_id, event.actor_label) == (public_id("usr", user.pk), user.email)
    assert (event.subject_type, event.subject_id) == ("org", public_id("org", acme.id))
    assert event.detail["reason"] == REASON
    until = datetime.fromisoformat(event.detail["until"])
    assert before + timedelta(minutes=15) <= until <= timezone.now() + timedelta(minutes=15)
    assert json.loads(event.body)["detail"] == event.detail
    index = browser.get(door(acme))
    assert b"You look into <strong>Acme</strong>" in index.content
    assert f'href="{door(acme, RUNS)}"'.encode() in index.content
    assert browser.get(door(acme, RUNS)).status_code == 200
    # For this org, this session, and nobody else.
    assert browser.get(door(other_org, RUNS))["Location"] == door(other_org)
    assert signed_in(user).get(door(acme, RUNS))["Location"] == door(acme)
    assert events_of(other_org) == []


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"reason": "", "minutes": "30"}, "reason"),
        ({"reason": "   ", "minutes": "30"}, "reason"),
        ({"reason": "x" * 501, "minutes": "30"}, "reason"),
        ({"reason": REASON, "minutes": "45"}, "minutes"),
        ({"reason": REASON, "minutes": "600"}, "minutes"),
        ({"reason": REASON}, "minutes"),
    ],
)
def test_a_bad_form_opens_nothing(acme: Any, sent: dict[str, str], field: str) -> None:
    browser = signed_in(make_operator())

    answer = browser.post(door(acme), sent)

    assert answer.status_code == 422 and list(answer.context["form"].errors) == [field]
    assert events_of(acme) == []
    assert browser.get(door(acme, RUNS))["Location"] == door(acme)


@pytest.mark.parametrize("reason", ["x", "x" * 500])
def test_the_shortest_and_the_longest_reason_do(acme: Any, reason: str) -> None:
    look_into(acme, reason=reason)
    assert events_of(acme)[-1].detail["reason"] == reason


@pytest.mark.parametrize("rest", ["", RUNS, "runs/run/add/", "close/", "no/such/page/"])
def test_only_operators_come_near_it(org: Any, rest: str) -> None:
    member = user_of(owner_of(org))
    for browser in (anonymous(), signed_in(member)):
        for call in (browser.get, browser.post):
            answer, admin = call(door(org, rest)), browser.get("/admin/")
            assert answer.status_code == admin.status_code == 302
            ways = [urlsplit(one["Location"]).path for one in (answer, admin)]
            assert ways == ["/admin/login/"] * 2
    assert as_member(org, owner_of(org)).get(door(org, rest)).status_code == 404
    assert events_of(org) == []
    User.objects.filter(pk=member.pk).update(is_staff=True)
    assert signed_in(member).get(door(org)).status_code == 200


@pytest.mark.parametrize("rest", [RUNS, "runs/run/add/", "close/", "no/such/page/"])
def test_nothing_below_a_shut_door_answers(acme: Any, rest: str) -> None:
    browser = signed_in(make_operator())
    asked = browser.get(door(acme, rest))
    assert (asked.status_code, asked["Location"]) == (302, door(acme))
    assert browser.post(door(acme, rest), FORM).status_code == 403
    assert events_of(acme) == []


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_it_knows_three_verbs(acme: Any, method: str) -> None:
    for browser in (signed_in(make_operator()), look_into(acme)):
        call = getattr(browser.client, method)
        for rest in ("", RUNS):
            assert call(door(acme, rest), HTTP_HOST=browser.host).status_code == 405
        assert browser.client.head(door(acme), HTTP_HOST=browser.host).status_code == 200


def test_the_site_stands_nowhere_else(acme: Any) -> None:
    browser = look_into(acme)
    assert browser.get(door(acme, RUNS)).status_code == 200
    for path in ("/admin/runs/run/", "/runs/run/", "/admin/trust/auditevent/"):
        assert browser.get(path).status_code == 404
    assert browser.get(door(acme, "no/such/page/")).status_code == 404
    assert browser.get("/admin/orgs/no-such-org/").status_code == 404


def test_it_shuts_when_its_time_is_over(acme: Any) -> None:
    browser = look_into(acme)
    set_until(browser, acme, timezone.now() + timedelta(seconds=30))
    assert browser.get(door(acme, RUNS)).status_code == 200

    set_until(browser, acme, timezone.now())

    assert browser.get(door(acme, RUNS))["Location"] == door(acme)
    assert b'name="reason"' in browser.get(door(acme)).content
    assert browser.post(door(acme, "close/")).status_code == 403
    assert len(events_of(acme)) == 1


def test_it_can_be_shut_early_and_that_is_recorded(acme: Any, other_org: Any) -> None:
    user = make_operator()
    browser = look_into(acme, user)
    browser.post(door(other_org), FORM)
    assert browser.get(door(acme, "close/")).status_code == 404
    assert len(events_of(acme)) == 1

    answer = browser.post(door(acme, "close/"))

    assert (answer.status_code, answer["Location"]) == (303, "/admin/tenants/org/")
    assert [event.action.rpartition(".")[2] for event in events_of(acme)] == ["opened", "closed"]
    assert events_of(acme)[-1].actor_label == user.email
    assert browser.get(door(acme, RUNS))["Location"] == door(acme)
    assert browser.get(door(other_org, RUNS)).status_code == 200


def test_it_ends_with_the_session_and_with_the_operator(acme: Any) -> None:
    user = make_operator()
    browser = look_into(acme, user)
    User.objects.filter(pk=user.pk).update(is_staff=False)
    assert browser.get(door(acme, RUNS))["Location"].startswith("/admin/login/")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert browser.get(door(acme, RUNS)).status_code == 200
    browser.post("/account/logout/")
    assert browser.get(door(acme, RUNS))["Location"].startswith("/admin/login/")


def test_it_takes_a_fresh_proof_and_the_form_waits_for_it(acme: Any) -> None:
    user = make_operator()
    browser = signed_in(user, proved_at=timezone.now() - timedelta(minutes=11))
    asked = browser.post(door(acme), FORM)
    assert asked["Location"].startswith("/account/reauthenticate/?next=")
    assert parse_qs(urlsplit(asked["Location"]).query)["next"] == [door(acme)]
    assert browser.get(door(acme))["Location"] == asked["Location"]
    assert events_of(acme) == []

    way = {"password": "mandate-demo", "next": door(acme)}
    assert browser.post("/account/reauthenticate/", way)["Location"] == door(acme)

    page = browser.get(door(acme))
    assert REASON.encode() in page.content
    assert b'<option value="15" selected>' in page.content
    assert events_of(acme) == []
    assert browser.post(door(acme), FORM).status_code == 303
    assert len(events_of(acme)) == 1


def test_who_has_a_second_factor_has_to_give_it(acme: Any) -> None:
    user = make_operator()
    enrol(user)
    browser = signed_in(user)  # which the password alone has opened
    assert browser.post(door(acme), FORM)["Location"].startswith("/account/2fa/reauthenticate/")
    assert events_of(acme) == []
    browser.post("/account/2fa/reauthenticate/", {"code": totp.code(SECRET), "next": door(acme)})
    assert browser.post(door(acme), FORM).status_code == 303
    assert len(events_of(acme)) == 1


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("active", 200),
        ("suspended", 200),
        ("closing", 200),
        ("provisioning", 403),
        ("failed", 403),
        ("erased", 403),
    ],
)
def test_an_org_without_rows_cannot_be_looked_into(acme: Any, state: str, status: int) -> None:
    erase_at = timezone.now() if state == "closing" else None
    Org.objects.filter(id=acme.id).update(state=state, erase_at=erase_at)
    browser = signed_in(make_operator())
    page = browser.get(door(acme))
    assert page.status_code == status
    assert (state.encode() in page.content) is (status == 403)
    assert browser.post(door(acme), FORM).status_code == (303 if status == 200 else 403)
    assert len(events_of(acme)) == (1 if status == 200 else 0)
    assert browser.get(door(acme, RUNS)).status_code == status


def test_an_org_older_than_the_code_waits_for_its_migration(acme: Any) -> None:
    browser = look_into(acme)
    Org.objects.filter(id=acme.id).update(schema_version="older")
    page = browser.get(door(acme, RUNS))
    assert page.status_code == 403 and b"yet to be migrated" in page.content


def test_no_key_and_no_address_is_left_behind(acme: Any) -> None:
    browser = look_into(acme)
    for rest, status in (("", 200), (RUNS, 200), ("no/such/", 404), (f"{RUNS}add/", 403)):
        assert browser.get(door(acme, rest)).status_code == status
        assert keys.current() == keys.NONE
        assert get_script_prefix() == "/"
        assert get_urlconf() in {None, settings.PUBLIC_SCHEMA_URLCONF}
        assert browser.get("/admin/tenants/org/").status_code == 200
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('app.org_id', true)")
            assert cursor.fetchone()[0] in {"", None}


def test_a_form_from_elsewhere_opens_nothing(acme: Any) -> None:
    browser = signed_in(make_operator(), csrf=True)
    assert browser.get(door(acme)).status_code == 200
    assert browser.post(door(acme), FORM).status_code == 403
    assert events_of(acme) == []


@pytest.mark.parametrize("rest", ["", "runs/", RUNS, f"{RUNS}?status__exact=queued"])
def test_a_page_keeps_the_policy_and_is_kept_by_no_cache(acme: Any, rest: str) -> None:
    page = look_into(acme).get(door(acme, rest))
    assert page.status_code == 200 and "no-store" in page["Cache-Control"]
    assert "script-src 'self'" in page["Content-Security-Policy"]
    html = page.content.decode()
    assert "<style" not in html and " style=" not in html and "onclick" not in html
    assert "operators/admin.css" in html and f'href="{door(acme, RUNS)}"' in html
