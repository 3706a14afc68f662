"""The sealer: all that is on record gets its place, however late it was committed."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import connection, transaction

from apps.common.actors import SYSTEM
from apps.common.ids import uuid7
from apps.tenants import keys
from apps.trust import note, selectors
from apps.trust.errors import LogDisplaced
from apps.trust.leaves import hash_of_event, hash_of_leaf
from apps.trust.models import AuditEvent, Checkpoint, Leaf, Tile
from apps.trust.services import record_event, rotate_signing_key, sealer
from apps.trust.services.sealer import seal, sweep_seal
from apps.trust.tree import open_tree
from tests.trust.test_merkle import defined_root

AT = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = bytes(range(32))


def record(name="n"):
    about = {"action": "orgs.project.renamed", "subject_type": "project", "subject_id": "prj_1"}
    with transaction.atomic():
        return record_event(actor=SYSTEM, new={"name": name}, at=AT, **about)


def leave(kind="run", subject_id=None, digest=DIGEST):
    subject_id = subject_id or uuid7()
    with connection.cursor() as cursor:
        cursor.execute("select leave(%s, %s, %s)", [kind, subject_id, digest])
    return subject_id


def hashes_in_order():
    """The leaves of the tree as the checkpoints say that they lie."""
    found = []
    for c in Checkpoint.objects.order_by("number"):
        events = AuditEvent.objects.filter(seq__gt=c.seq_from, seq__lte=c.seq_to).order_by("seq")
        found += [hash_of_event(bytes(e.hash)) for e in events]
        leaves = Leaf.objects.filter(xid__gte=c.xid_from, xid__lt=c.xid_to).order_by("xid", "id")
        found += [
            hash_of_leaf(kind=x.kind, subject_id=x.subject_id, digest=bytes(x.digest))
            for x in leaves
        ]
        assert len(found) == c.size
    return found


def test_audit_events_are_taken_in_and_the_head_is_signed(org):
    last = record()
    checkpoint = seal(at=AT)

    assert (checkpoint.number, checkpoint.size_before, checkpoint.seq_from) == (1, 0, 0)
    assert (checkpoint.size, checkpoint.seq_to) == (last.seq, last.seq)
    head, _ = note.verify(checkpoint.note, keys=note.note_keys(selectors.jwks()["keys"]))
    assert head == note.Head(f"mandate/acme/{org.id}", last.seq, bytes(checkpoint.root))
    assert head.root == defined_root(hashes_in_order())


def test_nothing_new_is_no_checkpoint(org):
    record()
    assert seal(at=AT) is not None

    assert seal(at=AT) is None
    assert Checkpoint.objects.count() == 1


def test_a_tree_grows_from_seal_to_seal(org):
    for _ in range(3):
        record()
        seal(at=AT)
    first, second, third = Checkpoint.objects.order_by("number")

    assert [c.size_before for c in (second, third)] == [first.size, second.size]
    tree = open_tree(third.size)
    assert tree.root(first.size) == bytes(first.root)
    assert tree.root() == bytes(third.root) == defined_root(hashes_in_order())
    assert Tile.objects.count() == 1


def test_more_than_a_batch_is_taken_in_several(org):
    for _ in range(5):
        record()
    sizes = []
    while checkpoint := seal(at=AT, batch=2):
        sizes.append(checkpoint.size)

    assert sizes == [*range(2, sizes[-1], 2), sizes[-1]]
    assert Checkpoint.objects.get(size=sizes[-1]).seq_to == record().seq - 1


def test_during_a_rotation_a_checkpoint_carries_both_signatures(org):
    from apps.trust.services import create_signing_key

    create_signing_key(actor=SYSTEM, at=AT)
    both = seal(at=AT)
    rotate_signing_key(actor=SYSTEM, at=AT)
    after = seal(at=AT)
    held = note.note_keys(selectors.jwks()["keys"])

    assert len(held) == 2
    assert note.verify(both.note, keys=held)[1] == set(held)
    assert len(note.verify(after.note, keys=held)[1]) == 1


def test_a_seal_takes_few_statements(org, django_assert_num_queries):
    record()
    # A savepoint and its end, the lock, the last head, the edge, events, leaves, the tile, its
    # write, the org, the keys and one to open, the checkpoint.
    with django_assert_num_queries(13):
        seal(at=AT)


def test_the_sealer_stops_where_transactions_are_counted_anew(org, monkeypatch):
    """After a restore into another cluster: what it took in now would stand where nobody seals."""
    record()
    seal(at=AT)
    record()
    monkeypatch.setattr(sealer, "oldest_running", lambda: 3)
    with pytest.raises(LogDisplaced):
        seal(at=AT)
    assert Checkpoint.objects.count() == 1

    monkeypatch.undo()
    assert seal(at=AT)


def test_a_leaf_is_dated_by_the_database_only(org):
    row = "uuidv7(), 'run', uuidv7(), sha256('x')"
    for column, value in (("xid", 3), ("xid", "default"), ("org_id", f"'{org.id}'")):
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            connection.cursor().execute(
                f"insert into trust_leaf (id, kind, subject_id, digest, {column})"
                f" values ({row}, {value})"
            )
    assert not Leaf.objects.exists()
    leave()
    assert Leaf.objects.get().org_id == org.id


def test_the_application_can_change_no_leaf_and_no_checkpoint(org):
    leave()
    record()
    seal(at=AT)
    for statement in (
        "update trust_leaf set kind = 'x'",
        "delete from trust_leaf",
        "update trust_checkpoint set size = 0",
        "delete from trust_checkpoint",
    ):
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)
    assert (Leaf.objects.count(), Checkpoint.objects.count()) == (1, 1)


@pytest.fixture(scope="module")
def sealed_orgs() -> list:
    return []


@pytest.fixture
def busy(throwaway_org, sealed_orgs, alone):
    """An org that real commits go into, one for the module."""
    if not sealed_orgs:
        sealed_orgs.append(throwaway_org())
    with keys.holding(sealed_orgs[0].schema, sealed_orgs[0].id):
        sweep_seal(AT)
        yield sealed_orgs[0]


@contextmanager
def beside(org, work):
    """Do `work` in a transaction of another connection that stays open until the block ends."""
    done, go = threading.Event(), threading.Event()

    def run():
        with keys.holding(org.schema, org.id):
            try:
                with transaction.atomic():
                    work()
                    done.set()
                    go.wait(30)
            finally:
                done.set()
                connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert done.wait(30)
    try:
        yield
    finally:
        go.set()
        thread.join(30)


def test_leaves_are_taken_in_by_their_transactions(busy):
    first, second = leave(), leave("decision")
    checkpoint = seal(at=AT)

    assert checkpoint.size == checkpoint.size_before + 2
    mine = Leaf.objects.filter(xid__gte=checkpoint.xid_from, xid__lt=checkpoint.xid_to)
    assert list(mine.order_by("xid", "id").values_list("subject_id", flat=True)) == [first, second]
    assert bytes(checkpoint.root) == defined_root(hashes_in_order())


def test_a_leaf_that_is_committed_late_is_not_passed_over(busy):
    early, late = uuid4(), uuid4()
    size = Checkpoint.objects.order_by("-number").values_list("size", flat=True)[0]
    with beside(busy, lambda: leave(subject_id=late)):
        leave(subject_id=early)  # younger than the one that is still open, and committed
        assert seal(at=AT) is None
        record()  # what needs no waiting doesn't wait
        assert seal(at=AT).size == size + 1
    checkpoint = seal(at=AT)

    assert checkpoint.size == size + 3
    lying = Leaf.objects.filter(xid__gte=checkpoint.xid_from, xid__lt=checkpoint.xid_to)
    assert list(lying.order_by("xid", "id").values_list("subject_id", flat=True)) == [late, early]
    assert bytes(checkpoint.root) == defined_root(hashes_in_order())


def test_a_leaf_that_is_never_committed_leaves_no_gap(busy):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        leave()
        _ = 1 / 0
    assert seal(at=AT) is None
    leave()

    assert seal(at=AT).size == len(hashes_in_order())


def test_a_transaction_is_never_divided_between_two_seals(busy):
    leave()
    with transaction.atomic():
        for _ in range(5):
            leave()
    leave()
    sizes = []
    while checkpoint := seal(at=AT, batch=3):
        sizes.append(checkpoint.size - checkpoint.size_before)

    assert sizes == [1, 5, 1]
    assert bytes(Checkpoint.objects.latest("number").root) == defined_root(hashes_in_order())


def test_two_sealers_never_work_at_once(busy):
    with beside(busy, lambda: seal(at=AT)):
        record()
        assert seal(at=AT) is None  # the other one holds the lock, though it sealed nothing

    assert seal(at=AT) is not None


def test_the_sweeper_seals_what_waits(busy):
    from apps.tenants import sweeping

    leave()
    before = Checkpoint.objects.count()
    with keys.holding():
        sweeping.sweep(at=datetime.now(UTC))

    assert Checkpoint.objects.count() == before + 1
