"""Doors that once stood ajar: each test is a way in, or a way to lose an org, that is shut now."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.tenants import keys, rls, schemas
from apps.tenants.adapter import AccountAdapter
from apps.tenants.models import InvitationIndex, Org, Session, Ticket, User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services import key_index, orgs
from apps.tenants.sessions import SessionStore
from tests.tenants.test_signin import APEX, TwoHosts, enter, host

pytestmark = pytest.mark.usefixtures("committed")


def has_schema(schema: str) -> bool:
    with connections["owner"].cursor() as cursor:
        cursor.execute("select from pg_namespace where nspname = %s", [schema])
        return cursor.fetchone() is not None


def unprovisioned() -> Org:
    owner = User.objects.create_user(f"{uuid.uuid4().hex}@people.example", "x")
    slug = f"h{uuid.uuid4().hex[:12]}"
    return orgs._write_org(name="Twice", slug=slug, owner_id=owner.pk, at=timezone.now())


def test_two_who_provision_one_org_at_once_make_it_once() -> None:
    # Given an org that the provisioner and a command take up at the same moment
    org, raised = unprovisioned(), []

    def provision() -> None:
        try:
            orgs.provision_org(org_id=org.id, at=timezone.now())
        except Exception as error:  # noqa: BLE001 - asserted below
            raised.append(error)
        finally:
            connections.close_all()

    # When both run
    threads = [threading.Thread(target=provision) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then it is open, with its schema, and neither of them failed
    org.refresh_from_db()
    assert (org.state, raised) == (Org.State.ACTIVE, [])
    assert has_schema(org.schema_name)


def test_an_org_at_the_present_version_is_not_migrated_again(
    throwaway_org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    org, built = throwaway_org(), []
    monkeypatch.setattr(orgs, "_build", lambda org, at: built.append(org.id))

    orgs.migrate_org(org_id=org.id, at=timezone.now())
    assert built == []

    Org.objects.filter(id=org.id).update(schema_version="older")
    orgs.migrate_org(org_id=org.id, at=timezone.now())
    assert built == [org.id]


def test_a_table_is_never_seen_without_its_policy(
    throwaway_org: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an org that is served while it is secured again, and a fault on the way
    org = throwaway_org()
    monkeypatch.setattr(rls, "CONSTRAINT", "no such name'\"")
    query = "select count(*) from pg_policies where schemaname = %s"
    with connections["owner"].cursor() as cursor:
        cursor.execute(query, [org.schema])
        before = cursor.fetchone()

        # When it fails in the middle of a table
        with pytest.raises(Exception, match="no such name"):
            rls.secure_org_schema(cursor, schema=org.schema, org_id=org.id)

        # Then that table has kept what it had
        cursor.execute(query, [org.schema])
        assert cursor.fetchone() == before


def test_erasing_leaves_no_session_ticket_or_address(throwaway_org: Any) -> None:
    org, other, browser, now = throwaway_org(), throwaway_org(), TwoHosts(), timezone.now()
    for one in (org, other):
        enter(TwoHosts(), one, f"owner@{one.slug}.example")
        key_index.index_invitation(
            token_hash=one.id.bytes * 2,
            org_id=one.id,
            email=f"guest@{one.slug}.example",
            expires_at=now + timedelta(days=7),
        )

    with keys.holding():  # the client has left those of the last host
        orgs.close_org(org_id=org.id, actor=SYSTEM, at=now)
        orgs.erase_org(org_id=org.id, at=now + orgs.GRACE)

    for model in (InvitationIndex, Ticket, Session):
        rows = model._default_manager
        assert not rows.filter(org_id=org.id).exists(), model
        assert rows.filter(org_id=other.id).count() == 1, model
    assert browser.get("/", host(org)).status_code == 404


def test_an_org_reopened_in_time_is_not_erased(throwaway_org: Any) -> None:
    org, now = throwaway_org(), timezone.now()
    orgs.close_org(org_id=org.id, actor=SYSTEM, at=now)
    orgs.reopen_org(org_id=org.id, actor=SYSTEM)

    orgs.erase_org(org_id=org.id, at=now + orgs.GRACE)

    found = find_org_by_slug(org.slug)
    assert found is not None and found.is_active
    assert has_schema(org.schema)


def test_a_probe_signs_nobody_out(throwaway_org: Any) -> None:
    org, two = throwaway_org(), TwoHosts()
    enter(two, org, f"owner@{org.slug}.example")

    assert two.get("/healthz", host(org)).status_code == 200

    assert Session.objects.filter(org_id=org.id).count() == 1
    assert two.get("/settings/", host(org)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/me"])
def test_a_database_that_is_down_is_503_before_any_view(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OperationalError("no connection: secret-host")

    monkeypatch.setattr("apps.tenants.selectors.find_org_by_host", down)
    monkeypatch.setattr(SessionStore, "_get_session_from_db", down)
    client = Client(raise_request_exception=False)
    client.cookies["mandate-8000"] = "a" * 32
    for where in ({"HTTP_HOST": f"{uuid.uuid4().hex}.localhost:8000"}, APEX):
        answer = client.get(path, **where)
        assert answer.status_code == 503
        assert b"secret-host" not in answer.content


def test_a_fault_of_ours_stays_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("apps.tenants.selectors.find_org_by_host", broken)
    client = Client(raise_request_exception=False)
    assert client.get("/v1/me", HTTP_HOST=f"{uuid.uuid4().hex}.localhost").status_code == 500


def test_operators_sign_in_by_the_one_door_with_its_limits() -> None:
    email = f"{uuid.uuid4().hex}@people.example"
    User.objects.create_superuser(email, "mandate-demo", name="Operator")
    browser = Client()

    answer = browser.post(
        "/admin/login/?next=/admin/", {"username": email, "password": "mandate-demo"}, **APEX
    )

    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=")
    assert "_auth_user_id" not in browser.session
    browser.force_login(User.objects.get(email=email))
    assert browser.get("/admin/", **APEX).status_code == 200


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("/account/", True),
        ("/account/handover/?org=a&next=/x", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        ("https://evil.example/", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_path_of_the_apex_is_safe(url: str | None, safe: bool) -> None:
    assert AccountAdapter().is_safe_url(url) is safe


def test_the_lock_of_an_org_nests_and_is_given_back(throwaway_org: Any) -> None:
    org = throwaway_org()
    query = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    with (
        schemas.exclusive(org.id),
        schemas.exclusive(org.id),
        connections["owner"].cursor() as cursor,
    ):
        cursor.execute(query)
        assert cursor.fetchone() == (1,)
    with connections["owner"].cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone() == (0,)
