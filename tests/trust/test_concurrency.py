"""Many at once, with real commits, in an org of their own."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from apps.common.actors import SYSTEM, Actor, ActorType
from apps.tenants import keys
from apps.trust import selectors
from apps.trust.errors import SigningKeyPending
from apps.trust.models import AuditEvent, DataKey, RefusalTally, SealedSecret, SigningKey
from apps.trust.secrets import get_secret_store
from apps.trust.services import (
    create_signing_key,
    record_event,
    record_refusal,
    rotate_signing_key,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
THREADS = 6


@pytest.fixture(scope="module")
def crowd_org() -> list:
    """One throw-away org for the whole module, made by the first test."""
    return []


@pytest.fixture
def crowd(throwaway_org, crowd_org):
    if not crowd_org:
        crowd_org.append(throwaway_org())
    with keys.holding(crowd_org[0].schema, crowd_org[0].id):
        yield crowd_org[0]


def at_once(org, work: Callable[[int], object]) -> list[object]:
    """Run `work(n)` in THREADS threads that start together; gives what each returned or raised."""
    answers: list[object] = [None] * THREADS
    gate = threading.Barrier(THREADS)

    def run(n: int) -> None:
        with keys.holding(org.schema, org.id):
            try:
                connection.ensure_connection()
                gate.wait()
                answers[n] = work(n)
            except SigningKeyPending as error:
                answers[n] = error
            finally:
                connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def record(n: int) -> AuditEvent:
    with transaction.atomic():
        return record_event(
            actor=SYSTEM, action="a.b.c", subject_type="x", subject_id=str(n), at=AT
        )


def test_the_chain_has_no_gap_and_no_fork_however_many_write(crowd, admin_cursor):
    for table in ("audit_events", "audit_head"):  # so that they race for the first event too
        admin_cursor.execute(f'delete from "{crowd.schema}".{table}')

    at_once(crowd, lambda n: [record(n) for _ in range(25)])

    report = selectors.verify_chain()
    assert report.breaks == ()
    assert report.checked == report.to_seq == THREADS * 25
    written = AuditEvent.objects.values_list("subject_id", flat=True)
    assert sorted(written) == sorted(str(n) for n in range(THREADS) for _ in range(25))


def test_who_fails_leaves_no_gap_for_the_others(crowd):
    before = selectors.verify_chain().to_seq

    def half_of_them_fail(n: int) -> None:
        for turn in range(10):
            with transaction.atomic():
                record(n)
                transaction.set_rollback((n + turn) % 2 == 0)

    at_once(crowd, half_of_them_fail)

    report = selectors.verify_chain()
    assert report.valid
    assert report.to_seq == before + THREADS * 10 // 2


def test_one_of_many_first_keys_wins(crowd):
    SigningKey.objects.all().delete()
    SealedSecret.objects.all().delete()
    DataKey.objects.all().delete()

    answers = at_once(crowd, lambda n: create_signing_key(actor=SYSTEM, at=AT))

    made = [a for a in answers if isinstance(a, SigningKey)]
    assert sum(isinstance(a, SigningKeyPending) for a in answers) == THREADS - len(made)
    assert 1 <= len(made) <= 2  # a late comer may find the first and make the next
    assert SigningKey.objects.filter(state="active").count() == 1
    assert SigningKey.objects.count() == SealedSecret.objects.count() == len(made)
    assert DataKey.objects.count() == 1


def test_many_rotations_at_once_leave_one_active_key_that_signs(crowd):
    answers = at_once(crowd, lambda n: rotate_signing_key(actor=SYSTEM, at=AT))

    assert any(isinstance(a, SigningKey) for a in answers)
    active = SigningKey.objects.get(state="active")
    assert get_secret_store().versions(active.secret_ref) == [1]
    assert SigningKey.objects.exclude(secret_ref="").count() <= 2
    assert selectors.verify_chain().valid


def test_versions_are_given_once(crowd):
    store = get_secret_store()

    answers = at_once(crowd, lambda n: [store.put("shared", b"%d" % n) for _ in range(5)])

    given = sorted(version for versions in answers for version in versions)
    assert given == store.versions("shared") == list(range(1, THREADS * 5 + 1))


def test_a_flood_of_refusals_loses_no_count(crowd):
    eve = Actor(ActorType.API_KEY, "key_1", "ci")

    def refuse(n: int) -> None:
        for _ in range(10):
            record_refusal(actor=eve, rule="flood", at=AT)

    at_once(crowd, refuse)

    (event,) = AuditEvent.objects.filter(action="trust.call.refused", subject_id="flood")
    tally = RefusalTally.objects.get(rule="flood")
    assert event.detail["count"] + tally.unrecorded == THREADS * 10
