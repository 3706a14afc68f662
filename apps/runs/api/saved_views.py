"""`/v1/runs/views`: filters of the list of runs under names."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.ids import parse_id
from apps.common.json import Object
from apps.common.openapi import example, page_of
from apps.common.pagination import NEWEST_FIRST
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import Flag, PublicId, Strict, Text
from apps.runs import selectors
from apps.runs.errors import VIEW
from apps.runs.filtering import OLDEST
from apps.runs.forms import ALL, CUSTOM, RANGES, WORDS_MAX
from apps.runs.models import NAME_MAX, SESSION_MAX
from apps.runs.services.views import create_view, delete_view, update_view
from apps.runs.states import RunStatus

_FILTER: Final = {"status": "failed", "range": "7d"}
_SEEN: Final = {
    "id": "viw_0190f7c26d1e7b5a9c3e2f4b6a8d0e11",
    "name": "Failures of the week",
    "filter": _FILTER,
    "is_shared": True,
    "owner": {"id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "label": "Ada Osei"},
    "created_at": "2027-01-31T12:00:00Z",
    "updated_at": "2027-01-31T12:00:00Z",
}


class ViewFilter(Strict):
    """The list's own parameters. `from` and `to` are days and count with `range` custom."""

    q = Text(required=False, max_length=WORDS_MAX)
    status = serializers.ChoiceField(required=False, choices=[s.value for s in RunStatus])
    agent = Text(required=False, max_length=40)
    caller = Text(required=False, max_length=40)
    session_id = Text(required=False, max_length=SESSION_MAX)
    level = serializers.ChoiceField(required=False, choices=[ALL])
    range = serializers.ChoiceField(required=False, choices=[*RANGES, CUSTOM])
    sort = serializers.ChoiceField(required=False, choices=[OLDEST])

    def get_fields(self) -> dict[str, Any]:
        days = {name: serializers.DateField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **days}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        return {name: str(value) for name, value in super().to_internal_value(data).items()}


class ViewWrite(Strict):
    name = Text(max_length=NAME_MAX)
    filter: Any = ViewFilter(source="query")
    is_shared = Flag(required=False, default=False)


class ViewChange(Strict):
    name = Text(required=False, max_length=NAME_MAX)
    filter: Any = ViewFilter(source="query", required=False)
    is_shared = Flag(required=False)


class OwnerRead(serializers.Serializer[Any]):
    id = serializers.CharField(source="owner_id")
    label = serializers.CharField(source="owner_label")  # type: ignore[assignment]


class ViewRead(serializers.Serializer[Any]):
    id = PublicId(VIEW)
    name = serializers.CharField()
    filter: Any = serializers.DictField(
        source="query", child=serializers.CharField(), help_text="As the list's address has it."
    )
    is_shared = serializers.BooleanField()
    owner: Any = OwnerRead(source="*")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ViewsView(OrgView):
    required = {"GET": "runs.view", "POST": "runs.view"}
    list_keyset = NEWEST_FIRST

    @extend_schema(operation_id="runs_views_list", tags=["runs"], responses=page_of(ViewRead))
    def get(self, request: Request) -> Response:
        """Your own saved views and those that are shared, the newest first."""
        return self.answer_page(ViewRead, selectors.list_views(self.by))

    @extend_schema(
        operation_id="runs_views_create",
        tags=["runs"],
        request=ViewWrite,
        responses={201: ViewRead},
        examples=[
            example(
                "A shared view",
                {"name": "Failures of the week", "filter": _FILTER, "is_shared": True},
                request=True,
            ),
            example("As it is kept", _SEEN, status=201),
        ],
    )
    def post(self, request: Request) -> Response:
        """Keep a filter under a name; sharing it needs `projects.edit`."""
        view = create_view(**self.read(ViewWrite), by=self.by, at=timezone.now())
        return self.answer(ViewRead, view, status=201)


class SavedViewView(OrgView):
    required = {"GET": "runs.view", "PATCH": "runs.view", "DELETE": "runs.view"}

    @extend_schema(
        operation_id="runs_views_get",
        tags=["runs"],
        responses=ViewRead,
        examples=[example("A view", _SEEN)],
    )
    def get(self, request: Request, view: str) -> Response:
        return self.answer(ViewRead, selectors.get_view(parse_id(VIEW, view), by=self.by))

    @extend_schema(
        operation_id="runs_views_change",
        tags=["runs"],
        request=ViewChange,
        responses=ViewRead,
        examples=[example("Another name", {"name": "Failures"}, request=True)],
    )
    def patch(self, request: Request, view: str) -> Response:
        """Change what is given. One that is shared needs `projects.edit`; unshared, it is yours."""
        fields: Object = self.read(ViewChange)
        changed = update_view(
            view_id=parse_id(VIEW, view), fields=fields, by=self.by, at=timezone.now()
        )
        return self.answer(ViewRead, changed)

    @extend_schema(operation_id="runs_views_delete", tags=["runs"])
    def delete(self, request: Request, view: str) -> Response:
        """Forget a view. One that is shared needs `projects.edit`."""
        delete_view(view_id=parse_id(VIEW, view), by=self.by, at=timezone.now())
        return self.nothing()
