"""The first site, `/admin/`: the shared tables. No row of any org is in here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.tenants import schemas
from apps.tenants.models import (
    Domain,
    KeyIndex,
    MailDomain,
    Membership,
    Org,
    OrgActivity,
    OrgStats,
    Plan,
    Session,
    User,
)
from apps.tenants.services import orgs, plans
from apps.workspace.operators.actions import for_each
from apps.workspace.operators.base import OperatorSite, operator
from apps.workspace.operators.door import HAS_ROWS
from apps.workspace.operators.health import health_of
from apps.workspace.operators.rows import ReadOnly
from apps.workspace.services.stats import RUNS_COUNTED

site = OperatorSite(name="admin")
site.index_title = "Organizations and people"
# Operators sign in where everybody does: with its rate limits, verified address and second factor.
site.login = secure_admin_login(site.login)  # type: ignore[method-assign]


def stats_of(org: Org) -> OrgStats | None:
    """The org's figures; none before the sweeper's first visit."""
    return getattr(org, "stats", None)


class WithoutPages(ReadOnly):
    """Rows whose key is a secret or its hash: a list, and no address that would have it inside."""

    list_display_links = None

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model:
        raise Http404


@admin.register(Org, site=site)
class OrgAdmin(ReadOnly):
    list_display = (
        "slug",
        "look_into",
        "name",
        "state",
        "plan",
        "health",
        "members",
        "runs_in_a_day",
        "last_run",
        "version",
    )
    list_filter = ("state",)
    search_fields = ("slug", "name")
    list_select_related = ("owner", "stats", "plan")
    actions = ("suspend", "resume", "retry")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Actions ask for it; of one org there is nothing to change."""
        return obj is None and super(ReadOnly, self).has_change_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        columns = [field.name for field in Org._meta.concrete_fields]
        return [*columns, *(name for name in self.list_display if name not in columns)]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Organizations"})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The org, and the way to another plan for who may change it."""
        org: Any = self.get_object(request, object_id)
        links = []
        if self.has_change_permission(request) and org.state != Org.State.ERASED:
            links = [("Change plan", reverse("operators:plan", args=[org.slug]))]
        return super().change_view(request, object_id, form_url, {"row_links": links})

    @admin.display(empty_value="?")
    def members(self, org: Org) -> int | None:
        return stats.members if (stats := stats_of(org)) else None

    @admin.display(description="Runs, 24 h", empty_value="?")
    def runs_in_a_day(self, org: Org) -> str | None:
        if (stats := stats_of(org)) is None:
            return None
        many = stats.runs_in_a_day >= RUNS_COUNTED
        return f"{stats.runs_in_a_day:,}{'+' if many else ''}"

    @admin.display(description="Last run")
    def last_run(self, org: Org) -> datetime | None:
        return stats.last_run_at if (stats := stats_of(org)) else None

    @admin.display(description="Schema")
    def version(self, org: Org) -> str:
        current = org.schema_version == schemas.current_version()
        return "current" if current else org.schema_version or "none"

    @admin.display(description="Health")
    def health(self, org: Org) -> str:
        return health_of(org, at=timezone.now())

    @admin.display(description="Enter")
    def look_into(self, org: Org) -> str:
        if org.state not in HAS_ROWS:
            return ""
        look = format_html('<a href="{}">Look into</a>', reverse("operators:org", args=[org.slug]))
        if org.state != Org.State.ACTIVE or org.slug == orgs.SYSTEM_SLUG:
            return look
        as_member = reverse("operators:impersonate", args=[org.slug])
        return format_html('{} · <a href="{}">As a member</a>', look, as_member)

    @admin.action(
        description="Suspend: open nothing to its sessions, keys and tasks", permissions=["change"]
    )
    def suspend(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.suspend_org)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.resume_org)

    @admin.action(description="Retry provisioning", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Org]) -> None:
        self._each(request, queryset, orgs.retry_provisioning)

    def _each(self, request: HttpRequest, queryset: QuerySet[Org], do: Any) -> None:
        for_each(
            self,
            request,
            queryset,
            lambda org, actor: f"is {do(org_id=org.id, actor=actor).state} now",
        )


@admin.register(Plan, site=site)
class PlanAdmin(ReadOnly):
    """The one kind of rows that operators write by hand; by its service, so it is on record."""

    list_display = ("name", "code", "member_limit", "agent_limit", "is_default")
    fields = ("code", "name", "member_limit", "agent_limit", "is_default")
    actions = ("make_default",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnly, self).has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super(ReadOnly, self).has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The code stands in records, so it never changes."""
        return ("code", "is_default") if obj else ("is_default",)

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        plans.save_plan(obj, actor=operator(request), at=timezone.now())

    @admin.action(description="Make it the plan of new organizations", permissions=["change"])
    def make_default(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        if len(chosen := list(queryset[:2])) != 1:
            self.message_user(request, "Choose one plan.", messages.ERROR)
            return
        plan = plans.make_default(plan_id=chosen[0].pk, actor=operator(request), at=timezone.now())
        self.message_user(request, f"New organizations start on {plan.name}.")


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


@admin.register(MailDomain, site=site)
class MailDomainAdmin(ReadOnly):
    list_display = ("domain", "org", "created_at")
    list_select_related = ("org",)
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

    list_display = ("user", "org", "via", "impersonator", "mfa_at", "expire_date")
    list_select_related = ("user", "org", "impersonator")
    fields = ("user", "org", "via", "impersonator", "mfa_at", "expire_date")
