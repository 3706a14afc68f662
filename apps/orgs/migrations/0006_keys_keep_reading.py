"""What runs took and gave is a permission of its own now: a key that was narrowed to seeing runs
when the one included the other goes on seeing what it saw.
"""

from django.db import migrations

WIDEN = """
update api_keys set scopes = scopes || '["data.read"]'::jsonb
where scopes @> '["runs.view"]' and not scopes @> '["data.read"]'
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0005_custom_roles")]

    operations = [migrations.RunSQL(WIDEN, migrations.RunSQL.noop)]
