"""The suite's own Postgres and Valkey, two provisioned orgs, and tests that run as the app's login.

The database is made exactly as an installation makes it: the owner migrates and provisions, then
every test connects as `mandate_app`, which can't change a table or look past row-level security.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.local.postgres import EmbeddedPostgres
from config.local.valkey import EmbeddedValkey
from tests.tampering import as_superuser, rewrite  # noqa: F401 - fixtures for everybody

_services: dict[str, Any] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Start the services and point the settings at them, before anything connects."""
    if _services or hasattr(config, "workerinput"):
        return
    home = Path(tempfile.mkdtemp(prefix="mandate-test-"))
    postgres, valkey = EmbeddedPostgres(home, fsync=False), EmbeddedValkey(home)
    postgres.start()
    valkey.start()
    _services.update(home=home, postgres=postgres, valkey=valkey)
    os.environ |= {
        "MANDATE_HOME": str(home),
        "DATABASE_URL": postgres.app_url,
        "DATABASE_OWNER_URL": postgres.owner_url,
        "TEST_ADMIN_URL": postgres.admin_url,
        "REDIS_URL": valkey.url,
    }
    _point_settings_at(postgres, valkey)


def _point_settings_at(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    """The plugin has read the settings by now; workers started later read the environment."""
    from django.conf import settings

    from config import env

    for alias, url in (("default", postgres.app_url), ("owner", postgres.owner_url)):
        found = env.database(url)
        settings.DATABASES[alias].update(
            {k: found[k] for k in ("USER", "PASSWORD", "HOST", "PORT")}
        )
    settings.REDIS_URL = settings.CELERY_BROKER_URL = valkey.url
    settings.CACHES["default"]["LOCATION"] = valkey.url


def pytest_unconfigure(config: pytest.Config) -> None:
    if _services and not hasattr(config, "workerinput"):
        with contextlib.suppress(Exception):
            from django.db import connections

            connections.close_all()
            connections["default"].close_pool()
        _services["postgres"].stop()
        _services["valkey"].stop()
        from config.local import place
        from config.local.home import Home

        place.remove(Home.of(_services["home"]))
        shutil.rmtree(_services["home"], ignore_errors=True)
        _services.clear()


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int) -> None:
    """A test that was skipped proves nothing: the suite allows none."""
    if skipped := terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(
            f"{len(skipped)} skipped: a skipped test proves nothing", red=True
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any) -> Iterator[None]:
    """Make a database of this worker's own as an installation would, with two orgs in it."""
    from django.conf import settings
    from django.db import connections
    from django.utils import timezone

    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    postgres = _postgres()
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        admin.execute(f"drop database if exists {name} with (force)")
        admin.execute(f"create database {name}")
    postgres.apply_roles(name)
    for alias in ("default", "owner"):
        settings.DATABASES[alias]["NAME"] = name
        connections[alias].settings_dict["NAME"] = name
    with django_db_blocker.unblock():
        from apps.tenants import schemas
        from apps.tenants.services import orgs

        schemas.migrate_shared()
        orgs.ensure_system_org(at=timezone.now())
        provision("system")
        for slug in ("acme", "globex"):
            make_org(slug)
        connections.close_all()
    yield
    with django_db_blocker.unblock():
        connections.close_all()
        connections["default"].close_pool()


def _postgres() -> EmbeddedPostgres:
    """The cluster: this process's own, or the one that the main process started."""
    if "postgres" in _services:
        found: EmbeddedPostgres = _services["postgres"]
        return found
    return EmbeddedPostgres(Path(os.environ["MANDATE_HOME"]), fsync=False)


def provision(slug: str) -> None:
    from django.utils import timezone

    from apps.tenants.models import Org
    from apps.tenants.services import orgs

    org = Org.objects.get(slug=slug)
    orgs.provision_org(org_id=org.id, at=timezone.now())
    org.refresh_from_db()
    assert org.state == Org.State.ACTIVE, org.failure


def make_org(slug: str, *, owner: str | None = None) -> Any:
    """A provisioned org with an owner, committed; for tests that can't be rolled back."""
    from allauth.account.models import EmailAddress
    from django.utils import timezone

    from apps.tenants.models import User
    from apps.tenants.selectors import find_org_by_slug
    from apps.tenants.services import orgs

    email = owner or f"owner@{slug}.example"
    user = User.objects.filter(email=email).first() or User.objects.create_user(
        email, "mandate-demo", name=f"Owner of {slug.title()}"
    )
    EmailAddress.objects.get_or_create(user=user, email=email, verified=True, primary=True)
    org = orgs.request_org(name=slug.title(), slug=slug, owner_id=user.pk, at=timezone.now())
    orgs.provision_org(org_id=org.id, at=timezone.now())
    found = find_org_by_slug(slug)
    assert found is not None and found.is_active, found
    _detach_starter(found)
    return found


def _detach_starter(org: Any) -> None:
    """No policy counts in a test that attaches none; tests/policies/test_seeding.py has the one
    that orgs begin with.
    """
    from apps.policies.models import Attachment
    from apps.tenants import keys

    with keys.holding(org.schema, org.id):
        Attachment.objects.all().delete()


@pytest.fixture(autouse=True)
def _no_keys() -> Iterator[None]:
    """Every test starts and ends without keys, whatever it or the last one did."""
    from apps.tenants import keys
    from apps.tenants.services import activity

    activity._told.clear()
    with keys.holding():
        yield


@pytest.fixture(autouse=True)
def _no_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages ask no part beside them: what such a thread asks would stand in another test's way."""
    from apps.common import system_state

    def refuse(work: Callable[[], object]) -> None:
        raise RuntimeError("no thread is to be had")

    monkeypatch.setattr(system_state, "_memory", system_state.Memory(beside=refuse))


@pytest.fixture
def acme(db: None) -> Any:
    """The org `acme`, without its keys."""
    from apps.tenants.selectors import find_org_by_slug

    return find_org_by_slug("acme")


@pytest.fixture
def other_org(db: None) -> Any:
    """The org `globex`, without its keys."""
    from apps.tenants.selectors import find_org_by_slug

    return find_org_by_slug("globex")


@pytest.fixture
def org(acme: Any) -> Iterator[Any]:
    """The org `acme` with both of its keys held for the test."""
    from apps.tenants import keys

    with keys.holding(acme.schema, acme.id):
        yield acme


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let a test commit for real, in throw-away orgs only; nothing is flushed afterwards."""
    from django.db import connections

    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def throwaway_org(committed: None) -> Callable[[], Any]:
    """Makes orgs that real commits may go into; they vanish with the database."""
    return lambda: make_org(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def admin_cursor(django_db_setup: None) -> Iterator[Any]:
    """A superuser's cursor on the test database: what an attacker with the disk could do."""
    from django.db import connections

    url = os.environ["TEST_ADMIN_URL"].rpartition("/")[0]
    name = connections["default"].settings_dict["NAME"]
    with psycopg.connect(f"{url}/{name}", autocommit=True) as connection:
        yield connection.cursor()


@pytest.fixture(scope="session")
def valkey_url() -> str:
    return os.environ["REDIS_URL"]
