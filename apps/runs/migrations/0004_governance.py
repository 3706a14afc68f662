"""Policies and approvals in the life of a run; see the SQL beside this file."""

from importlib import import_module
from pathlib import Path

from django.db import migrations, models

import apps.common.ids
import apps.common.models

before = import_module("apps.runs.migrations.0002_spine")
SQL = Path(__file__).parent / "sql" / "0004_governance.sql"
# Back to the functions of 0002, all of them: each is replaced whole.
UNDO = f"""
drop function put_decision, is_stale, question_limit, suspend_run, resume_run, deny_run;
{before.UNDO}
{before.SQL.read_text()}
"""


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0003_models"),
        ("orgs", "0004_domains"),
        ("policies", "0001_initial"),
        ("runs", "0003_saved_views"),
    ]

    operations = [
        migrations.CreateModel(
            name="KnownHost",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=apps.common.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "org_id",
                    models.UUIDField(db_default=apps.common.models.CurrentOrg(), editable=False),
                ),
                ("host", models.CharField(max_length=255)),
                ("first_at", models.DateTimeField()),
            ],
            options={
                "db_table": "known_hosts",
            },
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="run_open_below",
        ),
        migrations.AddField(
            model_name="run",
            name="approval_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="decision_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="is_sealed",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name="run",
            name="member_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="resumed",
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="step",
            name="call_key",
            field=models.CharField(blank=True, db_default="", max_length=64),
        ),
        migrations.AddField(
            model_name="step",
            name="is_sealed",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(
                    ("parent__isnull", False),
                    ("status__in", ["queued", "running", "awaiting_approval"]),
                ),
                fields=["parent"],
                name="run_open_below",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("is_sealed", True)), fields=["id"], name="run_sealed"
            ),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(
                condition=models.Q(("is_sealed", True)), fields=["id"], name="step_sealed"
            ),
        ),
        migrations.AddConstraint(
            model_name="knownhost",
            constraint=models.UniqueConstraint(fields=("host",), name="known_host_once"),
        ),
        migrations.RunSQL(SQL.read_text(), UNDO),
    ]
