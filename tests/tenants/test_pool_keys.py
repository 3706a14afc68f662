"""Attacks on the keys of pooled connections: whatever becomes of a transaction, a thread or a
stream, nobody reads with the keys of somebody before.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, IntegrityError, connection, connections, transaction
from django.utils import timezone
from django_tenants.postgresql_backend.base import DatabaseWrapper as TheirWrapper

from apps.orgs.models import Project
from apps.tenants import keys
from apps.tenants.backend import base
from apps.tenants.models import Membership
from tests.tenants.test_pool import keys_on, wanted

pytestmark = pytest.mark.usefixtures("committed")

THREADS = 4
ROUNDS = 40


class Away(Exception):
    """Ends a transaction as a view's own error would."""


@pytest.fixture
def orgs(throwaway_org: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Two orgs, and a pool of two connections that they have to share."""
    pair = [throwaway_org(), throwaway_org()]
    monkeypatch.setitem(connection.settings_dict["OPTIONS"]["pool"], "max_size", 2)
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]
    yield pair
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]


def holding(org: Any) -> Any:
    return keys.holding(org.schema, org.id)


def seen() -> tuple[str, str]:
    """Both keys as a statement of the product meets them."""
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('search_path'), current_setting('app.org_id', true)")
        found = cursor.fetchone()
    return found[0], found[1]


def see(org: Any) -> None:
    """Read as this org, and read nothing else."""
    found = seen()
    assert found == wanted(org), f"{found} instead of {org.schema}"


def fail() -> None:
    with contextlib.suppress(DataError), connection.cursor() as cursor:
        cursor.execute("select 1 / 0")


# What may become of a transaction in which other keys were taken -------------------------------


def roll_back(one: Any, other: Any) -> None:
    with contextlib.suppress(Away), transaction.atomic(), holding(other):
        see(other)
        raise Away


def roll_back_a_part(one: Any, other: Any) -> None:
    with transaction.atomic():
        see(one)
        roll_back(one, other)
        see(one)
        with holding(other):
            see(other)


def pass_over_a_failure(one: Any, other: Any) -> None:
    """Postgres answers the COMMIT with a ROLLBACK, and with no error."""
    with transaction.atomic(), holding(other):
        see(other)
        fail()


def fail_to_commit(one: Any, other: Any) -> None:
    """A foreign key is looked after at the COMMIT."""
    with contextlib.suppress(IntegrityError), transaction.atomic(), holding(other):
        see(other)
        Membership.objects.create(user_id=uuid4(), org_id=other.id, created_at=timezone.now())


def close_within(one: Any, other: Any) -> None:
    with transaction.atomic(), holding(other):
        see(other)
        connection.close()


def close_by_hand(one: Any, other: Any) -> None:
    see(one)
    connection.set_autocommit(False)
    with holding(other):
        see(other)
    connection.close()


def commit_by_hand(one: Any, other: Any) -> None:
    see(one)
    connection.set_autocommit(False)
    with holding(other):
        see(other)
        fail()
        connection.commit()
    connection.set_autocommit(True)


def read_half(one: Any, other: Any) -> None:
    """A cursor of the server's that nobody reads to its end."""
    for project in Project.objects.iterator(chunk_size=1):
        assert project.org_id == one.id
        return


def lose(one: Any, other: Any) -> None:
    see(one)
    connection.connection.close()
    connection.close()


WAYS = (
    *(roll_back, roll_back_a_part, pass_over_a_failure, fail_to_commit, close_within),
    *(close_by_hand, commit_by_hand, read_half, lose),
)


def serve(one: Any, other: Any, way: Callable[[Any, Any], None], *, rests: bool) -> None:
    """A request of one org, after which the other reads by the same connection: at once, or as the
    next that takes it from the pool.
    """
    try:
        with holding(one):
            assert keys_on() == wanted(one)
            way(one, other)
        if rests:
            connections.close_all()
        with holding(other):
            see(other)
        with holding(one):
            see(one)
    finally:
        connections.close_all()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whatever_happens_each_reads_as_themselves(
    orgs: list[Any], way: Callable[[Any, Any], None]
) -> None:
    one, other = orgs
    for pair in ((one, other), (other, one)):
        for rests in (False, True):
            serve(*pair, way, rests=rests)


# Many at once ---------------------------------------------------------------------------------


def wander(orgs: list[Any], seed: int, leaks: list[str]) -> None:
    """Requests of both orgs, each with another end, until the first that sees a wrong key."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        one, other = chance.sample(orgs, 2)
        way = chance.choice(WAYS)
        try:
            serve(one, other, way, rests=chance.random() < 0.5)
        except AssertionError as error:
            leaks.append(f"{way.__name__}: {error}")
            return


def wander_together(orgs: list[Any]) -> list[str]:
    leaks: list[str] = []
    threads = [threading.Thread(target=wander, args=(orgs, seed, leaks)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return leaks


def test_nobody_reads_with_anothers_keys_among_many(orgs: list[Any]) -> None:
    assert wander_together(orgs) == []


def rest_with_whatever(raw: Any, keys_on: Any) -> None:
    """The mutation: what a rollback took back is noted all the same."""
    with contextlib.suppress(psycopg.Error):
        raw.rollback()
        raw.autocommit = True
    raw.keys_on = keys_on


def take_as_it_is(self: Any, raw: Any) -> None:
    self.search_path_set_schemas = keys.current()


def roll_back_and_remember(self: Any) -> None:
    kept = self.search_path_set_schemas
    TheirWrapper.rollback(self)
    self.search_path_set_schemas = kept


@pytest.mark.parametrize(
    ("place", "name", "mutant"),
    [
        (base.DatabaseWrapper, "commit", TheirWrapper.commit),
        (base.DatabaseWrapper, "rollback", roll_back_and_remember),
        (base.DatabaseWrapper, "_take_over", take_as_it_is),
        (base, "lay_down", rest_with_whatever),
    ],
    ids=["commit", "rollback", "taking", "resting"],
)
def test_a_leak_would_be_found(
    orgs: list[Any], monkeypatch: pytest.MonkeyPatch, place: Any, name: str, mutant: Any
) -> None:
    """The control: without one of the precautions the same requests see wrong keys."""
    monkeypatch.setattr(place, name, mutant)
    assert wander_together(orgs) != []


def test_a_time_limit_while_keys_are_put_on_costs_the_pool_no_place(
    orgs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = orgs

    def interrupted(raw: Any, wanted: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(3):  # more than the pool has places
        with monkeypatch.context() as broken, holding(one):
            broken.setattr(base, "put_on", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.ensure_connection()
        assert connection.connection is None
    with holding(one):
        see(one)
