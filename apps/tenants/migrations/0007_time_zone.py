"""What zone a person's times are written in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_domains")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(
                default="UTC",
                help_text="what times are written in for this person",
                max_length=40,
            ),
        )
    ]
