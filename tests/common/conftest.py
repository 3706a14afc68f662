"""The sample API behind the middleware of `apps.common` alone, without hosts, orgs or members."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client

MIDDLEWARE = [
    "apps.common.middleware.RequestMiddleware",
    "csp.middleware.CSPMiddleware",
    "apps.common.middleware.ErrorMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]


@pytest.fixture
def sample(settings: Any) -> None:
    """Serve tests/common/sample_api.py; pages are plain, for the shell belongs to a higher app."""
    settings.MIDDLEWARE = MIDDLEWARE
    settings.ROOT_URLCONF = "tests.common.sample_api"
    settings.TEMPLATES = [
        {
            **settings.TEMPLATES[0],
            "OPTIONS": {**settings.TEMPLATES[0]["OPTIONS"], "context_processors": []},
        }
    ]


@pytest.fixture
def api(sample: None) -> Client:
    """A client that shows a 500 as its asker sees it, and never meets another test's limit."""
    return Client(raise_request_exception=False, REMOTE_ADDR=f"test-{uuid.uuid4()}")


def bearer(*codes: str, name: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {name or uuid.uuid4().hex}:{','.join(codes)}"}


@pytest.fixture
def scratch(admin_cursor: Any, db: None) -> Any:
    """The tables of tests/common/scratch.py, for one test."""
    from tests.common.scratch import TABLES

    admin_cursor.execute("drop schema if exists scratch cascade")
    admin_cursor.execute(TABLES)
    yield
    from django.db import connection

    connection.needs_rollback = False
    with connection.cursor() as cursor:
        cursor.execute("rollback; begin")  # or the drop waits for this test's own locks
    admin_cursor.execute("drop schema scratch cascade")
