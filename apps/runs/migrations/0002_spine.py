"""The functions and the trigger that move runs; see the SQL beside this file."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0002_spine.sql"
UNDO = """
drop trigger run_moves on runs;
drop function guard_run_moves, reap_runs, stop_runs, renew_leases, claim_run, check_run, end_step, begin_step,
  close_run, admit, put_notes, depth_limit;
alter table runs reset (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), UNDO)]
