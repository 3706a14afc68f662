"""The functions and the trigger that move runs; see the SQL beside this file."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0002_spine.sql"
UNDO = """
drop trigger run_moves on runs;
drop trigger run_told on runs;
drop trigger run_move_told on runs;
drop trigger step_told on steps;
drop trigger log_told on run_logs;
drop function guard_run_moves, forget_keys, reap_run, renew_leases, claim_run, end_step, begin_step, check_run,
  close_run, put_spent, stop_runs, discard_steps, turns_before, admit, lock_open, keyed_run, put_notes, depth_limit, tell_log, tell_step,
  tell_move, watch_run, tell_status, tell;
alter table runs reset (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), UNDO)]
