"""What several do at once, committed for real in a throw-away org: one approval is used once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from apps.approvals.errors import ApprovalClosed, ApprovalExpired, ApprovalUsed
from apps.approvals.models import Approval, Vote
from apps.approvals.services import outcome, rules, voting
from apps.common.errors import DomainError
from apps.tenants import keys
from apps.trust.models import AuditEvent
from tests.approvals.factories import approved, ask, consume
from tests.orgs.conftest import join, owner_of

CROWD = 50


@pytest.fixture(scope="module")
def made() -> list[Any]:
    """One throw-away org for the whole module, made by the first test."""
    return []


@pytest.fixture
def place(throwaway_org: Callable[[], Any], made: list[Any]) -> Iterator[Any]:
    if not made:
        made.append(throwaway_org())
    with keys.holding(made[0].schema, made[0].id):
        yield made[0]


def at_once(place: Any, acts: list[Callable[[], Any]]) -> list[Any]:
    """What each act gives or raises, all of them let go together."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        with keys.holding(place.schema, place.id):
            try:
                gate.wait(30)
                return act()
            except DomainError as error:
                return type(error)
            finally:
                connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def approve(approval: Approval, voter: Any) -> str:
    found = voting.approve(approval_id=approval.id, voter=voter, comment="", at=timezone.now())
    return str(found.status)


def recorded(approval: Approval) -> list[str]:
    rows = AuditEvent.objects.filter(subject_id=f"apr_{approval.id.hex}").order_by("seq")
    return [action.removeprefix("approvals.") for action in rows.values_list("action", flat=True)]


def test_of_fifty_who_use_one_approval_one_does(place: Any) -> None:
    approval = approved(by=owner_of(place))

    found = at_once(place, [lambda: consume(approval.id)] * CROWD)

    assert found.count(None) == 1
    assert found.count(ApprovalUsed) == CROWD - 1
    assert recorded(approval) == ["request.made", "request.approved", "request.used"]


def test_of_two_last_votes_one_approves(place: Any) -> None:
    rule = rules.create_rule(quorum=2, timeout_minutes=60, by=owner_of(place), at=timezone.now())
    voters = [join(place, "admin") for _ in range(3)]
    approval = ask()
    rules.remove_rule(rule_id=rule.id, by=owner_of(place), at=timezone.now())
    assert approve(approval, voters[0]) == "pending"

    found = at_once(place, [lambda v=v: approve(approval, v) for v in voters[1:]])

    assert sorted(map(str, found)) == sorted(["approved", str(ApprovalClosed)])
    assert Vote.objects.filter(approval=approval).count() == 2
    assert recorded(approval).count("request.approved") == 1


@pytest.fixture
def superuser(admin_cursor: Any, place: Any) -> Iterator[Callable[..., Any]]:
    """Moves a request's end into the past and keeps its row until it is let go."""
    admin_cursor.execute("set session_replication_role = replica")
    admin_cursor.execute(f'set search_path = "{place.schema}"')

    def hold(approval: Approval) -> None:
        admin_cursor.execute("begin")
        admin_cursor.execute(
            "update approvals set created_at = created_at - interval '2 days', "
            "expires_at = now() - interval '1 second' where id = %s",
            [approval.id],
        )

    yield hold
    admin_cursor.execute("reset session_replication_role")


@pytest.mark.parametrize("act", ["approve", "reject", "consume"])
def test_who_waited_for_the_lock_past_the_end_comes_too_late(
    place: Any, superuser: Any, admin_cursor: Any, act: str
) -> None:
    owner = owner_of(place)
    approval = approved(by=owner) if act == "consume" else ask()
    before = str(Approval.objects.get(id=approval.id).status)
    vote = {"approval_id": approval.id, "voter": owner, "comment": "", "at": timezone.now()}
    does = {
        "approve": lambda: voting.approve(**vote),
        "reject": lambda: voting.reject(**vote),
        "consume": lambda: consume(approval.id),
    }[act]

    superuser(approval)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(at_once, place, [does])
        wait_for_a_lock(admin_cursor.connection)
        admin_cursor.execute("commit")
        assert waiting.result() == [ApprovalExpired]

    assert str(Approval.objects.get(id=approval.id).status) == before
    assert outcome.expire_approvals(at=timezone.now()) == 1
    assert recorded(approval)[-1] == "request.expired"


def wait_for_a_lock(seen_from: psycopg.Connection[Any]) -> None:
    """Until another session of this database waits for a row."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and wait_event_type = 'Lock'"
    )
    while not seen_from.execute(query).fetchone()[0]:  # type: ignore[index]
        pass
