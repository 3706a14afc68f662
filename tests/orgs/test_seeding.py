"""What an org has from the start, and what an upgrade adds to it."""

from __future__ import annotations

from typing import Any

from apps.orgs import selectors
from apps.orgs.models import Member, Permission, Project, Role, RolePermission
from apps.orgs.permissions import MATRIX, ROLES, codes_of
from apps.orgs.services.seeding import seed_org
from tests.orgs.conftest import AT
from tests.orgs.conftest import ROLES as SLUGS


def test_a_new_org_has_roles_a_project_and_its_owner(org: Any) -> None:
    roles = {role.slug: role for role in selectors.list_roles()}
    assert list(roles) == list(SLUGS)
    assert {slug: frozenset(role.codes) for slug, role in roles.items()} == {
        slug: codes_of(slug) for slug in SLUGS
    }
    assert [(p.slug, p.is_default) for p in Project.objects.all()] == [("default", True)]
    member = Member.objects.select_related("role").get()
    assert (member.user_id, member.role.slug, member.label) == (
        org.owner_id,
        "owner",
        "Owner of Acme",
    )


def test_each_role_may_all_that_the_next_may() -> None:
    owner, admin, member, viewer = (codes_of(role.slug) for role in ROLES)
    assert owner > admin > member > viewer
    assert owner == frozenset(MATRIX)


def test_seeding_again_changes_nothing(org: Any, events: Any) -> None:
    def rows() -> list[Any]:
        kinds = (Permission, Role, RolePermission, Project, Member)
        return [sorted(map(str, kind.objects.values_list())) for kind in kinds]

    before = rows()
    seed_org(org, AT)
    assert (rows(), events()) == (before, [])


def test_an_upgrade_adds_and_takes_permissions_of_built_in_roles_only(org: Any) -> None:
    own = Role.objects.create(slug="auditor", name="Auditor", rank=9)
    view = Permission.objects.get(code="audit.view")
    RolePermission.objects.create(role=own, permission=view)
    RolePermission.objects.filter(role__slug="viewer", permission__code="org.view").delete()
    RolePermission.objects.create(role=Role.objects.get(slug="viewer"), permission=view)

    seed_org(org, AT)

    codes = {role.slug: frozenset(role.codes) for role in selectors.list_roles()}
    assert codes["viewer"] == codes_of("viewer")
    assert codes["auditor"] == {"audit.view"}
