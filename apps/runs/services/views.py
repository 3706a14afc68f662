"""Saved views: filters of the list of runs that a member, or the whole org, has under a name.

A view of one's own is a private note and leaves no record. One that is shared is the org's: it
needs the right to edit projects, and each change of it is in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from apps.common.errors import Invalid, NotFound, PermissionDenied
from apps.common.json import Object
from apps.orgs.principals import Principal
from apps.orgs.services.recording import recorder
from apps.runs.errors import VIEW, TooManyViews, ViewNameInUse
from apps.runs.models import NAME_MAX, SavedView
from apps.runs.selectors import list_views, owner_of_views

MAY_SHARE: Final = "projects.edit"
OWN_MAX: Final = 20
SHARED_MAX: Final = 20
_record = recorder("view", VIEW, app="runs")


def create_view(
    *, name: str, query: Mapping[str, str], is_shared: bool = False, by: Principal, at: datetime
) -> SavedView:
    """Keep a filter under a name.

    Raises Invalid, PermissionDenied for sharing without the right, ViewNameInUse, TooManyViews.
    """
    owner_id, owner_label = owner_of_views(by)
    view = SavedView(
        name=_check_name(name),
        query=dict(query),
        is_shared=is_shared,
        owner_id=owner_id,
        owner_label=owner_label,
        created_at=at,
        updated_at=at,
    )
    _check_right(by, view)
    with _names_taken(view), transaction.atomic():
        _make_room(by, view)
        view.save(force_insert=True)
        if view.is_shared:
            _record(view, "created", by.actor, at, new=_facts(view))
    return view


def update_view(*, view_id: UUID, fields: Object, by: Principal, at: datetime) -> SavedView:
    """Change `name`, `query` or `is_shared`; whoever unshares a view has it as their own.

    Raises NotFound, Invalid, PermissionDenied, ViewNameInUse, TooManyViews.
    """
    with transaction.atomic():
        view = _lock(view_id, by)
        before = _facts(view)
        _check_right(by, view)
        _apply(view, fields, by)
        _check_right(by, view)
        after = _facts(view)
        if before == after:
            return view
        if before["is_shared"] != after["is_shared"]:
            _make_room(by, view)
        view.updated_at = at
        with _names_taken(view):
            view.save()
        if before["is_shared"] or after["is_shared"]:
            _record(view, "changed", by.actor, at, old=before, new=after)
    return view


def delete_view(*, view_id: UUID, by: Principal, at: datetime) -> None:
    """Forget a view. Raises NotFound, PermissionDenied."""
    with transaction.atomic():
        view = _lock(view_id, by)
        _check_right(by, view)
        subject = SavedView(id=view.id)
        view.delete()
        if view.is_shared:
            _record(subject, "deleted", by.actor, at, old=_facts(view))


def may_change(view: SavedView, *, by: Principal) -> bool:
    """Whether this principal may change a view that they see."""
    return not view.is_shared or by.may(MAY_SHARE)


@contextmanager
def _names_taken(view: SavedView) -> Iterator[None]:
    """Say in words that the name is another view's; the constraint is what knows it."""
    try:
        yield
    except IntegrityError as error:
        whose = "another shared view" if view.is_shared else "another view of yours"
        raise ViewNameInUse(f"“{view.name}” is the name of {whose}.") from error


def _lock(view_id: UUID, by: Principal) -> SavedView:
    found = list_views(by).select_for_update().filter(id=view_id).first()
    if found is None:
        raise NotFound("There is no such view.")
    return found


def _check_right(by: Principal, view: SavedView) -> None:
    if not may_change(view, by=by):
        raise PermissionDenied(
            f"A shared view needs the permission {MAY_SHARE}.", permission=MAY_SHARE
        )


def _apply(view: SavedView, fields: Object, by: Principal) -> None:
    if "name" in fields:
        view.name = _check_name(fields["name"])
    if "query" in fields:
        view.query = dict(fields["query"])
    if view.is_shared and not fields.get("is_shared", True):
        view.owner_id, view.owner_label = owner_of_views(by)
    view.is_shared = fields.get("is_shared", view.is_shared)


def _make_room(by: Principal, view: SavedView) -> None:
    """Raises TooManyViews; one at a time, so that two at once don't pass the limit together."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [_lock_name(by)])
    rows, most = SavedView.objects.filter(is_shared=view.is_shared), SHARED_MAX
    if not view.is_shared:
        rows, most = rows.filter(owner_id=view.owner_id), OWN_MAX
    if rows.exclude(id=view.id).count() >= most:
        kind = "shared views" if view.is_shared else "views of your own"
        raise TooManyViews(f"There can be {most} {kind}. Delete one first.")


def _lock_name(by: Principal) -> str:
    return f"runs.views:{by.org_id}"


def _check_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX:
        raise Invalid.of("name", f"Use 1 to {NAME_MAX} characters.")
    return name


def _facts(view: SavedView) -> Object:
    return {"name": view.name, "filter": dict(view.query), "is_shared": view.is_shared}
