"""Runs that end and decisions leave their digests; see the SQL beside this file."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0005_leaves.sql"
UNDO = """
drop trigger decision_left on decisions;
drop trigger run_left on runs;
drop trigger run_left_refused on runs;
drop trigger run_stays on runs;
drop function leave_decision, leave_run, keep_run;
drop function decision_record(decisions), run_record(runs, jsonb);
drop function fingerprint(jsonb, text), micros_of(timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0001_initial"),
        ("runs", "0004_governance"),
        ("trust", "0004_leave"),
    ]

    operations = [migrations.RunSQL(SQL.read_text(), UNDO)]
