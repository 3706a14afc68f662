"""Which migrations belong to the schema that is being migrated."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings

from apps.tenants import keys


class SchemaRouter:
    """Shared apps migrate in `public`, tenant apps in an org's schema, on whatever alias."""

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        in_public = keys.current().schema == keys.PUBLIC
        wanted = settings.SHARED_APPS if in_public else settings.TENANT_APPS
        return None if apps.get_app_config(app_label).name in wanted else False
