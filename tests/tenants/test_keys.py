"""The two keys: one place, one round trip, nothing with either one wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from apps.tenants import keys


def session_keys() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('search_path'), current_setting('app.org_id', true)")
        return cursor.fetchone()


def test_a_connection_follows_the_keys(acme: Any) -> None:
    with keys.holding(acme.schema, acme.id):
        assert session_keys() == (f'"{acme.schema}", "public"', str(acme.id))
    assert session_keys() == ('"public"', "")


def test_turning_the_first_key_puts_down_the_second(acme: Any, other_org: Any) -> None:
    with keys.holding(acme.schema, acme.id):
        keys.use_schema(other_org.schema)
        assert session_keys() == (f'"{other_org.schema}", "public"', "")


def test_the_keys_survive_a_rolled_back_transaction(acme: Any) -> None:
    with keys.holding(acme.schema, acme.id):
        with pytest.raises(RuntimeError), transaction.atomic():
            session_keys()
            raise RuntimeError
        assert session_keys()[1] == str(acme.id)


def test_a_thread_starts_without_keys(org: Any) -> None:
    seen: list[keys.Keys] = []
    thread = threading.Thread(target=lambda: seen.append(keys.current()))
    thread.start()
    thread.join()
    assert seen == [keys.NONE]
    assert keys.current().org_id == org.id


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_sync_to_async_keeps_the_keys(committed: None, thread_sensitive: bool) -> None:
    from apps.tenants.selectors import find_org_by_slug

    acme = find_org_by_slug("acme")
    assert acme

    def read() -> tuple[str, str]:
        try:
            return session_keys()
        finally:
            connections.close_all()

    async def inside() -> tuple[str, str]:
        with keys.holding(acme.schema, acme.id):
            return await sync_to_async(read, thread_sensitive=thread_sensitive)()

    assert asyncio.run(inside()) == (f'"{acme.schema}", "public"', str(acme.id))


def test_both_keys_cost_one_statement_and_only_when_they_change(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.tenants.backend import base
    from apps.tenants.selectors import find_org_by_slug

    acme = find_org_by_slug("acme")
    assert acme
    session_keys()
    asked: list[str] = []
    monkeypatch.setattr(
        base, "search_path", lambda s, real=base.search_path: asked.append(s) or real(s)
    )
    with keys.holding(acme.schema, acme.id):
        session_keys()
        session_keys()
    assert asked == [acme.schema]
