"""`/admin/`: the shared tables, orgs with their figures and what can be done with them."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, models
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import set_urlconf
from django.utils import timezone

from apps.runs.models import Run
from apps.tenants import keys, sweeping
from apps.tenants.models import (
    Domain,
    KeyIndex,
    MailDomain,
    Membership,
    Org,
    OrgActivity,
    OrgStats,
    Plan,
    Session,
    User,
)
from apps.tenants.services import orgs
from apps.tenants.services.stats import write_stats
from apps.trust.models import AuditEvent
from apps.workspace.operators.health import health_of
from apps.workspace.operators.shared_site import site
from apps.workspace.services import stats
from tests.orgs.conftest import join, owner_of, token_for
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import anonymous, signed_in
from tests.workspace.operators import make_operator

NOW = timezone.now()
SECRET = re.compile("hash|secret|token|nonce|session_key|passw|private")
LISTS = [f"/admin/tenants/{m._meta.model_name}/" for m in site._registry]


@pytest.fixture(autouse=True)
def _uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_counted", {})


def row_of(browser: Any, org: Any) -> dict[str, str]:
    """What the list says of an org, by column."""
    context = browser.get(f"/admin/tenants/org/?q={org.slug}").context
    cl = context["cl"]
    row = next(row for row in cl.result_list if row.slug == org.slug)
    set_urlconf(settings.PUBLIC_SCHEMA_URLCONF)
    try:
        columns = set(cl.model_admin.list_display) - {"slug", "name", "state", "plan"}
        return {name: getattr(cl.model_admin, name)(row) for name in columns}
    finally:
        set_urlconf(None)


def more_of_everything() -> None:
    """One more row of each shared table that the site shows."""
    owner = User.objects.create_user(f"{uuid.uuid4().hex}@people.example", "x", name="Somebody")
    org = orgs._write_org(name="More", slug=f"m{uuid.uuid4().hex[:10]}", owner_id=owner.pk, at=NOW)
    KeyIndex.objects.create(key_hash=uuid.uuid4().bytes * 2, org=org)
    Plan.objects.create(code=f"p{uuid.uuid4().hex[:10]}", name="Another")
    MailDomain.objects.create(domain=f"{org.slug}.example", org=org, created_at=NOW)
    write_stats(org_id=org.id, runs_in_a_day=1, last_run_at=NOW, waiting_since=None, at=NOW)
    signed_in(owner)


def test_what_is_registered_is_what_is_meant() -> None:
    shown = {Org, Plan, User, Membership, Domain, MailDomain, OrgActivity, KeyIndex, Session}
    assert set(site._registry) == shown


def test_every_list_and_page_answers_with_a_fixed_number_of_queries(acme: Any) -> None:
    more_of_everything()
    browser = signed_in(make_operator())

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            answer = browser.get(path)
        assert answer.status_code == 200, path
        html = answer.content.decode()
        assert "<style" not in html and " style=" not in html and "onclick" not in html
        return len(seen)

    def count() -> dict[str, int]:
        found = {path: queries(path) for path in ["/admin/", "/admin/tenants/", *LISTS]}
        for model in set(site._registry) - {KeyIndex, Session}:
            row = model._default_manager.order_by("pk").last()
            assert row is not None
            label = model._meta.model_name
            found[f"one {label}"] = queries(f"/admin/tenants/{label}/{row.pk}/change/")
        return found

    count()
    few = count()
    for _ in range(3):
        more_of_everything()
    assert few == count()
    assert max(few.values()) <= 11


@pytest.mark.parametrize("path", ["/admin/", "/admin/system/", *LISTS])
def test_only_operators_see_it(acme: Any, path: str) -> None:
    for browser in (anonymous(), signed_in(User.objects.get(pk=acme.owner_id))):
        assert browser.get(path)["Location"].startswith("/admin/login/")
    assert signed_in(make_operator()).get(path).status_code == 200


def test_keys_and_sessions_have_no_page_and_show_no_secret(org: Any) -> None:
    token_for(org, owner_of(org))
    user = make_operator()
    browser = signed_in(user)
    session, key = Session.objects.filter(user=user).get(), KeyIndex.objects.first()
    assert key is not None
    for model, pk in (("session", session.pk), ("keyindex", bytes(key.pk).hex())):
        page = browser.get(f"/admin/tenants/{model}/")
        assert page.status_code == 200 and str(pk).encode() not in page.content
        for rest in ("change", "history"):
            assert browser.get(f"/admin/tenants/{model}/{pk}/{rest}/").status_code == 404
    person = browser.get(f"/admin/tenants/user/{user.pk}/change/")
    assert person.status_code == 200 and user.email.encode() in person.content
    assert user.password.encode() not in person.content and b"md5$" not in person.content


@pytest.mark.parametrize("model", list(site._registry), ids=lambda model: model._meta.label)
def test_no_secret_of_a_shared_table_is_shown(acme: Any, model: Any) -> None:
    # Given rows of each, and the columns that hold or open something
    more_of_everything()
    browser = signed_in(make_operator())
    secret = [
        f.name
        for f in model._meta.concrete_fields
        if isinstance(f, models.BinaryField)
        or SECRET.search(f.name)
        or (model, f.name) == (Session, "session_data")
    ]
    # When its list and its pages are read
    rows = list(model._default_manager.order_by("pk"))
    pages = [browser.get(f"/admin/tenants/{model._meta.model_name}/")]
    if model not in {KeyIndex, Session}:
        path = f"/admin/tenants/{model._meta.model_name}/{{}}/change/"
        pages += [browser.get(path.format(row.pk)) for row in rows]
    html = b"".join(page.content for page in pages)
    # Then no such column is named or shown; what isn't secret is
    admin = site._registry[model]
    fields = set(admin.get_fields(RequestFactory().get("/"))) | set(admin.list_display)
    assert fields & set(secret) == set()
    assert {page.status_code for page in pages} == {200} and rows
    for value in (getattr(row, name) for row in rows for name in secret):
        text = bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
        assert not text or (text.encode() not in html and repr(value).encode() not in html)
    assert secret or model not in {User, Session, KeyIndex}


@pytest.mark.parametrize("path", LISTS)
def test_no_list_counts_all_of_its_rows(acme: Any, path: str) -> None:
    more_of_everything()
    browser = signed_in(make_operator())
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(path).status_code == 200
    assert not [query for query in seen.captured_queries if "COUNT(" in query["sql"].upper()]


@pytest.mark.parametrize("model", [m._meta.model_name for m in site._registry if m is not Plan])
def test_nothing_is_written_but_by_actions(acme: Any, model: str) -> None:
    more_of_everything()
    browser = signed_in(make_operator())
    kind = next(m for m in site._registry if m._meta.model_name == model)
    before = list(kind._default_manager.order_by("pk").values().exclude(**_own(kind, browser)))
    pk = before[-1][kind._meta.pk.attname]
    pk = bytes(pk).hex() if kind is KeyIndex else pk
    for rest in ("add/", f"{pk}/change/", f"{pk}/delete/"):
        answer = browser.post(f"/admin/tenants/{model}/{rest}", {"name": "Other", "post": "yes"})
        assert answer.status_code in {403, 404}, rest
    after = list(kind._default_manager.order_by("pk").values().exclude(**_own(kind, browser)))
    assert after == before


def _own(kind: Any, browser: Any) -> dict[str, Any]:
    """The operator's own session, which every request writes."""
    return {"pk": browser.client.cookies["mandate-8000"].value} if kind is Session else {"pk": None}


def act(browser: Any, action: str, org: Any) -> Any:
    form = {"action": action, "_selected_action": str(org.id)}
    return browser.post("/admin/tenants/org/", form)


def test_an_org_is_suspended_and_resumed_and_the_apex_has_it_on_record(acme: Any) -> None:
    user = make_operator()
    browser = signed_in(user)
    for action, state in (("suspend", "suspended"), ("resume", "active")):
        assert act(browser, action, acme).status_code == 302
        assert Org.objects.get(id=acme.id).state == state
    refused = act(browser, "resume", acme)
    assert refused.status_code == 302 and Org.objects.get(id=acme.id).state == "active"
    system = Org.objects.get(slug="system")
    with keys.holding(system.schema_name, system.id):
        rows = AuditEvent.objects.filter(actor_label=user.email).order_by("seq")
        assert [row.action for row in rows] == ["tenants.org.suspended", "tenants.org.resumed"]


def suspended() -> set[str]:
    return set(Org.objects.filter(state="suspended").values_list("slug", flat=True))


def test_an_action_is_for_chosen_rows_and_never_for_all(acme: Any) -> None:
    form = {"action": "suspend", "_selected_action": str(acme.id), "select_across": "1"}
    browser, before = signed_in(make_operator()), suspended()
    assert browser.post("/admin/tenants/org/", form).status_code == 403
    assert suspended() == before
    assert browser.post("/admin/tenants/org/", {**form, "select_across": "0"}).status_code == 302
    assert suspended() == before | {"acme"}


def test_a_failed_org_says_why_and_is_made_again(acme: Any) -> None:
    now = timezone.now()
    org = orgs._write_org(name="Late", slug=f"l{uuid.uuid4().hex[:10]}", owner_id=None, at=now)
    org.fail(why="OSError while the schema was made")
    org.save()
    browser = signed_in(make_operator())
    row = row_of(browser, org)
    assert row["health"] == "Could not be made: OSError while the schema was made"
    assert (row["version"], row["look_into"]) == ("none", "")

    assert act(browser, "retry", org).status_code == 302

    assert Org.objects.get(id=org.id).state == "provisioning"
    assert row_of(browser, org)["health"] == "Being made"
    assert act(browser, "retry", acme).status_code == 302
    assert Org.objects.get(id=acme.id).state == "active"


def test_the_sweeper_counts_each_org_and_the_list_shows_it(org: Any) -> None:
    join(org, "viewer")
    agent = make_agent("counted")
    runs = [admit(agent, key=str(n)).run_id for n in range(3)]
    Run.objects.filter(id=runs[0]).update(created_at=NOW - timedelta(days=2))
    browser = signed_in(make_operator())
    assert row_of(browser, org)["health"] == "Not counted yet"

    with keys.holding():
        sweeping.sweep(at=timezone.now())

    row = row_of(browser, org)
    newest = Run.objects.order_by("created_at").last()
    assert newest is not None
    assert (row["members"], row["runs_in_a_day"]) == (2, "2")
    assert (row["last_run"], row["health"], row["version"]) == (newest.created_at, "ok", "current")
    assert f'href="/admin/orgs/{org.slug}/"' in row["look_into"]


def test_a_lively_org_is_counted_once_a_minute(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = timezone.now()
    stats.count_org(first)
    with CaptureQueriesContext(connection) as seen:
        stats.count_org(first + timedelta(seconds=5))
    assert len(seen) == 0
    assert OrgStats.objects.get(org_id=org.id).counted_at == first
    monkeypatch.setattr(stats, "EVERY_SECONDS", 0.0)
    with CaptureQueriesContext(connection) as seen:
        stats.count_org(first + timedelta(seconds=60))
    assert len(seen) == 5
    assert OrgStats.objects.get(org_id=org.id).counted_at == first + timedelta(seconds=60)


def test_no_count_goes_on_without_end(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent("many")
    for n in range(4):
        admit(agent, key=str(n))
    monkeypatch.setattr(stats, "RUNS_COUNTED", 2)
    monkeypatch.setattr("apps.workspace.operators.shared_site.RUNS_COUNTED", 2)
    stats.count_org(timezone.now())
    assert OrgStats.objects.get(org_id=org.id).runs_in_a_day == 2
    assert row_of(signed_in(make_operator()), org)["runs_in_a_day"] == "2+"


@pytest.mark.parametrize(
    ("fields", "figures", "words"),
    [
        ({}, {}, "ok"),
        ({"state": "suspended"}, {}, "Suspended"),
        ({"state": "closing"}, {}, "Closing"),
        ({"schema_version": "older"}, {}, "Waits for its migration"),
        ({"state": "provisioning"}, {}, "Being made"),
        (
            {"state": "provisioning", "created_at": NOW - timedelta(minutes=6)},
            {},
            "Being made for too long: is the provisioner up?",
        ),
        (
            {},
            {"at": NOW - timedelta(hours=3)},
            "Not visited for too long: is the beat up?",
        ),
        ({}, {"waiting_since": NOW - timedelta(minutes=4)}, "ok"),
        (
            {},
            {"waiting_since": NOW - timedelta(minutes=6)},
            f"Runs have waited since {NOW - timedelta(minutes=6):%F %H:%M} UTC: are workers up?",
        ),
    ],
)
def test_health_is_the_worst_that_is_known(
    acme: Any, fields: dict[str, Any], figures: dict[str, Any], words: str
) -> None:
    counted = {"runs_in_a_day": 0, "last_run_at": None, "waiting_since": None, "at": NOW}
    write_stats(org_id=acme.id, **{**counted, **figures})
    erase = {"erase_at": NOW} if fields.get("state") == "closing" else {}
    Org.objects.filter(id=acme.id).update(**{"created_at": NOW, **fields, **erase})
    assert health_of(Org.objects.select_related("stats").get(id=acme.id), at=NOW) == words
