"""An operator looks through a member's eyes: asked why, on record, read-only, and for a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.models import Project
from apps.runs.models import Feedback, Run
from apps.tenants import keys
from apps.tenants.impersonation import Impersonation
from apps.tenants.models import Org, Ticket, User
from apps.trust.models import AuditEvent
from tests.orgs.conftest import join, owner_of
from tests.orgs.test_views_matrix import (
    FORMS,
    GETS,
    STREAMS,
    data_of,
    furnish,
    picture,
    url_of,
)
from tests.tenants.browsing import anonymous, as_member, is_page, signed_in, user_of
from tests.workspace.looking_as import (
    ACTIONS,
    ask_url,
    form_for,
    look_as,
    looks,
    session_of,
    verbs,
)
from tests.workspace.operators import REASON, door, look_into, make_operator

# The way in


def test_an_operator_sees_the_workspace_as_a_member_and_both_logs_say_so(org: Any) -> None:
    user, viewer, before = make_operator(), join(org, "viewer"), timezone.now()

    browser = look_as(org, viewer, user)

    page = browser.get("/settings/members/")
    assert page.status_code == 200 and page.context["shell"]["user"]["role"] == "Viewer"
    assert browser.get("/settings/danger/").status_code == 403
    row = session_of(browser)
    assert (row.user_id, row.impersonator_id) == (user_of(viewer).pk, user.pk)
    assert row.parent is not None and row.parent.user_id == user.pk
    for slug in ("acme", "system"):
        (event,) = looks(slug)
        assert event.action == "tenants.impersonation.started"
        assert (event.actor_type, event.actor_id) == ("operator", public_id("usr", user.pk))
        assert event.actor_label == f"{user.email} as {viewer.email}"
        assert event.subject_id == public_id("usr", user_of(viewer).pk)
        facts = event.detail["new"]
        assert (facts["org"], facts["member"]) == ("acme", viewer.email)
        assert facts["reason"] == REASON
        until = datetime.fromisoformat(facts["until"])
        assert before + timedelta(minutes=30) <= until <= timezone.now() + timedelta(minutes=30)
        assert row.expire_date == until


def test_the_form_is_whole_without_scripts_and_may_end_on_the_orgs_host(org: Any) -> None:
    viewer = join(org, "viewer")
    browser, there = signed_in(make_operator()), anonymous(org)
    page = browser.get(ask_url(org, browser, there, f"?as={public_id('usr', user_of(viewer).pk)}"))
    assert page.status_code == 200 and is_page(page)
    assert viewer.email.encode() in page.content
    assert f"form-action 'self' {org.url}" in page["Content-Security-Policy"]
    assert verbs("acme") == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"minutes": "600"}, "minutes"),
        ({"email": "nobody@x.example"}, "email"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_a_bad_form_opens_nothing(org: Any, fields: dict[str, str], wrong: str) -> None:
    browser, there = signed_in(make_operator()), anonymous(org)
    url = ask_url(org, browser, there)

    answer = browser.post(url, {**form_for(owner_of(org)), **fields})

    assert answer.status_code == 422 and list(answer.context["form"].errors) == [wrong]
    assert verbs("acme") == verbs("system") == [] and not Ticket.objects.exists()
    assert browser.post(url, form_for(owner_of(org))).status_code == 303


def test_of_whom_it_is_refused(org: Any, other_org: Any) -> None:
    # Given another operator who is a member, oneself as one, somebody inactive, a stranger
    user = make_operator()
    people = {name: join(org, "member") for name in ("staff", "root", "idle", "good")}
    User.objects.filter(email=people["staff"].email).update(is_staff=True)
    User.objects.filter(email=people["root"].email).update(is_superuser=True)
    User.objects.filter(email=people["idle"].email).update(is_active=False)
    me = join(org, "admin")
    User.objects.filter(email=me.email).update(is_staff=True)
    stranger = owner_of(other_org)
    browser, there = signed_in(user), anonymous(org)
    url = ask_url(org, browser, there)

    # When each is asked for, then the form says why not, and nothing is opened
    for who in (people["staff"], people["root"], people["idle"], stranger, user):
        answer = browser.post(url, form_for(who))
        assert answer.status_code == 422 and "email" in answer.context["form"].errors, who
    own = signed_in(user_of(me))
    own_there = anonymous(org)
    refused = own.post(ask_url(org, own, own_there), form_for(me))
    assert b"This is you" in refused.content
    assert verbs("acme") == verbs("system") == [] and not Ticket.objects.exists()

    assert browser.post(url, form_for(people["good"])).status_code == 303
    assert verbs("acme") == verbs("system") == ["started"]


@pytest.mark.parametrize("state", ["suspended", "closing", "provisioning", "failed", "erased"])
def test_an_org_that_members_cannot_enter_is_refused(acme: Any, state: str) -> None:
    browser, there = signed_in(make_operator()), anonymous(acme)
    url = ask_url(acme, browser, there)
    erase_at = timezone.now() if state == "closing" else None
    Org.objects.filter(id=acme.id).update(state=state, erase_at=erase_at)
    for call in (browser.get, browser.post):
        answer = call(url)
        assert answer.status_code == 403 and state.encode() in answer.content
    assert verbs("acme") == []


def test_only_operators_come_near_it(org: Any) -> None:
    member = owner_of(org)
    there = anonymous(org)
    url = ask_url(org, signed_in(make_operator()), there)
    for browser in (anonymous(), signed_in(user_of(member))):
        for call in (browser.get, browser.post):
            assert call(url)["Location"].startswith("/admin/login/")
    assert verbs("acme") == []


def test_it_takes_a_fresh_proof_and_the_form_waits_for_it(org: Any) -> None:
    member = join(org, "member")
    browser = signed_in(make_operator(), proved_at=timezone.now() - timedelta(minutes=11))
    there = anonymous(org)
    to_org = urlsplit(browser.get("/admin/impersonate/acme/")["Location"])
    back = urlsplit(there.get(f"{to_org.path}?{to_org.query}")["Location"])
    url = f"{back.path}?{back.query}"
    asked = browser.post(url, form_for(member))
    assert asked["Location"].startswith("/account/reauthenticate/?next=")
    assert parse_qs(urlsplit(asked["Location"]).query)["next"] == [url]
    assert verbs("acme") == []

    browser.post("/account/reauthenticate/", {"password": "mandate-demo", "next": url})

    page = browser.get(url)
    assert REASON.encode() in page.content and member.email.encode() in page.content
    assert browser.post(url, form_for(member)).status_code == 303


def test_a_ticket_is_for_one_browser_and_once(org: Any) -> None:
    member, browser, there = join(org, "member"), signed_in(make_operator()), anonymous(org)
    answer = browser.post(ask_url(org, browser, there), form_for(member))
    way = urlsplit(answer["Location"])
    path = f"{way.path}?{way.query}"
    assert anonymous(org).get(path).status_code == 403
    assert there.get(path).status_code == 302
    assert there.get(path).status_code == 403


# Read-only


@pytest.mark.parametrize("name", FORMS)
def test_no_form_of_the_workspace_changes_anything(acme: Any, name: str) -> None:
    # Given an operator who looks as the owner, who may do anything
    owner = owner_of(acme)
    refs = furnish(acme, owner)
    browser, before = look_as(acme, owner), picture(acme)
    started = verbs("acme")

    # When the form is sent, as a page and by htmx
    page = browser.post(url_of(name, refs), data_of(name, refs))
    part = browser.post(url_of(name, refs), data_of(name, refs), HX_Request="true")

    # Then nothing but the record of the two tries was written
    assert (page.status_code, part.status_code) == (403, 403)
    assert b"You see this organization as" in page.content and b"<html" in page.content
    assert part["HX-Retarget"] == "#problem" and b"<html" not in part.content
    assert verbs("acme") == [*started, "refused", "refused"]
    assert picture(acme)[:-2] == before[:-2] and picture(acme)[-1] == before[-1]
    rest = [event for event in picture(acme)[-2] if not event["action"].startswith(ACTIONS)]
    assert rest == [one for one in before[-2] if not one["action"].startswith(ACTIONS)]


def of_settings(refs: Any) -> tuple[str, dict[str, str]]:
    return "/settings/", {"name": "Acme Corp"}


def of_console(refs: Any) -> tuple[str, dict[str, str]]:
    return url_of("runs:try", refs), data_of("runs:try", refs)


def of_feedback(refs: Any) -> tuple[str, dict[str, str]]:
    return url_of("runs:feedback", refs), {"rating": "up"}


def of_project(refs: Any) -> tuple[str, dict[str, str]]:
    return "/projects/", {"name": "Gemini"}


def of_cancel(refs: Any) -> tuple[str, dict[str, str]]:
    return url_of("runs:cancel", refs), {}


KINDS: dict[str, tuple[Callable[[Any], tuple[str, dict[str, str]]], dict[str, str]]] = {
    "a form of a page": (of_project, {}),
    "an htmx post": (of_feedback, {"HX_Request": "true"}),
    "an invocation in the console": (of_console, {}),
    "a change of the settings": (of_settings, {}),
    "a cancelled run": (of_cancel, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_operator_cannot_write_the_member_can(acme: Any, kind: str) -> None:
    member = owner_of(acme)
    refs = furnish(acme, member)
    (of, headers) = KINDS[kind]
    path, data = of(refs)
    looking, own = look_as(acme, member), as_member(acme, member)

    def rows() -> list[Any]:
        with keys.holding(acme.schema, acme.id):
            kinds = (Project, Run, Feedback)
            found: list[Any] = [list(one.objects.order_by("pk").values()) for one in kinds]
        return [*found, Org.objects.get(id=acme.id).name]

    before = rows()
    refused = looking.post(path, data, **headers)
    assert refused.status_code == 403 and rows() == before
    assert verbs("acme") == verbs("system") == ["started", "refused"]
    event = looks("acme")[-1]
    assert event.detail["new"]["method"] == "POST" and event.detail["new"]["route"]
    assert event.actor_label.endswith(f" as {member.email}")

    assert own.post(path, data, **headers).status_code < 400
    assert rows() != before


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_api_takes_nothing_from_such_a_session(acme: Any, method: str) -> None:
    browser, before = look_as(acme, owner_of(acme)), picture(acme)
    call: Any = getattr(browser.client, method)
    with keys.holding():
        answer = call(
            "/v1/projects",
            {"name": "Gemini"},
            content_type="application/json",
            HTTP_HOST=browser.host,
        )
    assert answer.status_code == 403 and answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "read_only_look"
    assert picture(acme)[0] == before[0]


@pytest.mark.parametrize("name", [name for name in GETS if name not in STREAMS])
def test_every_page_shows_who_looks_and_changes_nothing(acme: Any, name: str) -> None:
    owner = owner_of(acme)
    refs = furnish(acme, owner)
    browser = look_as(acme, owner)
    before = picture(acme)

    page = browser.get(url_of(name, refs))

    assert page.status_code == 200 and is_page(page)
    html = page.content.decode()
    assert html.count('class="impersonation"') == 1 and "End now" in html
    assert f"as <b>{owner.email}</b>" in html and REASON in html
    assert picture(acme) == before
    assert (
        'class="impersonation"'
        not in as_member(acme, owner).get(url_of(name, refs)).content.decode()
    )


@pytest.mark.parametrize("path", ["/nothing/", "/settings/danger/", "/impersonation/"])
def test_pages_of_errors_show_it_too(acme: Any, path: str) -> None:
    browser = look_as(acme, join(acme, "viewer"))
    page = browser.get(path)
    assert page.status_code == {"/nothing/": 404, "/settings/danger/": 403}.get(path, 200)
    assert b'class="impersonation"' in page.content and is_page(page)


def test_a_failure_shows_it_too(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **more: Any) -> None:
        raise RuntimeError("broken")

    browser = look_as(acme, owner_of(acme))
    monkeypatch.setattr("apps.workspace.overview.views.count_agents", fails)
    browser.client.raise_request_exception = False
    page = browser.get("/")
    assert page.status_code == 500 and b'class="impersonation"' in page.content
    assert b'href="/impersonation/"' in page.content


def test_a_refused_page_is_on_record_under_the_operators_name(acme: Any) -> None:
    user, viewer = make_operator(), join(acme, "viewer")
    look_as(acme, viewer, user).get("/settings/danger/")
    with keys.holding(acme.schema, acme.id):
        (event,) = AuditEvent.objects.filter(action="trust.call.refused")
    assert event.actor_label == f"{user.email} as {viewer.email}"


def test_the_switcher_shows_no_other_org_of_the_member(acme: Any, other_org: Any) -> None:
    owner = owner_of(acme)
    with keys.holding():
        from apps.tenants.services import membership

        membership.admit_user(org_id=other_org.id, user_id=user_of(owner).pk, at=timezone.now())
    own = as_member(acme, owner).get("/settings/").context["shell"]["orgs"]
    seen = look_as(acme, owner).get("/settings/").context["shell"]["orgs"]
    assert [org["name"] for org in own] == ["Acme", "Globex"]
    assert [org["name"] for org in seen] == ["Acme"]


def test_a_member_finds_no_such_page(acme: Any) -> None:
    browser = as_member(acme, owner_of(acme))
    assert browser.get("/impersonation/").status_code == 404
    assert browser.post("/impersonation/").status_code == 404
    assert browser.get("/settings/").status_code == 200


def test_a_request_costs_no_query_more_for_it(acme: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    member = owner_of(acme)
    counts = []
    for browser in (as_member(acme, member), look_as(acme, member)):
        browser.get("/settings/keys/")
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/settings/keys/").status_code == 200
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_a_long_address_leaves_room_for_the_other() -> None:
    long = f"{'o' * 64}@{'x' * 180}.example"
    look = Impersonation(
        operator_id=User().pk,
        operator=long,
        member_id=User().pk,
        member=long,
        reason="",
        until=timezone.now(),
    )
    assert len(look.actor.label) <= 200 and look.actor.label.count("…") == 2


def test_rows_and_lists_lead_there(org: Any) -> None:
    member = join(org, "member")
    browser = look_into(org)
    page = browser.get(door(org, f"orgs/member/{member.member_id}/change/"))
    target = f"/admin/impersonate/acme/?as={public_id('usr', user_of(member).pk)}"
    assert dict(page.context["row_links"])["Look as this member"] == target
    assert b'href="/admin/impersonate/acme/"' in browser.get("/admin/tenants/org/").content
