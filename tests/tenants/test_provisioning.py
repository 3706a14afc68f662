"""An org's life: ready after asking, cleaned up after a failure, erased after its grace period."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.common.errors import Conflict, Invalid
from apps.tenants import keys, provisioning, schemas, sweeping
from apps.tenants.errors import SlugTaken
from apps.tenants.models import Domain, KeyIndex, Membership, Org, OrgActivity, Session, User
from apps.tenants.selectors import find_org_by_host, find_org_by_slug
from apps.tenants.services import orgs, signup

pytestmark = pytest.mark.usefixtures("committed")


def person() -> User:
    return User.objects.create_user(f"{timezone.now().timestamp()}@people.example", "x")


def new_slug() -> str:
    return f"p{str(timezone.now().timestamp()).replace('.', '')}"


def has_schema(org: Any) -> bool:
    with connections["owner"].cursor() as cursor:
        cursor.execute("select from pg_namespace where nspname = %s", [org.schema])
        return cursor.fetchone() is not None


def test_an_org_is_ready_after_it_was_asked_for() -> None:
    owner, slug = person(), new_slug()

    org = orgs.request_org(
        name=" Northern Lights ", slug=slug, owner_id=owner.pk, at=timezone.now()
    )

    found = find_org_by_host(f"{slug}.localhost")
    assert found is not None
    assert (found.id, found.name, found.state) == (org.id, "Northern Lights", "active")
    assert Membership.objects.filter(user=owner, org_id=org.id).count() == 1
    assert Org.objects.get(id=org.id).schema_version == schemas.current_version()


@pytest.mark.parametrize(
    "slug", ["", "a", "ab", "1st", "-abc", "abc-", "a--b", "Abc", "a_b", "é", "x" * 41]
)
def test_a_slug_that_is_no_host_label_is_refused(slug: str) -> None:
    before = Org.objects.count()
    with pytest.raises(Invalid):
        orgs.request_org(name="Any", slug=slug, owner_id=person().pk, at=timezone.now())
    assert Org.objects.count() == before


@pytest.mark.parametrize("slug", ["acme", "system", "www", "api"])
def test_a_slug_is_given_once(slug: str) -> None:
    before = Org.objects.count()
    with pytest.raises(SlugTaken):
        orgs.request_org(name="Any", slug=slug, owner_id=person().pk, at=timezone.now())
    assert Org.objects.count() == before


def test_a_failed_provisioning_leaves_no_schema_and_can_be_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(org: Any, at: Any) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(provisioning, "_seeds", [*provisioning._seeds, fail])
        slug = new_slug()
        org = orgs.request_org(name="Any", slug=slug, owner_id=person().pk, at=timezone.now())
    failed = find_org_by_slug(slug)
    assert failed and failed.state == "failed"
    assert not has_schema(org)

    orgs.retry_provisioning(org_id=org.id, actor=SYSTEM)

    ready = find_org_by_slug(slug)
    assert ready and ready.is_active
    assert has_schema(org)


def test_provisioning_again_changes_nothing(throwaway_org: Any) -> None:
    org = throwaway_org()
    before = Org.objects.values().get(id=org.id)
    orgs.provision_org(org_id=org.id, at=timezone.now())
    assert Org.objects.values().get(id=org.id) == before


def test_only_a_failed_org_can_be_retried(throwaway_org: Any) -> None:
    org = throwaway_org()
    with pytest.raises(Conflict):
        orgs.retry_provisioning(org_id=org.id, actor=SYSTEM)
    assert find_org_by_slug(org.slug) == org


def test_a_lost_wake_up_is_found_by_the_sweeper(settings: Any) -> None:
    owner, at = person(), timezone.now() - timedelta(minutes=5)
    org = orgs._write_org(name="Lost", slug=new_slug(), owner_id=owner.pk, at=at)
    assert org.state == "provisioning"

    sweeping.sweep(at=timezone.now())

    org.refresh_from_db()
    assert org.state == "active"


def test_an_org_of_an_older_version_is_migrated_by_job(throwaway_org: Any) -> None:
    org = throwaway_org()
    Org.objects.filter(id=org.id).update(schema_version="older")

    sweeping.sweep(at=timezone.now())

    assert Org.objects.get(id=org.id).schema_version == schemas.current_version()


def test_closing_erases_after_the_grace_period_and_not_before(throwaway_org: Any) -> None:
    org, now = throwaway_org(), timezone.now()
    KeyIndex.objects.create(key_hash=org.id.bytes * 2, org_id=org.id)

    closing = orgs.close_org(org_id=org.id, actor=SYSTEM, at=now)
    assert closing.state == "closing"
    orgs.erase_org(org_id=org.id, at=now + orgs.GRACE - timedelta(seconds=1))
    assert has_schema(org)

    sweeping.sweep(at=now + orgs.GRACE)
    orgs.erase_org(org_id=org.id, at=now + orgs.GRACE)

    assert not has_schema(org)
    assert find_org_by_host(f"{org.slug}.localhost") is None
    for model in (Membership, KeyIndex, OrgActivity):
        assert not model._default_manager.filter(org_id=org.id).exists()
    tombstone = Org.objects.get(id=org.id)
    assert (tombstone.state, tombstone.name, tombstone.slug) == ("erased", "Erased", org.slug)
    assert Domain.objects.filter(tenant=tombstone).exists()


def test_a_suspension_is_not_ended_by_closing_and_thinking_better_of_it(
    throwaway_org: Any,
) -> None:
    org = throwaway_org()
    orgs.suspend_org(org_id=org.id)
    with pytest.raises(Conflict):
        orgs.close_org(org_id=org.id, actor=SYSTEM, at=timezone.now())
    assert Org.objects.get(id=org.id).state == "suspended"

    orgs.resume_org(org_id=org.id)
    assert orgs.close_org(org_id=org.id, actor=SYSTEM, at=timezone.now()).state == "closing"


def test_closing_can_be_undone(throwaway_org: Any) -> None:
    org = throwaway_org()
    orgs.close_org(org_id=org.id, actor=SYSTEM, at=timezone.now())
    assert orgs.reopen_org(org_id=org.id, actor=SYSTEM).is_active
    assert Org.objects.get(id=org.id).erase_at is None
    assert has_schema(org)


def test_the_application_can_neither_make_nor_drop_a_schema(throwaway_org: Any) -> None:
    org = throwaway_org()
    with connections["default"].cursor() as cursor:
        for statement in (f'drop schema "{org.schema}" cascade', "create schema mine"):
            with pytest.raises((DatabaseError, IntegrityError)):
                cursor.execute(statement)
    assert has_schema(org)


def test_a_wish_is_fulfilled_once_at_the_nearest_free_address() -> None:
    user = person()
    User.objects.filter(pk=user.pk).update(org_wish="Acme")

    org = signup.fulfil_wish(user_id=user.pk, at=timezone.now())
    again = signup.fulfil_wish(user_id=user.pk, at=timezone.now())

    assert org is not None
    assert org.slug.startswith("acme-")
    assert again is None


def test_the_sweeper_visits_only_orgs_that_may_need_it(throwaway_org: Any) -> None:
    quiet, busy, due = throwaway_org(), throwaway_org(), throwaway_org()
    now = timezone.now()
    rows = OrgActivity.objects
    rows.update(visited_at=now, last_write_at=now - timedelta(days=1), next_due_at=None)
    rows.filter(org_id=busy.id).update(last_write_at=now - timedelta(minutes=14))
    rows.filter(org_id=due.id).update(next_due_at=now)
    seen: list[Any] = []

    def look(at: Any) -> None:
        seen.append(keys.current().org_id)

    sweeping._steps.append(look)
    try:
        sweeping.sweep(at=now)
    finally:
        sweeping._steps.remove(look)

    assert set(seen) == {busy.id, due.id}
    assert quiet.id not in seen
    assert OrgActivity.objects.get(org_id=due.id).next_due_at is None


def test_one_person_asks_for_so_many_orgs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orgs, "ORGS_A_PERSON", 1)
    owner = person()
    orgs.request_org(name="One", slug=new_slug(), owner_id=owner.pk, at=timezone.now())
    with pytest.raises(Conflict):
        orgs.request_org(name="Two", slug=new_slug(), owner_id=owner.pk, at=timezone.now())
    assert Org.objects.filter(owner=owner).count() == 1


def test_the_sweeper_forgets_sessions_that_are_over() -> None:
    now = timezone.now()
    for key, expiry in (("over", now - timedelta(seconds=1)), ("alive", now + timedelta(days=1))):
        Session.objects.update_or_create(
            session_key=key, defaults={"session_data": "", "expire_date": expiry}
        )
    sweeping.sweep(at=now)
    assert set(
        Session.objects.filter(session_key__in=["over", "alive"]).values_list("pk", flat=True)
    ) == {"alive"}
