from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID

import pytest
from django.db import ProgrammingError, connection, connections, transaction

from apps.common.actors import SYSTEM, Actor, ActorType
from apps.tenants import keys
from apps.trust import selectors
from apps.trust.canonical import dumps
from apps.trust.chain import GENESIS, link
from apps.trust.errors import AuditMisuse
from apps.trust.models import AuditEvent, AuditHead
from apps.trust.services import record_event

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
REFUSED = "permission denied|must be owner"
ANA = Actor(ActorType.USER, "mem_1", "Ana Ünal")


class Colour(StrEnum):
    RED = "red"


def record(action="orgs.project.renamed", **more):
    facts = {"subject_type": "project", "subject_id": "prj_1", "actor": ANA, "at": AT}
    return record_event(action=action, **(facts | more))


def test_an_event_says_who_did_what_to_what_and_what_changed(org):
    event = record(old={"name": "A"}, new={"name": "B"}, detail={"reason": "typo"})
    event.refresh_from_db()

    assert (event.actor_type, event.actor_id, event.actor_label) == ("user", "mem_1", "Ana Ünal")
    assert (event.action, event.at) == ("orgs.project.renamed", AT)
    assert (event.subject_type, event.subject_id) == ("project", "prj_1")
    assert event.detail == {"old": {"name": "A"}, "new": {"name": "B"}, "reason": "typo"}
    assert (
        event.body
        == dumps(
            {
                "org": str(org.id),
                "at": "2026-03-01T12:30:15.123456+00:00",
                "actor": {"type": "user", "id": "mem_1", "label": "Ana Ünal"},
                "action": "orgs.project.renamed",
                "subject": {"type": "project", "id": "prj_1"},
                "detail": event.detail,
            }
        ).decode()
    )


def test_each_event_hangs_on_the_one_before(org):
    first, second = record(), record()
    head = AuditHead.objects.get()

    assert second.seq == first.seq + 1
    assert bytes(second.prev) == bytes(first.hash)
    assert bytes(second.hash) == link(
        seq=second.seq, prev=bytes(first.hash), body=second.body.encode()
    )
    assert (head.seq, bytes(head.hash)) == (second.seq, bytes(second.hash))


def test_a_change_that_is_undone_leaves_no_event_and_no_gap(org):
    before = record()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record()
        _ = 1 / 0
    after = record()

    assert after.seq == before.seq + 1
    assert bytes(after.prev) == bytes(before.hash)


def test_number_and_hashes_are_the_databases_whatever_an_insert_says(org):
    before = record()
    forged = AuditEvent.objects.create(
        seq=99, prev=b"x", hash=b"y", at=AT, detail={}, body="{}", action="a.b.c"
    )
    forged.refresh_from_db()

    assert forged.seq == before.seq + 1
    assert bytes(forged.prev) == bytes(before.hash)
    assert bytes(forged.hash) == link(seq=forged.seq, prev=bytes(before.hash), body=b"{}")


def test_the_trigger_keeps_to_its_own_schema_whatever_the_search_path(org, other_org):
    before = record()
    with connection.cursor() as cursor:
        cursor.execute("select set_config('search_path', %s, true)", [other_org.schema])
        cursor.execute(
            f"""insert into "{org.schema}".audit_events (id, at, actor_type, actor_id, actor_label,
                  action, subject_type, subject_id, detail, body)
                select gen_random_uuid(), at, actor_type, actor_id, actor_label, action,
                  subject_type, subject_id, detail, body
                from "{org.schema}".audit_events where seq = %s
                returning seq, prev""",
            [before.seq],
        )
        seq, prev = cursor.fetchone()
        cursor.execute("select set_config('search_path', %s, true)", [org.schema])

    assert (seq, bytes(prev)) == (before.seq + 1, bytes(before.hash))
    assert AuditHead.objects.get().seq == seq
    assert selectors.verify_chain().valid


def test_an_event_outside_a_transaction_is_a_bug(org, monkeypatch):
    assert record()
    count = AuditEvent.objects.count()
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "in_atomic_block", False)
        with pytest.raises(AuditMisuse, match="transaction"):
            record()
    assert AuditEvent.objects.count() == count


def test_an_event_of_no_org_is_a_bug(org):
    count = AuditEvent.objects.count()
    with keys.holding(org.schema), pytest.raises(AuditMisuse, match="unlocked"):
        record()
    assert AuditEvent.objects.count() == count


@pytest.mark.parametrize(
    "action",
    [
        "",
        "renamed",
        "orgs.renamed",
        "orgs..renamed",
        "orgs.project.was.renamed",
        "Orgs.project.renamed",
        "orgs.project.re-named",
        "orgs.project.renamed\n",
        "1.project.renamed",
    ],
)
def test_an_action_is_app_noun_verb(org, action):
    assert record("trust.signing_key.created").action == "trust.signing_key.created"

    with pytest.raises(AuditMisuse, match="form"):
        record(action)


def test_a_time_without_a_zone_is_a_bug(org):
    with pytest.raises(AuditMisuse, match="zone"):
        record(at=datetime(2026, 3, 1))


def test_the_zone_of_a_time_changes_nothing(org):
    here = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert record(at=here).body == record(at=AT).body


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "passwd",
        "token",
        "api_token",
        "apiToken",
        "Secret",
        "CLIENT_SECRET",
        "private_key",
        "privateKey",
        "secret-value",
    ],
)
@pytest.mark.parametrize("nest", [lambda d: d, lambda d: {"a": d}, lambda d: {"a": [1, d]}])
def test_a_member_named_like_a_secret_is_a_bug(org, name, nest):
    for part in ("old", "new", "detail"):
        with pytest.raises(AuditMisuse, match="looks like a secret"):
            record(**{part: nest({name: "x"})})
    assert AuditEvent.objects.filter(body__contains=name).count() == 0


@pytest.mark.parametrize(
    "name", ["secret_ref", "token_prefix", "tokens_per_minute", "privacy", "key"]
)
def test_a_member_that_only_resembles_one_is_recorded(org, name):
    assert record(new={name: "x"}).detail == {"new": {name: "x"}}


def test_values_are_written_so_that_body_and_columns_read_the_same(org):
    uid = UUID(int=5)
    values = {
        "text": "a\0b",
        "id": uid,
        "at": AT,
        "day": date(2026, 1, 2),
        "enum": Colour.RED,
        "set": {"b", "a"},
        "tuple": (1, True, None),
        "float": 1e30,
        "big": 2**60,
        "largest": 2**53 - 1,
        1: {"inner": [0.5]},
    }
    event = record(new=values)
    event.refresh_from_db()

    assert event.detail["new"] == {
        "text": "a␀b",
        "id": str(uid),
        "at": "2026-03-01T12:30:15.123456+00:00",
        "day": "2026-01-02",
        "enum": "red",
        "set": ["a", "b"],
        "tuple": [1, True, None],
        "float": "1e+30",
        "big": str(2**60),
        "largest": 2**53 - 1,
        "1": {"inner": ["0.5"]},
    }
    assert selectors.verify_chain().valid


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_events set action = 'x.y.z'",
        "delete from audit_events",
        "truncate audit_events",
        "delete from audit_head",
        "truncate audit_head",
        "alter table audit_events disable trigger all",
        "drop trigger audit_chain on audit_events",
    ],
)
def test_the_log_can_only_grow(org, as_superuser, statement):
    event = record()

    with pytest.raises(ProgrammingError, match=REFUSED), transaction.atomic():
        run(statement)
    assert AuditEvent.objects.get(id=event.id).action == event.action

    with transaction.atomic():  # the control: the statement itself is fine
        as_superuser(statement)
        transaction.set_rollback(True)


def test_events_are_listed_newest_first_and_by_what_they_name(org):
    for n in (1, 2):
        record(subject_id=f"prj_{n}", at=AT + timedelta(days=n))
    record("trust.signing_key.mislaid", subject_type="signing_key", actor=SYSTEM)

    def found(**by):
        return [(e.action.split(".")[1], e.subject_id) for e in selectors.list_events(**by)[:3]]

    first, second, other = ("project", "prj_1"), ("project", "prj_2"), ("signing_key", "prj_1")
    assert found()[0] == other
    assert found(subject="prj_2") == [second]
    assert found(subject="signing_key", action="trust.signing_key.mislaid") == [other]
    assert found(action="orgs.project.", actor="mem_1") == [second, first]
    assert found(action="trust.signing_key.mislaid", actor="mandate") == [other]
    assert found(action="orgs", actor="mem_1") == []
    days = [AT + timedelta(days=n) for n in range(4)]
    assert found(since=days[1], until=days[3]) == [second, first]
    assert found(since=days[1], until=days[2]) == [first]
    assert found(since=days[3], actor="mem_1") == []


def test_the_first_event_of_an_org_hangs_on_nothing(org, as_superuser):
    as_superuser("delete from audit_events")
    as_superuser("delete from audit_head")
    first = record()

    assert (first.seq, bytes(first.prev)) == (1, GENESIS)
    assert bytes(first.hash) == link(seq=1, prev=GENESIS, body=first.body.encode())
    assert selectors.verify_chain().checked == 1


def test_two_orgs_have_two_chains(org, enter_other_org):
    mine = record()
    with enter_other_org():
        before = AuditHead.objects.first() or AuditHead(seq=0, hash=GENESIS)
        theirs = record()

        assert (theirs.seq, bytes(theirs.prev)) == (before.seq + 1, bytes(before.hash))
        assert theirs.body != mine.body
        assert list(AuditEvent.objects.filter(id=mine.id)) == []
    assert AuditHead.objects.get().seq == mine.seq


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
