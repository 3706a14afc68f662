"""What only real commits show: many workers at once, and what stands in which transaction.

All of it in one org of this file's own; a test looks at nothing but what it made.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.core import mail
from django.db import connection, transaction

from apps.common import egress
from apps.common.egress import EgressResponse
from apps.notify.errors import NotifyMisuse
from apps.notify.models import Delivery, Notice
from apps.notify.services import addresses, channels, telling
from apps.notify.services.delivering import deliver
from apps.notify.services.mailing import send_mails
from apps.notify.services.telling import Audience
from apps.tenants import keys
from tests.conftest import make_org
from tests.notify.conftest import said
from tests.orgs.conftest import AT, owner_of

WORKERS, NUMBER = 4, 12


@pytest.fixture(scope="module")
def org(django_db_setup: None, django_db_blocker: Any) -> Any:
    """An org that vanishes with the database."""
    with django_db_blocker.unblock():
        return make_org(f"n{uuid.uuid4().hex[:12]}")


@pytest.fixture(autouse=True)
def _alone(committed: None, org: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commits are real, and no job runs but those run here."""
    for module in (telling, channels):
        monkeypatch.setattr(module, "enqueue", lambda *_, **__: None)
    yield
    with keys.holding(org.schema, org.id):
        Notice.objects.all().delete()
        Delivery.objects.all().delete()


def at_once(org: Any, work: Any) -> list[Any]:
    """The same work by all workers, begun together."""
    ready = threading.Barrier(WORKERS)

    def one(_: int) -> Any:
        ready.wait()
        try:
            with keys.holding(org.schema, org.id):
                return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(WORKERS)))


def test_each_mail_leaves_once(org: Any) -> None:
    with keys.holding(org.schema, org.id), transaction.atomic():
        for n in range(NUMBER):
            said(Audience(members=(owner_of(org).member_id,)), title=f"Thing {n}")

    sent = at_once(org, lambda: send_mails(at=AT))

    assert sum(sent) == NUMBER
    assert Counter(message.subject for message in mail.outbox).most_common(1)[0][1] == 1
    assert len(mail.outbox) == NUMBER
    with keys.holding(org.schema, org.id):
        assert set(Notice.objects.values_list("mail", "mail_tries")) == {("sent", 1)}


def test_each_message_leaves_once(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def answer(method: str, url: str, **options: Any) -> EgressResponse:
        calls.append(options["headers"]["webhook-id"])
        return EgressResponse(200, httpx.Headers(), b"", url)

    monkeypatch.setattr(egress, "request", answer)
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        webhook = {"service": "webhook", "url": "https://hooks.acme.example/in/0123456789"}
        channels.create_channel(name="Room", own=False, by=owner, at=AT, **webhook)
        with transaction.atomic():
            for _ in range(NUMBER):
                said(Audience(org=True))
        owed = list(Delivery.objects.values_list("id", flat=True))

    done = at_once(org, lambda: [deliver(delivery_id=row, at=AT) for row in owed])

    assert sum(sum(found) for found in done) == NUMBER
    assert len(calls) == len(set(calls)) == NUMBER
    with keys.holding(org.schema, org.id):
        assert set(Delivery.objects.values_list("state", "tries")) == {("sent", 1)}


def test_nothing_is_told_outside_a_transaction(org: Any) -> None:
    with keys.holding(org.schema, org.id):
        to = Audience(members=(owner_of(org).member_id,))
        with pytest.raises(NotifyMisuse):
            said(to)
        assert not Notice.objects.exists()
        with transaction.atomic():
            assert said(to) == 1


def test_no_lock_is_held_while_a_message_is_sent(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def look(*_: Any, **__: Any) -> None:
        found.append(connection.in_atomic_block)

    monkeypatch.setattr(addresses, "send", look)
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        webhook = {"service": "webhook", "url": "https://hooks.acme.example/in/0123456789"}
        made = channels.create_channel(name="Apart", by=owner, at=AT, **webhook)
        delivery = channels.test_channel(channel_id=made.channel.id, by=owner, at=AT)
        assert deliver(delivery_id=delivery.id, at=AT)
    assert found == [False]
