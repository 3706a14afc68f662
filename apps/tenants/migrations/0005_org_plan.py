"""Every org has a plan; those that are there already are on the standard one."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

STANDARD = "0199a000-0000-7000-8000-000000000001"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_standard_plan")]

    operations = [
        migrations.AddField(
            model_name="org",
            name="plan",
            field=models.ForeignKey(
                default=uuid.UUID(STANDARD),
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orgs",
                to="tenants.plan",
            ),
            preserve_default=False,
        ),
    ]
