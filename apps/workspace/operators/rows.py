"""Read-only pages of Django's admin that stay cheap however many rows a table has."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import BinaryField, ForeignKey, JSONField, Model, QuerySet, TextField
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import cached_property

from apps.common.errors import PermissionDenied

ROWS_A_PAGE: Final = 50
LAST_PAGE: Final = 200
"""An offset reads all rows before it, so no list goes further than this."""
PAGE_DIGITS: Final = 9
HEAVY: Final = (JSONField, TextField, BinaryField, ArrayField)
"""Columns that a list never loads: one row of them may be a megabyte."""


class Pager(Paginator):  # type: ignore[type-arg]
    """Pages without COUNT: it looks at the page that is asked for and one row beyond."""

    def __init__(self, rows: QuerySet[Any], per_page: int, *, page: int) -> None:
        super().__init__(rows, per_page)
        self.page_asked_for = min(max(page, 1), LAST_PAGE)

    @cached_property
    def count(self) -> int:
        """How many rows are known of: never more than the end of the page after the asked one."""
        start = (self.page_asked_for - 1) * self.per_page
        rows: Any = self.object_list
        seen = rows.values_list("pk", flat=True)[start : start + self.per_page + 1]
        return min(start + len(seen), LAST_PAGE * self.per_page)

    @property
    def summary(self) -> str:
        """What can be said of the number of rows without counting them."""
        known = self.page_asked_for * self.per_page
        return f"more than {known}" if self.count > known else f"{self.count} in all"


class Rows(ChangeList):
    """A list in the one order that an index gives, without the columns that it doesn't show."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The admin's own order, whatever the address asks for: that may have no index."""
        self.params.pop(ORDER_VAR, None)
        ordered: list[Any] = super().get_ordering(request, queryset)
        return ordered

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*_unseen(self.model, self.list_select_related or ()))


def _unseen(model: type[Model], related: Any) -> list[str]:
    """The heavy columns of a model and of those that its list joins."""
    joined = [(f"{name}__", model._meta.get_field(name).related_model) for name in related]
    return [
        f"{prefix}{field.name}"
        for prefix, other in [("", model), *joined]
        for field in other._meta.concrete_fields  # type: ignore[union-attr]
        if isinstance(field, HEAVY)
    ]


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only services write."""

    list_per_page = ROWS_A_PAGE
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    followed: tuple[str, ...] = ()
    """What points at another row and has an index: its rows can be listed for that one."""
    ordering = ("-pk",)
    change_form_template = "operators/row.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list under the name of what it lists: mostly there is nothing to select."""
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All that isn't left out, also what no form would have."""
        if self.fields:
            return self.fields
        return [f.name for f in self.opts.concrete_fields if f.name not in (self.exclude or ())]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only offered filters: others could tell of columns that aren't shown, or be slow."""
        offered = {*map(str, self.get_list_filter(request)), *self.followed}
        return lookup.removesuffix("__exact") in offered

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows

    def get_paginator(
        self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any
    ) -> Paginator[Any]:
        asked = request.GET.get(PAGE_VAR, "")
        page = int(asked) if asked.isdecimal() and len(asked) <= PAGE_DIGITS else 1
        return Pager(queryset, per_page, page=page)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any) -> Any:
        """Do it with the chosen rows; "all there are" may be more than anybody has seen."""
        if request.POST.get("select_across", "0") != "0":
            raise PermissionDenied("Choose the rows one by one.")
        return super().response_action(request, queryset, *rest)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model:
        """The row with all that it points at, in one query; 404 where there is none."""
        joined = [f.name for f in self.opts.concrete_fields if isinstance(f, ForeignKey)]
        try:
            pk = self.opts.pk.to_python(object_id)
            found = self.get_queryset(request).select_related(*joined).filter(pk=pk).first()
        except (ValueError, ValidationError) as error:
            raise Http404 from error
        if found is None:
            raise Http404
        return found  # type: ignore[no-any-return]
