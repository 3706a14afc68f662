"""Plans: how much an org may have."""

from django.db import migrations, models

import apps.common.ids


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_impersonation")]

    operations = [
        migrations.CreateModel(
            name="Plan",
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
                ("code", models.SlugField(max_length=40, unique=True)),
                ("name", models.CharField(max_length=80)),
                (
                    "member_limit",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="open invitations count too; empty: no limit",
                        null=True,
                    ),
                ),
                (
                    "agent_limit",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="all that aren't retired; empty: no limit",
                        null=True,
                    ),
                ),
                ("is_default", models.BooleanField(default=False, editable=False)),
            ],
            options={"db_table": "tenants_plan"},
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_default", True)),
                fields=("is_default",),
                name="plan_one_default",
            ),
        ),
    ]
