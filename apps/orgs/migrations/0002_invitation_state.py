"""Let Postgres itself start an invitation in its first state.

Not by `db_default`: Django would read the value back into the protected field after each INSERT.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "alter table invitations alter state set default 'pending'",
            "alter table invitations alter state drop default",
        )
    ]
