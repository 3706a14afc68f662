"""Abstract models only: what every tenant row has in common. This app has no tables."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.common.ids import uuid7


class CurrentOrg(models.Func):
    """The org that the session holds the key of, as SQL; NULL (so: refused) without one.

    After a SET LOCAL has ended the setting is '' and not NULL, hence the nullif.
    """

    template = "(nullif(current_setting('app.org_id', true), '')::uuid)"
    output_field = models.UUIDField()


class TenantModel(models.Model):
    """A row of one org: `org_id` is the second key, filled in and enforced by Postgres.

    Row-level security compares `org_id` with `app.org_id` (apps.tenants.rls), so code never sets
    it. `app_grants` is what the application's login may do to the table, or to columns of it
    (`insert (a, b)`): records that must outlive every mistake leave out update and delete.
    """

    app_grants: ClassVar[tuple[str, ...]] = ("select", "insert", "update", "delete")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    org_id = models.UUIDField(db_default=CurrentOrg(), editable=False)

    class Meta:
        abstract = True
