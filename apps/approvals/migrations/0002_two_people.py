"""What the database itself sees to: who asked doesn't decide, and what was asked stays."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0002_two_people.sql"
UNDO = """
drop trigger approval_moves on approvals;
drop trigger approval_stays on approvals;
drop trigger approval_begins on approvals;
drop function guard_approval_move, guard_approval, guard_new_approval;
alter table approval_votes drop constraint approval_vote_of_another, drop constraint approval_vote_barred;
alter table approvals drop constraint approval_of_another, drop constraint approval_human_is_barred,
  drop constraint approval_barred;
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), UNDO)]
