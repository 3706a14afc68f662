"""Sessions of operators who look as a member, and the tickets that lead there."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="impersonator",
            field=models.ForeignKey(
                help_text="the operator who looks through this member's eyes",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="session",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("impersonator", None), ("parent__isnull", False), _connector="OR"
                ),
                name="session_of_an_impersonator_has_a_parent",
            ),
        ),
        migrations.AddField(
            model_name="ticket",
            name="impersonation",
            field=models.JSONField(null=True),
        ),
    ]
