"""Must hold whatever is flipped: 5,000 bits of the log's rows, by who rules the database."""

import random
import time

import pytest

from apps.trust.models import AuditEvent
from tests.trust import flips
from tests.trust.log import export, fill, papers
from tests.trust.test_verifier import replace

FLIPS = 5_000
SEED = 20_270_131

# One bit of one byte of a column of a row; what is no UTF-8 or no JSON afterwards can't be stored.
FLIPPED = "convert_from(set_byte({bytes}, {at}, get_byte({bytes}, {at}) # {bit}), 'UTF8')"
TEXT = "{column} = " + FLIPPED.replace("{bytes}", "convert_to({column}, 'UTF8')")
JSON = "{column} = " + FLIPPED.replace("{bytes}", "convert_to({column}::text, 'UTF8')") + "::jsonb"
BYTES = "{column} = set_byte({column}, {at}, get_byte({column}, {at}) # {bit})"
NUMBER = "seq = seq # (1::bigint << {at})"
MOMENT = "at = at + (1::bigint << {at}) * interval '1 us'"
WORDS = ("actor_type", "actor_id", "actor_label", "action", "subject_type", "subject_id", "body")
FORMS = {"prev": BYTES, "hash": BYTES, "detail": JSON, "seq": NUMBER, "at": MOMENT}


def a_flip(chooser):
    """SQL that flips one bit somewhere in a row, and which row."""
    event = chooser.choice(list(AuditEvent.objects.all()))
    column = chooser.choice([*WORDS, "prev", "hash", "detail", "seq", "at"])
    if column in {"seq", "at"}:
        at = chooser.randrange(1, 40)
    elif column == "detail":
        at = chooser.randrange(len(str(event.detail)))
    else:
        at = chooser.randrange(max(1, len(getattr(event, column))))
    bit = 1 << chooser.randrange(8)
    change = FORMS.get(column, TEXT).format(column=column, at=at, bit=bit)
    return event.seq, f"update audit_events set {change} where seq = {event.seq}"


@pytest.mark.proof
def test_no_flip_in_the_database_and_none_in_the_files_is_missed(org, as_superuser, capsys):
    from django.db import DataError, IntegrityError, transaction

    fill()
    held, chooser, began = papers(), random.Random(SEED), time.monotonic()
    tried = refused = same = 0
    missed, unnamed = [], []
    while tried < FLIPS:
        seq, statement = a_flip(chooser)
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
        elif not any(f"entry {seq}:" in line for line in findings):
            unnamed.append((statement, findings))
    files = flips.missed(held, FLIPS, chooser)
    with capsys.disabled():
        print(
            f"\nflips: seed {SEED}; {tried} in rows: {len(missed)} missed, {len(unnamed)} not "
            f"named by their entry ({refused} refused by Postgres, {same} without effect); "
            f"{FLIPS} in the files: {len(files)} missed; {time.monotonic() - began:.0f} s"
        )
    assert (missed, unnamed, files) == ([], [], [])
