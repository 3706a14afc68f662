"""The functions and the trigger that move runs; see the SQL beside this file."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0002_spine.sql"
UNDO = """
drop trigger run_moves on runs;
drop function guard_run_moves, forget_keys, reap_run, renew_leases, claim_run, end_step, begin_step, check_run,
  close_run, stop_runs, discard_steps, admit, lock_open, keyed_run, put_notes, depth_limit;
alter table runs reset (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), UNDO)]
