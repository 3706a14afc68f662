"""Members have groups, which policies read."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0006_keys_keep_reading")]

    operations = [
        migrations.AddField(
            model_name="member",
            name="groups",
            field=models.JSONField(
                db_default=[], default=list, help_text="sorted; policies go by them"
            ),
        )
    ]
