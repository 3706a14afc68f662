"""The plan that everybody is on: without limits, so nothing changes for anyone."""

from typing import Any

from django.db import migrations

STANDARD = "0199a000-0000-7000-8000-000000000001"


def add(apps: Any, schema_editor: Any) -> None:
    plans = apps.get_model("tenants", "Plan").objects.using(schema_editor.connection.alias)
    plans.create(id=STANDARD, code="standard", name="Standard", is_default=True)


def remove(apps: Any, schema_editor: Any) -> None:
    plans = apps.get_model("tenants", "Plan").objects.using(schema_editor.connection.alias)
    plans.filter(id=STANDARD).delete()


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_plan")]

    operations = [migrations.RunPython(add, remove)]
