"""The offline verifier: believes the log as it is, and names what somebody did to it."""

import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from apps.common.actors import SYSTEM
from apps.runs.models import Run
from apps.trust.models import AuditEvent, Checkpoint
from apps.trust.services import (
    create_signing_key,
    revoke_signing_key,
    rotate_signing_key,
    sealer,
)
from apps.trust.services.sealer import seal
from apps.trust.standalone import verify_audit
from tests.runs.factories import make_agent
from tests.trust import flips
from tests.trust.log import AT, edge_beyond_here, export, fill, papers, record, work

UNSIGNED = "none of the keys has signed the newest one"
SCRIPT = Path(verify_audit.__file__)


@pytest.fixture
def held(org):
    """What an auditor holds of a log of some seals."""
    fill()
    return papers()


def last_seq():
    return AuditEvent.objects.latest("seq").seq


def test_an_untouched_log_is_valid(held):
    entries = held.export.count("\n") - 1

    assert held.findings() == []
    assert held.summary() == (
        f"{entries} entries, 0 erased, and 0 other records; 6 checkpoints, 0 of them signed by "
        "none of the keys; 0 records newer than the last"
    )


def test_what_is_newer_than_the_last_checkpoint_is_counted(held):
    record(90)
    later = papers()

    assert later.findings() == []
    assert later.summary().endswith("; 1 records newer than the last")


def test_it_runs_alone_and_says_by_its_status_what_it_found(held, tmp_path):
    """Isolated (-I -S would hide cryptography): no path of ours, no environment, another folder."""
    script = tmp_path / "verify_audit.py"
    script.write_bytes(SCRIPT.read_bytes())
    (tmp_path / "jwks.json").write_text(json.dumps(held.jwks))
    (tmp_path / "notes.txt").write_text(held.notes)

    def run(text):
        (tmp_path / "audit.jsonl").write_text(text)
        line = [sys.executable, "-I", script, "audit.jsonl", "--checkpoints", "notes.txt"]
        return subprocess.run(
            [*line, "--keys", "jwks.json"], cwd=tmp_path, env={}, capture_output=True, text=True
        )

    good, bad = run(held.export), run(held.export.replace("a4", "a9"))
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "VALID")
    assert (bad.returncode, bad.stdout.splitlines()[-1]) == (1, "NOT VALID")
    assert "apps" not in SCRIPT.read_text().replace("maps", "")


@pytest.fixture
def governed(org, monkeypatch):
    """A log of a run that cost more after its end, and of a decision; their ids."""
    fill(2)
    run, decision = work(make_agent("echo"))
    Run.objects.filter(id=run).update(cost_micros=7)
    monkeypatch.setattr(sealer, "oldest_running", edge_beyond_here)
    record(80)
    assert seal(at=AT)
    assert papers().findings() == []
    assert "and 3 other records" in papers().summary()
    return run, decision


def test_a_record_is_verified_with_the_rest(governed):
    found = papers()
    lines = found.export.splitlines(keepends=True)
    (place, *_) = [n for n, line in enumerate(lines) if line.startswith('{"leaf":"run')]
    lines[place] = lines[place].replace('"run ', '"job ')
    (finding, *_) = replace(found, export="".join(lines)).findings()

    assert finding.startswith("checkpoint ")
    assert finding.endswith("what it signed is not what the log says")


CHANGES = [
    ("decisions", "reasons = '[\"Otherwise.\"]'"),
    ("decisions", "result = 'deny'"),
    ("runs", 'output = \'{"text": "otherwise"}\''),
    ("runs", "caller_label = 'Eve'"),
    ("runs", "cost_micros = 0"),
    ("runs", "usage = '{\"requests\": 1}'"),
    ("decisions", "micros = 1"),
]


@pytest.mark.parametrize(("table", "change"), CHANGES)
def test_a_changed_decision_or_run_is_named(governed, as_superuser, table, change):
    assert as_superuser(f"update {table} set {change}") == 1
    kind, row = {"runs": ("run", governed[0]), "decisions": ("decision", governed[1])}[table]

    assert set(papers().findings()) == {f"record {kind} {row.hex}: it doesn't say what it said"}


def test_a_changed_run_that_left_another_digest_is_named_by_its_first(
    org, as_superuser, monkeypatch
):
    """By who rules the database, and has it leave a digest of what it says now."""
    run, _ = work(make_agent("echo"))
    as_superuser("update runs set output = '{}', cost_micros = 7")
    as_superuser(
        """insert into trust_leaf (id, org_id, kind, subject_id, digest, aside)
           select uuidv7(), l.org_id, 'run', r.id, sha256(convert_to(run_record(r, a), 'UTF8')), a
           from runs r, trust_leaf l, lateral (select l.aside || '{"cost_micros": 7}' as a) x
           where l.subject_id = r.id"""
    )
    monkeypatch.setattr(sealer, "oldest_running", edge_beyond_here)
    assert seal(at=AT)

    assert papers().findings() == [f"record run {run.hex}: it doesn't say what it said"]
    assert "and 3 other records" in papers().summary()


def test_a_decision_or_run_that_is_gone_is_named(governed, as_superuser):
    run, decision = governed
    gone = [
        f"record {name} {row.hex}: it doesn't say what it said"
        for name, row in (("decision", decision), ("run", run), ("run", run))
    ]
    as_superuser("delete from decisions")
    assert papers().findings() == gone[:1]
    as_superuser("delete from runs")
    assert sorted(papers().findings()) == gone


def test_entries_are_named(held, as_superuser):
    seq = last_seq() - 4
    as_superuser(f"update audit_events set actor_label = 'Eve' where seq = {seq}")

    assert replace(held, export=export()).findings() == [
        f"entry {seq}: it doesn't say what its content says"
    ]


def test_a_changed_body_is_named(held, as_superuser):
    seq = last_seq() - 4
    as_superuser(f"update audit_events set body = replace(body, 'a', 'o') where seq = {seq}")

    assert (
        f"entry {seq}: its hash is not that of its content"
        in replace(held, export=export()).findings()
    )


def test_a_deleted_entry_is_named(held, as_superuser):
    seq = last_seq() - 4
    as_superuser(f"delete from audit_events where seq = {seq}")
    found = replace(held, export=export()).findings()

    assert f"entry {seq}: {seq + 1} stands in its place" in found
    assert any(line.startswith("checkpoint ") for line in found)


def test_exchanged_entries_are_named(held, as_superuser):
    seq = last_seq() - 4
    for old, new in ((seq, -1), (seq + 1, seq), (-1, seq + 1)):
        as_superuser(f"update audit_events set seq = {new} where seq = {old}")
    found = replace(held, export=export()).findings()

    assert f"entry {seq}: it doesn't hang on the one before" in found
    assert f"entry {seq}: its hash is not that of its content" in found


def test_a_truncated_log_is_noticed_by_its_newest_checkpoint(held, as_superuser):
    last = last_seq()
    as_superuser(f"delete from audit_events where seq = {last}")

    assert replace(held, export=export()).findings() == [
        f"checkpoint {last}: the log ends at {last - 1}"
    ]


RECHAIN = """
do $$
declare
  e record; after bytea; before bytea := (select hash from audit_events where seq = {seq} - 1);
begin
  for e in select * from audit_events where seq >= {seq} order by seq loop
    after := sha256('\\x00'::bytea || int8send(e.seq) || before || convert_to(e.body, 'UTF8'));
    update audit_events set prev = before, hash = after where seq = e.seq;
    before := after;
  end loop;
  update audit_head set hash = before;
end $$
"""


def forge(as_superuser, seq):
    """Change an entry and recompute all that hangs on it, as who rules the database can."""
    as_superuser(
        f"""update audit_events set actor_label = 'Eve', body = replace(body, 'Ana Ünal', 'Eve')
            where seq = {seq}"""
    )
    as_superuser(RECHAIN.format(seq=seq))


def test_a_recomputed_chain_is_named_by_the_first_checkpoint_that_saw_the_entry(held, as_superuser):
    seq = last_seq() - 4
    forge(as_superuser, seq)
    saw = Checkpoint.objects.filter(seq_to__gte=seq).order_by("number")
    sizes = list(saw.values_list("size", flat=True))

    assert replace(held, export=export()).findings() == [
        f"checkpoint {size}: what it signed is not what the log says" for size in sizes
    ]
    assert len(sizes) == 3


def test_a_log_that_was_sealed_anew_stands_against_what_had_left_the_database(held, as_superuser):
    """With the org's own key: nothing in the database tells any more, the copies outside do."""
    forge(as_superuser, last_seq() - 4)
    for table in ("trust_checkpoint", "trust_tile"):
        as_superuser(f"delete from {table}")
    assert seal(at=AT)
    forged = papers()

    assert forged.findings() == []
    assert replace(forged, notes=held.notes).findings() != []
    assert any(
        "is not what the log says" in line for line in replace(forged, notes=held.notes).findings()
    )


def test_another_org_s_checkpoints_do_not_count(held):
    slug = held.notes.replace("mandate/acme/", "mandate/evil/")

    assert replace(held, notes=slug).findings() != []
    assert replace(held, notes="").findings() == [f"checkpoint 0: {UNSIGNED}"]
    assert replace(held, jwks={"keys": []}).findings() == [f"checkpoint {last_seq()}: {UNSIGNED}"]


def test_checkpoints_are_verified_across_rotation_and_revocation(org):
    fill(2)
    create_signing_key(actor=SYSTEM, at=AT)  # from here on both keys sign
    fill(2)
    new = rotate_signing_key(actor=SYSTEM, at=AT)
    fill(2)
    rotated = papers()
    assert rotated.findings() == []

    last = rotate_signing_key(actor=SYSTEM, at=AT)
    revoke_signing_key(key_id=new.id, actor=SYSTEM, at=AT, reason="leaked")
    stale = papers()  # not sealed since: nothing is signed by a key that is still believed
    assert stale.findings() == [
        f"checkpoint {Checkpoint.objects.latest('number').size}: {UNSIGNED}"
    ]
    assert seal(at=AT)
    now = papers()
    assert (now.findings(), last.kid in {k["kid"] for k in now.jwks["keys"]}) == ([], True)
    assert "7 checkpoints, 2 of them signed by none of the keys" in now.summary()


def test_a_signature_by_somebody_else_is_passed_over(held):
    """A witness signs below the log's own signature, with a key and an algorithm of its own."""
    witness = "— witness.example/w1 AAAAAAECAwQFBgcICQoLDA0ODw==\n"
    signed = re.sub(r"(\n— [^\n]+\n)", r"\1" + witness, held.notes)
    assert signed.count(witness) == 6

    assert replace(held, notes=signed).findings() == []
    assert replace(held, notes=signed).summary() == held.summary()
    only = re.sub(r"\n— [^\n]+\n", f"\n{witness}", held.notes)
    assert replace(held, notes=only).findings() == [f"checkpoint {last_seq()}: {UNSIGNED}"]


def test_a_torn_note_is_named_and_the_others_are_checked(held):
    size = Checkpoint.objects.get(number=3).size
    notes = re.findall(r".*?\n\n.*?\n\n", held.notes, re.DOTALL)
    torn = "".join([*notes[:2], notes[2][:60] + "\n", *notes[3:]])

    assert len(notes) == 6
    assert replace(held, notes=torn).findings() == [
        f"checkpoints: {notes[2][:60] + chr(10)!r} can't be read"
    ]
    assert "; 5 checkpoints, 0 of them" in replace(held, notes=torn).summary()
    false = torn.replace(f"\n{Checkpoint.objects.get(number=5).size}\n", f"\n{size}\n")
    assert len(replace(held, notes=false).findings()) == 2


UNREADABLE = {
    "no UTF-8": b'{"leaf":"\xff","text":null}',
    "a surrogate": b'{"leaf":"\xed\xa0\x80","text":null}',
    "below zero": b'{"seq":-4,',
    "too deep": b"[" * 100_000,
    "too long a number": b"1" * 5_000,
    "a name twice": b'{"leaf":"a","leaf":"a","text":null}',
    "no object": b"[]",
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_line_that_cannot_be_read_is_named_whatever_is_wrong_with_it(held, line):
    lines = held.export.encode().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'{"seq":4,', line) if line.endswith(b",") else line + b"\n"
    findings, summary = held.check(export=b"".join(lines))

    assert findings[0] == "entry 4: line 5 can't be read"
    assert "; 6 checkpoints, 0 of them" in summary


def test_a_checkpoint_of_no_size_that_can_be_is_named(held):
    torn = re.sub(r"(?m)^[0-9]+$", "7" * 5_000, held.notes, count=1)
    first, *others = replace(held, notes=torn).findings()

    assert first.startswith("checkpoints: 'mandate/acme/") and first.endswith("can't be read")
    assert others == []


def test_no_flip_of_a_byte_is_missed(held):
    """The short form of tests/trust/test_flips.py."""
    assert flips.missed(held, 300, random.Random(5)) == []
