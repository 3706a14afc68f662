"""Retention: what events say is erased when it is old, their chain and their proofs stay."""

from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.db.utils import IntegrityError

from apps.common.errors import Invalid
from apps.tenants import keys
from apps.tenants.schemas import OWNER
from apps.trust import checking, selectors
from apps.trust.models import AuditEvent, LogRetention
from apps.trust.proving import get_event, prove_event
from apps.trust.services import retention
from apps.trust.services.sealer import seal
from tests.trust.log import ANA, AT, leave, papers, record

NOW = AT + timedelta(days=100)


@pytest.fixture
def erasing(throwaway_org, alone):
    """An org with two old events that it keeps for 90 days, sealed, and one that is young."""
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        record(1, at=AT)
        last = record(2, at=AT).seq
        seal(at=AT)
        retention.set_retention(keep_days=90, actor=ANA, at=NOW)
        yield last


def age(through):
    """The events of provisioning are as young as this machine's clock says; make them old."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute("alter table audit_events disable trigger audit_erase_only")
        cursor.execute("update audit_events set at = %s where seq <= %s", [AT, through])
        cursor.execute("alter table audit_events enable trigger audit_erase_only")


def test_old_events_are_emptied_and_everything_holds(erasing):
    age(erasing)
    before = dict(AuditEvent.objects.values_list("seq", "hash"))
    path = prove_event(get_event(erasing)).path

    assert retention.erase_old(at=NOW) == erasing
    event = get_event(erasing)
    assert (event.is_erased, event.body, event.detail, event.actor_id) == (True, "", {}, "")
    assert prove_event(event).path == path
    after = dict(AuditEvent.objects.values_list("seq", "hash"))
    assert {seq: after[seq] for seq in before} == before
    young = AuditEvent.objects.get(action="trust.audit_retention.changed")
    assert (young.is_erased, young.detail["new"]) == (False, {"keep_days": 90})

    leave()
    seal(at=NOW)
    report = checking.verify_log(at=NOW)
    assert report.valid, report.checks
    assert f"{erasing} of them erased by retention" in report.checks[0].detail
    held = papers()
    assert held.findings() == []
    assert f"{erasing} erased" in held.summary()
    assert '"seq":1,"at":null,"actor":null,"action":null' in held.export


def test_erasing_again_erases_nothing_and_records_nothing(erasing):
    age(erasing)
    retention.erase_old(at=NOW)
    count = AuditEvent.objects.count()

    assert retention.erase_old(at=NOW + timedelta(hours=1)) == 0
    assert AuditEvent.objects.count() == count


def test_an_erasing_that_was_cut_off_is_carried_out_by_the_next(erasing, monkeypatch):
    age(erasing)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_empty", lambda through: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            retention.erase_old(at=NOW)
    assert not get_event(erasing).is_erased
    assert "erased" not in {b.check for b in selectors.verify_chain().breaks}

    assert retention.erase_old(at=NOW) == erasing
    assert get_event(erasing).is_erased


def test_who_keeps_everything_loses_nothing(erasing):
    age(erasing)
    retention.set_retention(keep_days=None, actor=ANA, at=NOW)

    assert retention.erase_old(at=NOW) == 0
    assert not get_event(1).is_erased


def test_the_owner_s_login_can_empty_an_event_and_nothing_else(erasing):
    rows = AuditEvent.objects.using(OWNER).filter(seq=erasing)
    for change in (
        {"action": "orgs.project.deleted"},
        {"seq": 99},
        {"hash": b"x"},
        {"body": "{}"},
        {**retention._EMPTY, "prev": b""},
        {**retention._EMPTY, "detail": {"a": 1}},
    ):
        with pytest.raises(IntegrityError, match="can only be erased"), transaction.atomic(OWNER):
            rows.update(**change)
    assert selectors.verify_chain().valid
    assert rows.update(**retention._EMPTY) == 1


def test_the_application_s_login_can_not_even_do_that(erasing):
    with pytest.raises(Exception, match="permission denied"):
        AuditEvent.objects.filter(seq=erasing).update(**retention._EMPTY)


def test_an_event_that_was_emptied_without_a_retention_is_named(erasing):
    AuditEvent.objects.using(OWNER).filter(seq=erasing).update(**retention._EMPTY)

    assert papers().findings() == [
        f"entry {erasing}: its content is gone, and no retention says so"
    ]
    (found,) = selectors.verify_chain().breaks
    assert (found.seq, found.check) == (erasing, "erased")


def test_how_much_was_erased_is_not_believed_to_a_column(erasing):
    age(erasing)
    retention.erase_old(at=NOW)
    beyond = erasing + 1
    AuditEvent.objects.using(OWNER).filter(seq=beyond).update(**retention._EMPTY)
    with connections[OWNER].cursor() as cursor:
        cursor.execute("alter table audit_events disable trigger audit_erase_only")
        said = "update audit_events set detail = jsonb_set(detail, '{through}', '999')"
        cursor.execute(f"{said} where action = %s", [selectors.ERASED])
        cursor.execute("alter table audit_events enable trigger audit_erase_only")

    assert selectors.erased_through() == erasing
    assert (beyond, "erased") in {(b.seq, b.check) for b in selectors.verify_chain().breaks}


def test_the_rule_is_bounded_and_on_record(org):
    for days in (29, 3651, 0):
        with pytest.raises(Invalid):
            retention.set_retention(keep_days=days, actor=ANA, at=NOW)
    assert not LogRetention.objects.filter(keep_days__isnull=False).exists()
    retention.set_retention(keep_days=365, actor=ANA, at=NOW)
    retention.set_retention(keep_days=365, actor=ANA, at=NOW)
    (event,) = selectors.list_events(action="trust.audit_retention.changed")

    assert event.detail == {"old": {"keep_days": None}, "new": {"keep_days": 365}}


def test_the_sweeper_asks_once_a_day_and_only_where_there_is_a_rule(
    org, django_capture_on_commit_callbacks
):
    def asked(at):
        with django_capture_on_commit_callbacks() as jobs:
            retention.sweep_retention(at)
        return len(jobs)

    assert asked(NOW) == 0
    retention.set_retention(keep_days=365, actor=ANA, at=NOW)
    assert [asked(NOW + timedelta(hours=h)) for h in (0, 1, 23, 25)] == [1, 0, 0, 1]
