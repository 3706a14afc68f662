"""The base of every task: it runs for one org, named in the message's header, or not at all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from celery import Task
from django.db import connections
from django.utils import timezone

from apps.tenants import keys, selectors
from apps.tenants.errors import NoTenant
from apps.tenants.models import Org
from apps.tenants.services import activity

HEADER = "mandate_org"


def org_header() -> dict[str, str]:
    """What a message carries of the code that sends it."""
    org_id = keys.current().org_id
    return {HEADER: str(org_id)} if org_id else {}


def replace_broken_connections() -> None:
    """Give up connections that failed the task before: a restart of Postgres costs one task."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()


class OrgTask(Task):  # type: ignore[type-arg]
    """A task that holds both keys of its message's org while it runs, and none afterwards.

    Without one it refuses: on `public` it would find nothing, and silently do nothing. A
    `SharedTask` serves all orgs and holds no key.
    """

    shared = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.request.is_eager:
            replace_broken_connections()
        with structlog.contextvars.bound_contextvars(task=self.name, task_id=self.request.id):
            if self.shared:
                with keys.holding():
                    return super().__call__(*args, **kwargs)
            return self._run_for_org(args, kwargs)

    def _run_for_org(self, args: Any, kwargs: Any) -> Any:
        org_id = (self.request.headers or {}).get(HEADER)
        if not org_id:
            raise NoTenant(f"{self.name} was sent without an org")
        with keys.holding():
            org = selectors.get_org(UUID(org_id))
            if org.state != Org.State.ACTIVE:
                raise NoTenant(f"{self.name} was sent for an org that is {org.state}")
            activity.touch(org_id=org.id, at=timezone.now())
        with (
            structlog.contextvars.bound_contextvars(org=org.slug),
            keys.holding(org.schema, org.id),
        ):
            return super().__call__(*args, **kwargs)


class SharedTask(OrgTask):
    """One of the few tasks that serve all orgs: `@shared_task(name=…, base=SharedTask)`."""

    shared = True
