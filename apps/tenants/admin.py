"""The operators' view of the shared tables; no row of any org is in here."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.actors import Actor, ActorType
from apps.common.errors import DomainError
from apps.common.ids import public_id
from apps.tenants.access import user_id_of
from apps.tenants.models import Domain, KeyIndex, Membership, Org, OrgActivity, Session, User
from apps.tenants.services import orgs

# Operators sign in where everybody does: with its rate limits, verified address and second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def operator(request: HttpRequest) -> Actor:
    """The operator as the log names them."""
    user = request.user
    return Actor(ActorType.OPERATOR, public_id("usr", user_id_of(request)), str(user))


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Org)
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


@admin.register(User)
class UserAdmin(ReadOnly):
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    exclude = ("password",)


@admin.register(Membership)
class MembershipAdmin(ReadOnly):
    list_display = ("user", "org", "created_at")
    list_select_related = ("user", "org")
    search_fields = ("user__email", "org__slug")


@admin.register(Domain)
class DomainAdmin(ReadOnly):
    list_display = ("domain", "tenant", "is_primary")
    list_select_related = ("tenant",)
    search_fields = ("domain",)


@admin.register(OrgActivity)
class OrgActivityAdmin(ReadOnly):
    list_display = ("org", "last_write_at", "next_due_at", "visited_at")
    list_select_related = ("org",)


@admin.register(KeyIndex)
class KeyIndexAdmin(ReadOnly):
    list_display = ("org", "expires_at")
    list_select_related = ("org",)
    fields = ("org", "expires_at")


@admin.register(Session)
class SessionAdmin(ReadOnly):
    """Who is signed in where; the key itself would open the session and is never shown."""

    list_display = ("user", "org", "via", "mfa_at", "expire_date")
    list_display_links = None
    list_select_related = ("user", "org")
    fields = ("user", "org", "via", "mfa_at", "expire_date")
