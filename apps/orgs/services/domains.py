"""Domains of the org: put on the list, proved by a TXT record, chosen, taken away.

The name servers are asked by a job, with no transaction open and no row locked; what they said is
then written in one. Whoever changes domains holds `hosts.lock` first, so that their number, the one
that is primary and the apex's rows stay in step.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.common.actors import SYSTEM
from apps.common.errors import Invalid, NotFound, RateLimited
from apps.common.jobs import enqueue
from apps.common.ratelimit import Policy, default_limiter
from apps.orgs.domain_models import CHECKED_EVERY, LAPSES_AFTER, TRIED_AGAIN, OrgDomain
from apps.orgs.errors import DomainExists, DomainNotProved, TooManyDomains
from apps.orgs.principals import Principal
from apps.orgs.selectors import DOMAIN
from apps.orgs.services.recording import recorder
from apps.tenants import domains as names
from apps.tenants.errors import DomainTaken
from apps.tenants.gateways import dns
from apps.tenants.services import hosts

MOST: Final = 20
PATIENCE: Final = timedelta(seconds=30)
_BATCH: Final = 50
_record = recorder("domain", DOMAIN)
_Outcome = OrgDomain.Outcome
_ABSENT: Final = frozenset({_Outcome.MISSING, _Outcome.DIFFERENT})


def add_domain(*, kind: str, name: str, by: Principal, at: datetime) -> OrgDomain:
    """Put a domain on the list; it does nothing before its record is found.

    Others may have it on theirs: whoever proves it first has it. Raises Invalid for a name that
    nobody can have, DomainExists, TooManyDomains.
    """
    if kind not in OrgDomain.Kind.values:
        raise Invalid.of("kind", f"Use one of: {', '.join(OrgDomain.Kind.values)}.")
    checked = names.check_name(kind, name)
    with transaction.atomic():
        hosts.lock(org_id=by.org_id)
        if OrgDomain.objects.filter(kind=kind, name=checked).exists():
            raise DomainExists(f"{checked} is on your list already.")
        if OrgDomain.objects.count() >= MOST:
            raise TooManyDomains(f"An organization has at most {MOST} domains. Remove one first.")
        domain = OrgDomain.objects.create(
            kind=kind,
            name=checked,
            challenge=names.new_challenge(),
            added_by_id=by.member_id,
            created_at=at,
        )
        _record(domain, "added", by.actor, at, new={"kind": kind, "name": checked})
    return domain


def ask_check(*, domain_id: UUID, by: Principal, at: datetime) -> OrgDomain:
    """Have the domain's record looked for, by job, soon. Raises NotFound, RateLimited."""
    if not OrgDomain.objects.filter(id=domain_id).exists():
        raise NotFound
    _spend(by.org_id)
    with transaction.atomic():
        domain = _lock(domain_id, by.org_id)
        domain.check_asked_at = at
        domain.save(update_fields=["check_asked_at"])
        enqueue("orgs.check_domain", domain_id=str(domain_id))
    return domain


def check_domain(
    *, domain_id: UUID, at: datetime, resolve: dns.TxtResolver | None = None
) -> OrgDomain | None:
    """Look for the record that a due domain needs, and draw the conclusion; None if none is due.

    Idempotent: what a second look-up finds is only newer.
    """
    domain = OrgDomain.objects.filter(id=domain_id).first()
    if domain is None or not domain.is_due(at=at):
        return None
    outcome = _look_for(domain, resolve or dns.resolver())
    with transaction.atomic():
        return _settle(domain_id, domain.org_id, outcome, at)


def set_primary(*, domain_id: UUID, primary: bool, by: Principal, at: datetime) -> OrgDomain:
    """Have the org's links lead to this host, or, if they did, to the org's own again.

    Every host keeps working. Raises NotFound, DomainNotProved for what is no verified host.
    """
    with transaction.atomic():
        domain = _lock(domain_id, by.org_id)
        if domain.is_primary == primary:
            return domain
        if not domain.is_host or not domain.is_verified:
            raise DomainNotProved("Links can lead to a host only once its record was found.")
        before = OrgDomain.objects.filter(is_primary=True).first()
        OrgDomain.objects.filter(is_primary=True).update(is_primary=False)
        domain.is_primary = primary
        domain.save(update_fields=["is_primary"])
        chosen = domain.name if primary else ""
        hosts.set_primary_host(org_id=by.org_id, host=chosen)
        old = {"host": before.name if before else ""}
        _record(domain, "primary_changed", by.actor, at, old=old, new={"host": chosen})
    return domain


def remove_domain(*, domain_id: UUID, by: Principal, at: datetime) -> None:
    """Take a domain off the list. With this commit a host leads nowhere, on any process, and
    whoever entered by it is signed out there. Raises NotFound.
    """
    with transaction.atomic():
        domain = _lock(domain_id, by.org_id)
        _withdraw(domain)
        facts = _facts(domain)
        OrgDomain.objects.filter(id=domain.id).delete()
        _record(domain, "removed", by.actor, at, old=facts)


def sweep_domains(at: datetime) -> None:
    """The sweeper's step: have looked at again what is due, or was asked for and is still owed."""
    late = Q(next_check_at__lte=at, check_asked_at=None) | Q(check_asked_at__lte=at - PATIENCE)
    for domain_id in OrgDomain.objects.filter(late).values_list("id", flat=True)[:_BATCH]:
        OrgDomain.objects.filter(id=domain_id).update(check_asked_at=at)
        enqueue("orgs.check_domain", domain_id=str(domain_id))


def _look_for(domain: OrgDomain, resolve: dns.TxtResolver) -> str:
    """What the name servers say of the domain's record; takes seconds, and holds nothing."""
    try:
        texts = [text.strip() for text in resolve(domain.record_name)]
    except dns.LookupFailed:
        return _Outcome.UNREACHABLE
    if domain.record_value in texts:
        return _Outcome.FOUND
    ours = any(text.startswith(names.VALUE_PREFIX) for text in texts)
    return _Outcome.DIFFERENT if ours else _Outcome.MISSING


def _settle(domain_id: UUID, org_id: UUID, outcome: str, at: datetime) -> OrgDomain | None:
    """Write down what was seen, and let the state follow; None if it was removed meanwhile."""
    try:
        domain = _lock(domain_id, org_id)
    except NotFound:
        return None
    domain.outcome, domain.checked_at, domain.check_asked_at = outcome, at, None
    if outcome == _Outcome.FOUND:
        verb = _prove(domain, at)
    else:
        verb = _doubt(domain, outcome, at) if domain.is_verified else ""
    domain.save()
    if verb:
        _record(domain, verb, SYSTEM, at, new=_facts(domain))
    return domain


def _prove(domain: OrgDomain, at: datetime) -> str:
    """The record is there: the domain is the org's, unless another org proved it before."""
    was_verified = domain.is_verified
    if not was_verified:
        try:
            _claim(domain, at)
        except DomainTaken:
            domain.outcome = _Outcome.TAKEN
            return ""
        domain.verify(at=at)
    domain.failing_since, domain.next_check_at = None, at + CHECKED_EVERY
    return "" if was_verified else "verified"


def _doubt(domain: OrgDomain, outcome: str, at: datetime) -> str:
    """A verified domain's record was not seen. Only a server that denies it counts, and only for
    days on end: an outage of ours or theirs must take nobody's host away.
    """
    if outcome not in _ABSENT:
        domain.next_check_at = at + TRIED_AGAIN
        return ""
    domain.failing_since = domain.failing_since or at
    domain.next_check_at = at + CHECKED_EVERY
    if at - domain.failing_since < LAPSES_AFTER:
        return ""
    _withdraw(domain)
    domain.lapse()
    return "lapsed"


def _claim(domain: OrgDomain, at: datetime) -> None:
    if domain.is_host:
        hosts.claim_host(org_id=domain.org_id, host=domain.name)
    else:
        hosts.claim_mail_domain(org_id=domain.org_id, domain=domain.name, at=at)


def _withdraw(domain: OrgDomain) -> None:
    """Take away what a verified domain opened; links lead to the org's own host again."""
    if domain.is_primary:
        hosts.set_primary_host(org_id=domain.org_id, host="")
    if not domain.is_verified:
        return
    if domain.is_host:
        hosts.release_host(org_id=domain.org_id, host=domain.name)
    else:
        hosts.release_mail_domain(org_id=domain.org_id, domain=domain.name)


def _lock(domain_id: UUID, org_id: UUID) -> OrgDomain:
    hosts.lock(org_id=org_id)
    domain = OrgDomain.objects.select_for_update().filter(id=domain_id).first()
    if domain is None:
        raise NotFound
    return domain


def _spend(org_id: UUID) -> None:
    """Each check makes the installation's name servers ask somebody else's."""
    policy = Policy.parse("domain-checks", settings.DOMAIN_CHECK_RATE)
    verdict = default_limiter().spend(policy, str(org_id))
    if verdict and not verdict.allowed:
        raise RateLimited(
            f"{policy.quota} checks in {policy.window // 60} minutes are allowed. "
            f"A new record may take an hour to be seen.",
            retry_after=verdict.reset,
        )


def _facts(domain: OrgDomain) -> dict[str, Any]:
    return {"kind": domain.kind, "name": domain.name, "state": domain.state}
