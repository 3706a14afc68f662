"""An org's life: asked for, provisioned, suspended, closed, erased.

The row in `tenants_org` is the job. Asking for an org writes it and wakes the provisioner; if the
wake-up is lost, the sweeper finds the row.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from apps.common.actors import SYSTEM, Actor, ActorType
from apps.common.errors import Conflict, Invalid
from apps.common.ids import public_id
from apps.common.jobs import enqueue
from apps.tenants import apex_log, keys, provisioning, schemas
from apps.tenants.errors import SlugTaken
from apps.tenants.models import (
    Domain,
    InvitationIndex,
    KeyIndex,
    MailDomain,
    Membership,
    Org,
    OrgActivity,
    OrgStats,
    Plan,
    Session,
    Ticket,
)
from apps.tenants.selectors import OrgRef, ref

log = structlog.get_logger(__name__)

# The arrows of the state machine as past facts.
PAST: Final = {
    "retry": "retried",
    "suspend": "suspended",
    "resume": "resumed",
    "close": "closed",
    "reopen": "reopened",
}
LEADING_TO_IT: Final = (
    Membership,
    KeyIndex,
    InvitationIndex,
    MailDomain,
    Ticket,
    Session,
    OrgActivity,
    OrgStats,
)
GRACE: Final = timedelta(days=30)
SYSTEM_SLUG: Final = "system"
SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SLUG_MIN: Final = 3
ORGS_A_PERSON: Final = 20
RESERVED: Final = frozenset(
    """
    account accounts admin api app apex assets auth billing blog cdn dev docs ftp help id login
    mail mandate mx ns oauth public smtp sso static status support system www
    """.split()  # noqa: SIM905 - a list of names reads best as one
)


def check_slug(slug: str) -> str:
    """The slug, if it can be a host label that means nothing else."""
    if not SLUG.fullmatch(slug) or not SLUG_MIN <= len(slug) <= 40:
        raise Invalid.of(
            "slug", "Use 3 to 40 lower-case letters, digits and single hyphens, a letter first."
        )
    if slug in RESERVED:
        raise SlugTaken(f"“{slug}” is reserved. Choose another address.")
    return slug


def request_org(*, name: str, slug: str, owner_id: UUID | None, at: datetime) -> OrgRef:
    """Write a new org down and have it provisioned; its owner may enter as soon as it is ready.

    Raises Invalid for a bad slug, SlugTaken for one that is or was in use, Conflict for somebody
    who has asked for too many.
    """
    _refuse_too_many(owner_id)
    try:
        with transaction.atomic():
            org = _write_org(name=name.strip(), slug=check_slug(slug), owner_id=owner_id, at=at)
            _record(org, "requested", _owner_of(org), at)
            enqueue("tenants.provision_org", org_id=str(org.id))
    except (IntegrityError, ValidationError) as error:
        raise SlugTaken(f"“{slug}” is taken. Choose another address.") from error
    return ref(org)


def ensure_system_org(*, at: datetime) -> OrgRef:
    """The built-in org whose log keeps the apex's own events; nobody can enter it."""
    org = Org.objects.filter(slug=SYSTEM_SLUG).first()
    if org is None:
        with transaction.atomic():
            org = _write_org(name="System", slug=SYSTEM_SLUG, owner_id=None, at=at)
    return ref(org)


def provision_org(*, org_id: UUID, at: datetime) -> OrgRef:
    """Make the org's schema and its first rows, then open it. Runs in the provisioner.

    A failure leaves no schema behind and a row that says why and can be retried. Calling it again
    for an org that is ready changes nothing; of two at once the second finds it ready, for the
    lock comes before the look at the state.
    """
    with schemas.exclusive(org_id):
        org = Org.objects.get(id=org_id)
        if org.state != Org.State.PROVISIONING:
            return ref(org)
        try:
            _build(org, at=at)
            org.become_ready()
        except Exception as error:  # noqa: BLE001 - whatever broke, no half-made org may stay
            log.exception("orgs.provisioning_failed", org=org.slug)
            schemas.drop(schema=org.schema_name, org_id=org.id)
            org.fail(why=f"{type(error).__name__} while the schema was made")
        org.save()
    return ref(org)


def migrate_org(*, org_id: UUID, at: datetime) -> OrgRef:
    """Bring an org that is older than the code to the present version. Runs in the provisioner.

    The sweeper asks again every few seconds: whoever comes second has nothing left to do.
    """
    with schemas.exclusive(org_id):
        org = Org.objects.get(id=org_id)
        served = org.state not in {Org.State.PROVISIONING, Org.State.FAILED, Org.State.ERASED}
        if served and org.schema_version != schemas.current_version():
            _build(org, at=at)
            org.save(update_fields=["schema_version"])
    return ref(org)


def retry_provisioning(*, org_id: UUID, actor: Actor) -> OrgRef:
    """Try once more after a failure. Raises Conflict if the org hasn't failed."""
    return _move(org_id, "retry", actor=actor, then="tenants.provision_org")


def rename_org(*, org_id: UUID, name: str) -> str:
    """Change an org's name under its row lock; the name that it had."""
    with keys.holding(), transaction.atomic():
        org = Org.objects.select_for_update().get(id=org_id)
        old, org.name = org.name, name
        org.save(update_fields=["name"])
    return old


def suspend_org(*, org_id: UUID, actor: Actor = SYSTEM) -> OrgRef:
    """Shut the org's doors: every session, key and task of it ends at its next step."""
    return _move(org_id, "suspend", actor=actor)


def resume_org(*, org_id: UUID, actor: Actor = SYSTEM) -> OrgRef:
    """Open the org's doors again."""
    return _move(org_id, "resume", actor=actor)


def close_org(*, org_id: UUID, actor: Actor, at: datetime) -> OrgRef:
    """Shut the doors now and erase everything after the grace period, by job.

    Who did it is on record here too: the org's own log goes with the org.
    """
    return _move(org_id, "close", actor=actor, erase_at=at + GRACE)


def reopen_org(*, org_id: UUID, actor: Actor) -> OrgRef:
    """Undo a closing within its grace period."""
    return _move(org_id, "reopen", actor=actor)


def erase_org(*, org_id: UUID, at: datetime) -> OrgRef:
    """Drop the schema and everything that leads to it, once the grace period is over.

    Idempotent; an org that isn't due is left alone. The row stays as the slug's tombstone.
    """
    with schemas.exclusive(org_id), transaction.atomic():
        # Its row stays locked meanwhile: an org is either reopened or erased.
        org = Org.objects.select_for_update().get(id=org_id)
        if org.state != Org.State.CLOSING or org.erase_at is None or org.erase_at > at:
            return ref(org)
        schemas.drop(schema=org.schema_name, org_id=org.id)
        for model in LEADING_TO_IT:
            model._default_manager.filter(org_id=org.id).delete()
        Domain.objects.filter(tenant=org).exclude(domain=own_host(org.slug)).delete()
        org.erase()
        org.save()
        _record(org, "erased", SYSTEM, at)
    return ref(org)


def own_host(slug: str) -> str:
    """The host that an org always has, and nobody else ever gets."""
    return f"{slug}.{settings.APEX_HOST}"


def _refuse_too_many(owner_id: UUID | None) -> None:
    """Each org is a schema with its tables: one person can't fill the database with them."""
    if owner_id and Org.objects.filter(owner_id=owner_id).count() >= ORGS_A_PERSON:
        raise Conflict(f"You have asked for {ORGS_A_PERSON} organizations, which is the limit.")


def _owner_of(org: Org) -> Actor:
    """Who asked for the org."""
    if org.owner is None:
        return SYSTEM
    return Actor(ActorType.USER, public_id("usr", org.owner.pk), org.owner.email)


def _write_org(*, name: str, slug: str, owner_id: UUID | None, at: datetime) -> Org:
    if not name:
        raise Invalid.of("name", "Give the organization a name.")
    plan = Plan.objects.get(is_default=True)
    org = Org(name=name, slug=slug, owner_id=owner_id, plan=plan, created_at=at)
    org.schema_name = f"org_{slug.replace('-', '_')}"
    org.save(force_insert=True)
    Domain.objects.create(tenant=org, domain=own_host(slug), is_primary=True)
    OrgActivity.objects.create(org=org, last_write_at=at)
    if owner_id is not None:
        Membership.objects.create(user_id=owner_id, org=org, created_at=at)
    return org


def _build(org: Org, *, at: datetime) -> None:
    schemas.create_and_migrate(schema=org.schema_name, org_id=org.id)
    with keys.holding(org.schema_name, org.id), transaction.atomic():
        provisioning.run_seeds(ref(org), at=at)
    org.schema_version = schemas.current_version()


def _move(
    org_id: UUID,
    verb: str,
    *,
    actor: Actor,
    then: str | None = None,
    **arguments: datetime,
) -> OrgRef:
    """Take one arrow of the org's state machine under its row lock, and put it on record."""
    with keys.holding(), transaction.atomic():
        org = Org.objects.select_for_update().get(id=org_id)
        try:
            getattr(org, verb)(**arguments)
        except TransitionNotAllowed as error:
            raise Conflict(f"An organization that is {org.state} can't {verb}.") from error
        org.save()
        if then:
            enqueue(then, org_id=str(org_id))
        _record(org, PAST[verb], actor, timezone.now())
    return ref(org)


def _record(org: Org, verb: str, actor: Actor, at: datetime) -> None:
    apex_log.record(
        actor=actor,
        action=f"tenants.org.{verb}",
        subject_type="org",
        subject_id=public_id("org", org.id),
        at=at,
        new={"slug": org.slug, "state": org.state},
    )
