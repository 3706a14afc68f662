"""Must hold whatever is flipped: 5,000 bits of the log's rows, by who rules the database."""

import os
import random
import time
from dataclasses import dataclass

import pytest

from apps.policies.models import Decision
from apps.runs.models import Run
from apps.trust.models import AuditEvent, Leaf
from apps.trust.services import sealer
from tests.runs.factories import make_agent
from tests.trust import flips
from tests.trust.log import edge_beyond_here, export, fill, papers, work
from tests.trust.test_verifier import replace

FLIPS = int(os.environ.get("FLIPS", 5_000))
SEED = 20_270_131

# One bit of one byte of a column of a row; what is no UTF-8 or no JSON afterwards can't be stored.
FLIPPED = "set_byte({bytes}, {at}, get_byte({bytes}, {at}) # {bit})"
TEXT = "{column} = convert_from({0}, 'UTF8')".replace(
    "{0}", FLIPPED.replace("{bytes}", "convert_to({column}::text, 'UTF8')")
)
FORMS = {
    "text": TEXT,
    "json": f"{TEXT}::jsonb",
    "bytes": "{column} = " + FLIPPED.replace("{bytes}", "{column}"),
    "id": "{column} = encode({0}, 'hex')::uuid".replace(
        "{0}", FLIPPED.replace("{bytes}", "uuid_send({column})")
    ),
    "number": "{column} = {column} # (1::bigint << {at})",
    "moment": "{column} = {column} + (1::bigint << {at}) * interval '1 us'",
}
SPANS = {"id": (0, 16), "number": (0, 31), "moment": (1, 40)}
"""Which byte, or bit, a flip may hit; of the others as many as there are."""


@dataclass(frozen=True, eq=False)
class Table:
    """Where flips hit: the columns by how they are flipped, and how a finding names a row."""

    model: type
    columns: dict[str, str]
    name: str = ""


def columns(**forms):
    return {column: form for form, names in forms.items() for column in names.split()}


EVENTS = Table(
    AuditEvent,
    columns(
        text="actor_type actor_id actor_label action subject_type subject_id body",
        bytes="prev hash",
        json="detail",
        number="seq",
        moment="at",
    ),
    "entry {0.seq}:",
)
RUNS = Table(
    Run,
    columns(
        text="tool title status mode environment caller_type caller_id caller_label session_id",
        json="input output error usage",
        number="cost_micros lease_no",
        moment="created_at started_at finished_at",
        id="id agent_id manifest_id project_id root_id",
    ),
    "record run {0.id.hex}:",
)
DECISIONS = Table(
    Decision,
    columns(
        text="tool action result caller_type caller_id caller_label",
        json="reasons policies obligations shadows",
        bytes="input_digest",
        number="ordinal bundle micros",
        moment="at",
        id="id run_id agent_id",
    ),
    "record decision {0.id.hex}:",
)
LEAVES = Table(
    Leaf, columns(text="kind", bytes="digest", json="aside", number="xid", id="id subject_id")
)
TABLES = {EVENTS: 5, RUNS: 4, DECISIONS: 4, LEAVES: 2}


def a_flip(chooser, rows):
    """SQL that flips one bit somewhere in a row, and how a finding names that row."""
    (table,) = chooser.choices(list(TABLES), list(TABLES.values()))
    row, column = chooser.choice(rows[table]), chooser.choice(list(table.columns))
    form, value = table.columns[column], getattr(row, column)
    size = len(bytes(value) if form == "bytes" else str(value).encode())
    at = chooser.randrange(*SPANS.get(form, (max(1, size),)))
    bit = 1 << chooser.randrange(8)
    change = FORMS[form].format(column=column, at=at, bit=bit)
    target = table.model._meta.db_table
    return f"update {target} set {change} where id = '{row.id}'", table.name.format(row)


@pytest.fixture
def everything(org, monkeypatch):
    """A log of entries, runs, what one of them cost in the end, and decisions, all sealed."""
    fill(5)
    agent = make_agent("echo")
    for n in range(4):
        run, _ = work(agent, n)
    Run.objects.filter(id=run).update(cost_micros=7, usage={"requests": 2, "input_tokens": 31})
    monkeypatch.setattr(sealer, "oldest_running", edge_beyond_here)
    fill(1)
    return papers()


@pytest.mark.proof
def test_no_flip_in_the_database_and_none_in_the_files_is_missed(everything, as_superuser, capsys):
    from django.db import DataError, IntegrityError, transaction

    held, chooser, began = everything, random.Random(SEED), time.monotonic()
    rows = {table: list(table.model.objects.all()) for table in TABLES}
    assert held.findings() == []
    assert "9 other records" in held.summary()
    tried = refused = same = 0
    missed, unnamed = [], []
    while tried < FLIPS:
        statement, name = a_flip(chooser, rows)
        try:
            with transaction.atomic():
                as_superuser(statement)
                found = export()
                transaction.set_rollback(True)
        except (DataError, IntegrityError):  # no UTF-8, no JSON, no such byte, a number twice
            refused += 1
            continue
        if found == held.export:
            same += 1  # white space of a jsonb, say: nothing changed
            continue
        tried += 1
        findings = replace(held, export=found).findings()
        if not findings:
            missed.append(statement)
        elif not any(name in line for line in findings):
            unnamed.append((statement, findings))
    files = flips.missed(held, FLIPS, chooser)
    with capsys.disabled():
        print(
            f"\nflips: seed {SEED}; {tried} in rows: {len(missed)} missed, {len(unnamed)} not "
            f"named by their row ({refused} refused by Postgres, {same} without effect); "
            f"{FLIPS} in the files: {len(files)} missed; {time.monotonic() - began:.0f} s"
        )
    assert (missed, unnamed, files) == ([], [], [])
