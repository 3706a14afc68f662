"""Jobs of the shared schema; those on the provisioner's queue hold the owner's login."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.tenants.services import orgs
from apps.tenants.tasking import SharedTask


@shared_task(name="tenants.provision_org", base=SharedTask)
def provision_org(*, org_id: str, **_: Any) -> None:
    orgs.provision_org(org_id=UUID(org_id), at=timezone.now())


@shared_task(name="tenants.migrate_org", base=SharedTask)
def migrate_org(*, org_id: str, **_: Any) -> None:
    orgs.migrate_org(org_id=UUID(org_id), at=timezone.now())


@shared_task(name="tenants.erase_org", base=SharedTask)
def erase_org(*, org_id: str, **_: Any) -> None:
    orgs.erase_org(org_id=UUID(org_id), at=timezone.now())
