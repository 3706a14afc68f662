"""The log checks itself, here and now: what is a fault of it, and what is only behind."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.common.errors import Invalid
from apps.policies import decisions
from apps.policies.errors import DocumentChanged
from apps.policies.models import Decision, DecisionInput
from apps.runs.models import Run
from apps.trust import checking
from apps.trust.canonical import digest
from apps.trust.errors import ProofFails
from apps.trust.models import AuditEvent, Checkpoint, CheckpointCopy, Leaf, SigningKey, Tile
from apps.trust.places import misplaced_events, misplaced_records
from apps.trust.proving import get_event, list_leaves, prove_event, prove_leaf
from apps.trust.services import revoke_signing_key, sealer
from apps.trust.services.sealer import seal
from tests.runs.factories import make_agent
from tests.trust.log import AT, edge_beyond_here, fill, leave, record, work


@pytest.fixture
def governed(org, monkeypatch):
    """A log with a run and a decision, all sealed; their ids."""
    fill(2)
    run, decision = work(make_agent("echo"))
    monkeypatch.setattr(sealer, "oldest_running", edge_beyond_here)
    record(80)
    assert seal(at=AT)
    assert report().valid, report()
    return run, decision


def report(after=timedelta(0)):
    return checking.verify_log(at=timezone.now() + after)


def wrong(after=timedelta(0)):
    """What isn't as it should be, and whether that is no more than a warning."""
    return {check.name: check.is_warning for check in report(after).checks if not check.ok}


def said(name):
    (found,) = [check.detail for check in report().checks if check.name == name]
    return found


def test_a_sealed_log_has_no_fault(governed):
    assert wrong() == {}
    assert said("records") == "The newest 2 digests are of what still stands."
    assert said("sealing") == "What is new is sealed within seconds."


@pytest.mark.parametrize(
    ("ends", "start", "end"), [("log", 1, None), ("log", 2, 10**9), ("range", 0, -1)]
)
def test_a_range_beyond_the_end_is_no_fault_of_the_log(governed, ends, start, end):
    last = AuditEvent.objects.latest("seq").seq
    with pytest.raises(Invalid) as refused:
        checking.verify_log(
            at=timezone.now(), from_seq=last + start, to_seq=None if end is None else last + end
        )
    assert set(refused.value.by_field) == {"from_seq"}
    assert ("The log ends" in str(refused.value.by_field)) == (ends == "log")
    assert checking.verify_log(at=timezone.now(), from_seq=last).valid
    assert checking.verify_log(at=timezone.now(), from_seq=last, to_seq=last).valid


def test_a_document_that_was_not_decided_by_is_shown_to_nobody(governed, as_superuser):
    run, decision = governed
    kept = {"context": {"input": {"to": "ada"}, "time": 1.5}}
    DecisionInput.objects.create(decision_id=decision, document=kept, at=timezone.now())
    as_superuser(f"update decisions set input_digest = '\\x{digest(kept).hex()}'")
    found = Decision.objects.get()
    assert decisions.find_document(found) == kept and decisions.find_altered(9) == []

    as_superuser("update decision_inputs set document = jsonb_set(document, '{context,time}', '2')")
    assert decisions.find_altered(9) == [decision]
    with pytest.raises(DocumentChanged):
        decisions.find_document(found)
    as_superuser("update decision_inputs set document = '{\"n\": 1e400}'")
    assert decisions.find_altered(9) == [decision]


def test_the_check_names_a_decision_whose_document_is_another(governed, as_superuser):
    _, decision = governed
    DecisionInput.objects.create(decision_id=decision, document={"a": "else"}, at=AT)
    assert wrong() == {"records": False}
    named = f"The document of dec_{decision.hex} is not the one it was decided by."
    assert said("records") == named


@pytest.mark.parametrize(
    "change",
    [
        "update decisions set reasons = '[\"Otherwise.\"]'",
        'update runs set output = \'{"text": "otherwise"}\'',
        "update runs set cost_micros = 7",
        "delete from decisions",
    ],
)
def test_a_changed_decision_or_run_is_found(governed, as_superuser, change):
    as_superuser(change)

    name = "dec" if "decisions" in change else "run"
    assert wrong() == {"records": False}
    assert said("records") == (f"{name}_{governed[name == 'dec'].hex} no longer says what it said.")


def test_a_run_or_decision_without_a_digest_is_missed(governed, as_superuser):
    """Written with the triggers off, which no role of the product can turn off."""
    for table in ("runs", "decisions"):
        with transaction.atomic():
            as_superuser(
                f"""insert into {table} select (jsonb_populate_record(t, jsonb_build_object(
                    'id', uuidv7(), 'idempotency_key', null))).* from {table} t"""
            )
            assert wrong() == {"records": False}
            assert "left no digest" in said("records")
            transaction.set_rollback(True)
    assert wrong() == {}


def test_records_are_looked_for_at_their_places(governed, as_superuser):
    assert misplaced_records(10) == []
    as_superuser("update trust_leaf set digest = sha256('x') where kind = 'decision'")

    assert misplaced_records(10) == [f"decision {governed[1]}"]
    assert wrong() == {"leaves": False, "records": False}


def test_a_leaf_that_slipped_in_among_sealed_ones_is_found(governed, as_superuser):
    """As one that was left after a restore into another cluster, whose transactions are older."""
    as_superuser(
        """insert into trust_leaf (id, org_id, kind, subject_id, digest, xid)
           select uuidv7(), org_id, 'thing', gen_random_uuid(), sha256('x'), 3 from trust_leaf
           limit 1"""
    )
    (leaf,) = Leaf.objects.filter(kind="thing")

    assert wrong() == {"leaves": False, "records": False}
    with pytest.raises(ProofFails):
        prove_leaf(leaf)
    assert prove_leaf(list_leaves(kind="run", subject_id=governed[0])[0])


def test_no_proof_is_given_that_does_not_hold(org, as_superuser):
    fill(2)
    event = AuditEvent.objects.latest("seq")
    assert prove_event(event)
    as_superuser(f"update audit_events set hash = sha256('x') where seq = {event.seq}")

    with pytest.raises(ProofFails):
        prove_event(get_event(event.seq))


def test_places_are_read_by_one_query_however_much_lies_between(org, as_superuser):
    """Not the tiles between, nor the checkpoints that took in no entry."""
    fill(3)
    newest = Checkpoint.objects.latest("number")
    first, last = AuditEvent.objects.earliest("seq").seq, newest.seq_to
    as_superuser(
        f"""insert into trust_checkpoint (id, org_id, number, at, size_before, size, seq_from,
                seq_to, xid_from, xid_to, root, note)
            select uuidv7(), c.org_id, c.number + n, c.at, c.size + n, c.size + n + 1, c.seq_to,
                c.seq_to, c.xid_to, c.xid_to, c.root, c.note
            from trust_checkpoint c, generate_series(0, 99) n where c.number = {newest.number}
              and n > 0"""
    )
    Tile.objects.create(level=0, index=1, hashes=b"x" * 8192)
    with CaptureQueriesContext(
        connection,
    ) as done:
        assert misplaced_events(first, last) == []
    assert len(done) == 1
    as_superuser(
        "update trust_tile set hashes = set_byte(hashes, 33, 1 + get_byte(hashes, 33) % 9)"
    )
    assert misplaced_events(first, last) == [2]


def test_a_copy_that_is_behind_is_a_warning(org):
    fill(2)
    copy = CheckpointCopy.objects.create(sink="webhook", number=1)
    assert wrong() == {}
    assert said("copy:webhook") == "Copied up to checkpoint 1 so far."
    assert wrong(timedelta(minutes=6)) == {"copy:webhook": True}

    CheckpointCopy.objects.update(failure="it answered 503")
    assert wrong() == {"copy:webhook": True}
    assert said("copy:webhook") == "Copied up to checkpoint 1; since then: it answered 503."
    assert report().valid
    assert copy.number == 1


def test_a_copy_that_can_not_be_is_a_fault_of_the_log(org):
    fill(2)
    copy = CheckpointCopy.objects.create(sink="objects", number=3)
    assert wrong() == {"copy:objects": False}
    assert said("copy:objects") == "Copied up to checkpoint 3, and the log ends at 2."

    copy.number, copy.differs, copy.failure = 1, True, "another checkpoint 2 is there already"
    copy.save()
    assert wrong() == {"copy:objects": False}
    assert not report().valid


def test_what_waits_for_long_to_be_sealed_is_told(org):
    fill(1)
    assert wrong(timedelta(minutes=6)) == {}
    record(90)

    assert wrong(timedelta(minutes=4)) == {}
    assert wrong(timedelta(minutes=6)) == {"sealing": True}


def test_a_leaf_that_waits_for_long_is_told_too(org):
    fill(1)
    leave()

    assert wrong(timedelta(minutes=6)) == {"sealing": True}


def test_transactions_that_are_counted_anew_are_a_fault(org, monkeypatch):
    fill(1)
    monkeypatch.setattr(sealer, "oldest_running", lambda: 3)

    assert wrong() == {"sealing": False}
    assert "after a restore into another cluster" in said("sealing")


def test_right_after_its_key_was_revoked_the_newest_checkpoint_is_a_warning(org):
    fill(1)
    revoke_signing_key(
        key_id=SigningKey.objects.get(state="active").id, actor=SYSTEM, at=AT, reason="Lost"
    )
    assert wrong() == {"signature": True}
    assert said("signature").endswith("; the next one is due.")
    assert report().valid

    assert seal(at=AT)
    assert wrong() == {}


def test_a_signature_of_no_key_that_nothing_follows_is_a_fault(org, as_superuser):
    fill(1)
    as_superuser("update signing_keys set state = 'revoked', secret_ref = '', revoked_at = now()")

    assert wrong() == {"signature": False}


def test_a_run_that_left_several_digests_tells_them_all(governed):
    Run.objects.filter(id=governed[0]).update(cost_micros=7)

    leaves = list_leaves(kind="run", subject_id=governed[0])
    assert [leaf.aside["cost_micros"] for leaf in leaves] == [7, 0]
