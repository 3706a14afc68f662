"""Keys of an agent's own. Agents stand above orgs, so their table is there first: this comes after
the migrations that make it, which come after those of orgs before this one.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0002_agent_status"),
        ("orgs", "0002_invitation_state"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="agent",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="agents.agent",
            ),
        ),
        migrations.AddIndex(
            model_name="apikey",
            index=models.Index(
                condition=models.Q(("agent__isnull", False)),
                fields=["agent", "-created_at", "-id"],
                name="api_key_of_agent",
            ),
        ),
    ]
