"""Domains for tests: a resolver that says what it is told, and a domain that is proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.orgs.models import OrgDomain
from apps.orgs.services import domains
from apps.tenants.gateways.dns import LookupFailed


@dataclass
class FakeResolver:
    """The very edge: TXT records by name; a name that is `dead` gets no answer at all."""

    records: dict[str, list[str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str, /) -> list[str]:
        self.asked.append(name)
        if name in self.dead:
            raise LookupFailed("nobody answered")
        return self.records.get(name, [])

    def publish(self, domain: OrgDomain) -> None:
        self.records[domain.record_name] = ["v=spf1 -all", domain.record_value]


def verified_domain(
    name: str, *, by: Any, kind: str = "host", at: datetime | None = None
) -> OrgDomain:
    """A domain whose record was found; needs the org's keys held."""
    at = at or timezone.now()
    domain = domains.add_domain(kind=kind, name=name, by=by, at=at)
    resolver = FakeResolver()
    resolver.publish(domain)
    return look(domain, resolver, at=at)


def look(domain: OrgDomain, resolver: FakeResolver, *, at: datetime) -> OrgDomain:
    """The domain after a look-up that was asked for."""
    OrgDomain.objects.filter(id=domain.id).update(check_asked_at=at)
    found = domains.check_domain(domain_id=domain.id, at=at, resolve=resolver)
    assert found is not None
    return found
