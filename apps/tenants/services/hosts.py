"""What the apex knows of an org's domains: only what is proved, each of one org.

That it is proved, and on whose word, the org's own rows say (`orgs.OrgDomain`); these come and go
in the same commit as their state.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.tenants.errors import DomainTaken
from apps.tenants.models import Domain, MailDomain, Org, Session, Ticket


def lock(*, org_id: UUID) -> None:
    """Let nobody else change this org's domains before the transaction ends; taken before any of
    their rows. Who only refers to the org doesn't wait.
    """
    Org.objects.select_for_update(no_key=True).filter(id=org_id).values("id").get()


def claim_host(*, org_id: UUID, host: str) -> None:
    """Have a host lead to the org from the commit on. Raises DomainTaken for another's."""
    try:
        with transaction.atomic():
            Domain.objects.create(tenant_id=org_id, domain=host, is_primary=False)
    except IntegrityError as error:
        raise DomainTaken from error


def release_host(*, org_id: UUID, host: str) -> None:
    """From the commit on the host leads nowhere, and whoever entered by it has left."""
    Domain.objects.filter(tenant_id=org_id, domain=host).delete()
    Session.objects.filter(org_id=org_id, host=host).delete()
    Ticket.objects.filter(org_id=org_id, host=host).delete()


def set_primary_host(*, org_id: UUID, host: str) -> None:
    """Have links lead to this host of the org's, or with "" to its own again; needs `lock`."""
    org = Org.objects.get(id=org_id)
    org.host = host
    org.save(update_fields=["host"])
    rows = Domain.objects.filter(tenant_id=org_id)
    chosen = rows.get(domain=host) if host else rows.order_by("id")[0]
    rows.exclude(pk=chosen.pk).update(is_primary=False)
    rows.filter(pk=chosen.pk).update(is_primary=True)


def claim_mail_domain(*, org_id: UUID, domain: str, at: datetime) -> None:
    """Note whose a mail domain is. Raises DomainTaken for another's."""
    try:
        with transaction.atomic():
            MailDomain.objects.create(domain=domain, org_id=org_id, created_at=at)
    except IntegrityError as error:
        raise DomainTaken from error


def release_mail_domain(*, org_id: UUID, domain: str) -> None:
    MailDomain.objects.filter(org_id=org_id, domain=domain).delete()
