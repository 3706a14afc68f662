"""The second site: every table of one org, while an operator's door to it is open.

Which models there are comes from the registry, so a new one is on the site the day it exists. What
is said here of a model is only what must be hidden and what a list shows best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.utils import unquote
from django.db.models import Field, ForeignKey, Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from apps.common.ids import public_id
from apps.orgs.models import Member
from apps.tenants import rls
from apps.tenants.org_views import AS
from apps.workspace.operators.actions import actions_of
from apps.workspace.operators.base import OperatorSite
from apps.workspace.operators.rows import HEAVY, ReadOnly

HIDDEN: Final[Mapping[str, frozenset[str]]] = {
    "trust.SigningKey": frozenset({"secret_ref"}),
    "trust.DataKey": frozenset({"nonce", "wrapped"}),
    "trust.SealedSecret": frozenset({"nonce", "ciphertext"}),
    "trust.AuditEvent": frozenset({"prev", "hash"}),
    "trust.AuditHead": frozenset({"hash"}),
    "trust.Leaf": frozenset({"digest"}),
    "trust.Tile": frozenset({"hashes"}),
    "trust.Checkpoint": frozenset({"root"}),
    "orgs.Invitation": frozenset({"token_hash"}),
    "orgs.ApiKey": frozenset({"key_hash"}),
    "orgs.IdempotencyRecord": frozenset({"fingerprint", "nonce", "sealed_body"}),
    "policies.Decision": frozenset({"input_digest"}),
    "notify.Channel": frozenset({"hint"}),
    "approvals.Approval": frozenset({"payload_digest"}),
    "agents.ModelProvider": frozenset({"key_hint"}),
    "runs.Run": frozenset({"fingerprint"}),
}
"""Columns that nobody is shown: secrets, what opens or proves one, and what is only bytes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """How the list of a model looks, where more can be said than follows from its fields.

    `order` has an index, as has every filter and each row that it can be `followed` from.
    """

    columns: tuple[str, ...] = ()
    order: tuple[str, ...] = ("-pk",)
    filters: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()


NEWEST: Final = ("-created_at", "-id")
OF_A_RUN: Final = ("run",)
LISTED: Final[Mapping[str, Listed]] = {
    "trust.AuditEvent": Listed(
        ("seq", "at", "action", "actor_label", "subject_type", "subject_id"), ("-seq",)
    ),
    "trust.Leaf": Listed(("kind", "subject_id", "xid"), ("-xid", "-id")),
    "trust.Tile": Listed(("level", "index"), ("-level", "-index")),
    "trust.Checkpoint": Listed(("number", "at", "size", "seq_to", "xid_to"), ("-number",)),
    "orgs.OrgDomain": Listed(
        ("name", "kind", "state", "is_primary", "outcome", "checked_at", "created_at"), NEWEST
    ),
    "policies.Policy": Listed(("name", "version", "created_at", "retired_at"), NEWEST),
    "policies.OrgPolicy": Listed(
        ("name", "version", "status", "created_by", "created_at", "activated_at"),
        ("-policy_id", "-version"),
        followed=("policy",),
    ),
    "policies.Decision": Listed(
        ("action", "tool", "result", "run", "caller_label", "bundle", "at"),
        ("-at", "-id"),
        filters=("result",),
        followed=("run", "agent_id"),
    ),
    "approvals.Approval": Listed(
        ("title", "subject_type", "status", "requester_label", "approver", "created_at"),
        NEWEST,
        filters=("status",),
    ),
    "approvals.ApprovalRule": Listed(
        ("subject_type", "agent", "tool", "project", "quorum", "role", "removed_at"), ("-pk",)
    ),
    "approvals.Vote": Listed(("approval", "member", "verdict", "at"), followed=("approval",)),
    "agents.Agent": Listed(
        ("slug", "name", "status", "runtime", "project", "accountable", "created_at"),
        NEWEST,
        filters=("status",),
    ),
    "runs.Run": Listed(
        ("tool", "agent", "status", "reason", "caller_label", "created_at", "finished_at"),
        NEWEST,
        filters=("status",),
        followed=("agent", "project", "root_id", "session_id", "caller_id"),
    ),
    "runs.Step": Listed(
        ("name", "run", "attempt", "ordinal", "kind", "status", "started_at", "finished_at"),
        ("-run_id", "-attempt", "-ordinal"),
        followed=OF_A_RUN,
    ),
    "runs.RunLog": Listed(
        ("message", "run", "attempt", "level", "at"), ("-run_id", "-at", "-id"), followed=OF_A_RUN
    ),
    "runs.RunEvent": Listed(("seq", "run", "kind", "at"), ("-run_id", "-seq"), followed=OF_A_RUN),
}
COLUMNS: Final = 6
"""How many a list has of a model that nothing is said of."""


def shown(model: type[Model]) -> list[str]:
    """The columns that an operator may see, in the model's order."""
    hidden = HIDDEN.get(model._meta.label, frozenset())
    return [field.name for field in model._meta.concrete_fields if field.name not in hidden]


class TenantAdmin(ReadOnly):
    """The rows of one kind of one org."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever the door was opened to: it is what asks who may, why, and until when."""
        return True

    def has_act_permission(self, request: HttpRequest) -> bool:
        """To look is one thing; to act takes Django's permission to change such rows besides."""
        return super(ReadOnly, self).has_change_permission(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The row, and the ways to what points at it."""
        links = list(_followers(self.model, unquote(object_id)))
        if self.model is Member:
            links += _eyes_of(request, self.get_object(request, object_id))
        return super().change_view(request, object_id, form_url, {"row_links": links})


def _eyes_of(request: HttpRequest, member: Any) -> list[tuple[str, str]]:
    """The way to see the workspace as this member, while they are one."""
    if member.left_at is not None:
        return []
    url = request.look.impersonate_url  # type: ignore[attr-defined]
    query = urlencode({AS: public_id("usr", member.user_id)})
    return [("Look as this member", f"{url}?{query}")]


def _followers(model: type[Model], pk: str) -> Iterator[tuple[str, str]]:
    """The lists that can be had for one row of a model, with their addresses."""
    for label, listed in LISTED.items():
        other = apps.get_model(label)
        for name in listed.followed:
            if other._meta.get_field(name).related_model is model:
                path = reverse(f"admin:{other._meta.label_lower.replace('.', '_')}_changelist")
                query = urlencode({f"{name}__exact": pk})
                yield str(other._meta.verbose_name_plural).capitalize(), f"{path}?{query}"


def admin_of(model: type[Model]) -> type[TenantAdmin]:
    """The pages of one model: all that isn't hidden in the detail, a few columns in the list."""
    listed = LISTED.get(model._meta.label, Listed())
    columns = listed.columns or tuple(_plain_columns(model))
    pointers = {f.name for f in model._meta.concrete_fields if isinstance(f, ForeignKey)}
    return type(
        f"{model.__name__}Admin",
        (TenantAdmin,),
        {
            "fields": shown(model),
            "list_display": columns,
            "list_select_related": tuple(name for name in columns if name in pointers),
            "list_filter": listed.filters,
            "followed": listed.followed,
            "ordering": listed.order,
            "actions": actions_of(model),
        },
    )


def _plain_columns(model: type[Model]) -> Iterator[str]:
    """The first few fields that are short enough for a line."""
    fields: list[Field[Any, Any]] = [model._meta.get_field(name) for name in shown(model)]  # type: ignore[misc]
    short = [f.name for f in fields if not isinstance(f, HEAVY) and f.name not in {"id", "org_id"}]
    yield from short[:COLUMNS]


class OrgSite(OperatorSite):
    """All tenant models, under the keys of the org whose door was opened."""

    index_title = "Everything of this organization"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        look: Any = request.look  # type: ignore[attr-defined]
        header = f"{look.org.name} ({look.org.slug})"
        return {**super().each_context(request), "look": look, "site_header": header}


site = OrgSite(name="org_admin")
for _model in rls.tenant_models():
    site.register(_model, admin_of(_model))
