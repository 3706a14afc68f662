"""Let Postgres itself start an agent in its first state.

Not by `db_default`: Django would read the value back into the protected field after each INSERT.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "alter table agents alter status set default 'draft'",
            "alter table agents alter status drop default",
        )
    ]
