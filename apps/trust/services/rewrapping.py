"""Rotation of the master key: what an earlier one opens is wrapped anew by the present one."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from apps.tenants import keys
from apps.tenants.models import Org
from apps.tenants.services.factors import reseal_factors
from apps.trust.errors import SecretUnreadable
from apps.trust.secrets import get_secret_store


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How many organizations and second factors were rewrapped, and what no key here opens."""

    orgs: int
    factors: int
    unreadable: tuple[str, ...]

    @property
    def is_all(self) -> bool:
        """Whether no earlier master key is needed any more."""
        return not self.unreadable


def rewrap_all() -> Rewrapped:
    """Wrap the data key of every org by the present master key, and seal every second factor by it.

    Whatever state an org is in: one that is suspended may come back. It may be repeated at any
    time; what is wrapped by the present key is left as it is.
    """
    changed, unreadable = 0, []
    for org in Org.objects.exclude(state=Org.State.ERASED).order_by("slug"):
        with keys.holding(org.schema_name, org.id):
            try:
                changed += _has_secrets() and get_secret_store().rewrap()
            except SecretUnreadable:
                unreadable.append(f"organization {org.slug}")
    factors, lost = reseal_factors()
    unreadable += [f"second factor of {email}" for email in lost]
    return Rewrapped(changed, factors, tuple(unreadable))


def _has_secrets() -> bool:
    """Whether the org's schema is there yet."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('data_keys') is not null")
        return bool(cursor.fetchone()[0])
