"""The first site, `/admin/`: the shared tables. No row of any org is in here."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from apps.common.errors import DomainError
from apps.tenants.models import Domain, KeyIndex, Membership, Org, OrgActivity, Session, User
from apps.tenants.services import orgs
from apps.workspace.operators.base import OperatorSite, operator
from apps.workspace.operators.rows import ReadOnly

site = OperatorSite(name="admin")
site.index_title = "Organizations and people"
# Operators sign in where everybody does: with its rate limits, verified address and second factor.
site.login = secure_admin_login(site.login)  # type: ignore[method-assign]


class WithoutPages(ReadOnly):
    """Rows whose key is a secret or its hash: a list, and no address that would have it inside."""

    list_display_links = None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        raise Http404


@admin.register(Org, site=site)
class OrgAdmin(ReadOnly):
    list_display = ("slug", "name", "state", "schema_version", "owner", "created_at", "erase_at")
    list_filter = ("state",)
    search_fields = ("slug", "name")
    list_select_related = ("owner",)
    actions = ("suspend", "resume", "retry")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Actions ask for it; a form would have no field to change."""
        return super(ReadOnly, self).has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in Org._meta.fields]

    @admin.action(description="Suspend: end every session, key and task", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.suspend_org)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.resume_org)

    @admin.action(description="Retry provisioning", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.retry_provisioning)

    def _each(self, request: HttpRequest, queryset: QuerySet[Org], do: Any) -> None:
        """Say of every org what happened to it; one refusal keeps no other waiting."""
        for org in queryset:
            try:
                done = do(org_id=org.id, actor=operator(request))
            except DomainError as error:
                self.message_user(request, f"{org.slug}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{org.slug} is {done.state} now.")


@admin.register(User, site=site)
class UserAdmin(ReadOnly):
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    exclude = ("password",)


@admin.register(Membership, site=site)
class MembershipAdmin(ReadOnly):
    list_display = ("user", "org", "created_at")
    list_select_related = ("user", "org")
    search_fields = ("user__email", "org__slug")


@admin.register(Domain, site=site)
class DomainAdmin(ReadOnly):
    list_display = ("domain", "tenant", "is_primary")
    list_select_related = ("tenant",)
    search_fields = ("domain",)


@admin.register(OrgActivity, site=site)
class OrgActivityAdmin(ReadOnly):
    list_display = ("org", "last_write_at", "next_due_at", "visited_at")
    list_select_related = ("org",)


@admin.register(KeyIndex, site=site)
class KeyIndexAdmin(WithoutPages):
    list_display = ("org", "expires_at")
    list_select_related = ("org",)
    fields = ("org", "expires_at")


@admin.register(Session, site=site)
class SessionAdmin(WithoutPages):
    """Who is signed in where; the key itself would open the session and is never shown."""

    list_display = ("user", "org", "via", "mfa_at", "expire_date")
    list_select_related = ("user", "org")
    fields = ("user", "org", "via", "mfa_at", "expire_date")
