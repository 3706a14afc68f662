"""What is kept of the list of runs: its filters under names, and its rows as a file."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.common.errors import DomainError
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import parse_id, public_id
from apps.common.links import link
from apps.orgs.pages import check, command, needs, org_of, principal_of, show_refusal
from apps.runs import selectors
from apps.runs.errors import VIEW
from apps.runs.export import write_csv
from apps.runs.filtering import OLDEST, SORT, read_filter, view_url
from apps.runs.forms import RunFilterForm, ViewForm
from apps.runs.models import SavedView
from apps.runs.services.views import (
    MAY_SHARE,
    OWN_MAX,
    SHARED_MAX,
    create_view,
    delete_view,
    may_change,
    update_view,
)
from apps.runs.wording import filter_words

PAGE: Final = "runs/views.html"


@require_safe
@needs("runs.view", "data.export")
def export(request: HttpRequest) -> HttpResponseBase:
    """The list as a CSV file: all that its filter finds, up to the bound."""
    asked = read_filter(request, now=timezone.now())
    if not asked.form.is_valid():
        return HttpResponseRedirect(asked.address())  # where it is told what can't be read
    name = f"runs-{org_of(request).slug}-{asked.now:%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        write_csv(asked.rows, by=principal_of(request), keyset=asked.keyset),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("runs.view")
def views(request: HttpRequest) -> HttpResponse:
    """All saved views that one sees; a POST saves a filter under a name."""
    if request.method != "POST":
        return _list(request)
    form = ViewForm(request.POST, may_share=principal_of(request).may(MAY_SHARE))
    asked = RunFilterForm(request.POST)
    query = _query(request, asked) if asked.is_valid() else {}
    if not query:
        form.add_error(None, "There is no filter to save. Filter the list of runs first.")
    if form.is_valid() and (view := _create(request, form, query)):
        messages.success(request, f"The view {view.name} was saved.")
        return see_other(view_url(request, view.query))
    return _list(request, form=form, query=query, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("runs.view")
def view(request: HttpRequest, ref: str) -> HttpResponse:
    """One saved view to rename or share, for who may; a POST does it."""
    found, by = _changeable(request, ref), principal_of(request)
    data = request.POST if request.method == "POST" else None
    initial = {"name": found.name, "is_shared": found.is_shared}
    form = ViewForm(data, initial=initial, may_share=by.may(MAY_SHARE))
    if form.is_bound and form.is_valid() and _update(request, found, form):
        messages.success(request, "The view was changed.")
        return see_other(link(request, "runs:views"))
    context = {
        "crumbs": [
            ("Runs", link(request, "runs:runs")),
            ("Saved views", link(request, "runs:views")),
            (found.name, None),
        ],
        "view": _row(request, found),
        "form": form,
        "command": command(request, f"/v1/runs/views/{ref}"),
        "delete_text": "Everybody loses it." if found.is_shared else "The runs stay as they are.",
    }
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "runs/view.html", "form", context, status=status)


@require_POST
@needs("runs.view")
def remove(request: HttpRequest, ref: str) -> HttpResponse:
    """Forget a view."""
    found = _changeable(request, ref)
    delete_view(view_id=found.id, by=principal_of(request), at=timezone.now())
    messages.success(request, f"The view {found.name} was deleted.")
    return see_other(link(request, "runs:views"))


def _changeable(request: HttpRequest, ref: str) -> SavedView:
    """A view that this person may change; raises NotFound, PermissionDenied."""
    found = selectors.get_view(parse_id(VIEW, ref), by=principal_of(request))
    if not may_change(found, by=principal_of(request)):
        check(request, MAY_SHARE)
    return found


def _query(request: HttpRequest, form: RunFilterForm) -> dict[str, str]:
    order = {SORT: OLDEST} if request.POST.get(SORT) == OLDEST else {}
    return {**form.query(), **order}


def _create(request: HttpRequest, form: ViewForm, query: dict[str, str]) -> SavedView | None:
    try:
        return create_view(
            **form.cleaned_data, query=query, by=principal_of(request), at=timezone.now()
        )
    except DomainError as error:
        show_refusal(request, form, error)
        return None


def _update(request: HttpRequest, found: SavedView, form: ViewForm) -> bool:
    try:
        update_view(
            view_id=found.id,
            fields=form.cleaned_data,
            by=principal_of(request),
            at=timezone.now(),
        )
    except DomainError as error:
        show_refusal(request, form, error)
        return False
    return True


def _list(
    request: HttpRequest,
    *,
    form: ViewForm | None = None,
    query: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "crumbs": [("Runs", link(request, "runs:runs")), ("Saved views", None)],
        "views": [_row(request, found) for found in selectors.list_views(principal_of(request))],
        "runs_url": link(request, "runs:runs"),
        "own_max": OWN_MAX,
        "shared_max": SHARED_MAX,
        "form": form,
        "query": query or {},
        "query_words": filter_words(query or {}),
        "command": command(request, "/v1/runs/views"),
    }
    return render_page_or_partial(request, PAGE, "list", context, status=status)


def _row(request: HttpRequest, found: SavedView) -> dict[str, Any]:
    ref = public_id(VIEW, found.id)
    can_change = may_change(found, by=principal_of(request))
    return {
        "id": ref,
        "name": found.name,
        "url": view_url(request, found.query),
        "words": filter_words(found.query),
        "is_shared": found.is_shared,
        "owner": found.owner_label,
        "updated_at": found.updated_at,
        "edit_url": link(request, "runs:view", ref) if can_change else None,
        "delete_url": link(request, "runs:view_delete", ref),
    }
