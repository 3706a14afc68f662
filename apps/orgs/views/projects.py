"""Projects: the list with its filter, one project, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.common.errors import DomainError, PermissionDenied
from apps.common.etag import Precondition
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.common.links import PROJECT, link, said, turn
from apps.common.pagination import paginate
from apps.orgs import ruled, selectors
from apps.orgs.forms import ProjectEditForm, ProjectForm
from apps.orgs.models import Project
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.services import projects as services
from apps.orgs.settings_pages import page

ARCHIVED = {"": None, "active": False, "archived": True}
FILTERS = ("q", "status")
TEMPLATE = "orgs/projects_list.html"


@require_http_methods(["GET", "HEAD", "POST"])
@needs("projects.view")
def index(request: HttpRequest) -> HttpResponse:
    """All projects; a POST makes one."""
    form = ProjectForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        check(request, "projects.create")
        if form.is_valid() and (project := _create(request, form)):
            messages.success(request, f"Project {project.name} was created.")
            # What was made is what one goes on with: it becomes the selected project.
            return see_other(link(request, "orgs:project", project.slug, project=project.slug))
    status = 422 if form.is_bound else 200
    context = page(request, "Projects", form=form, **_listing(request))
    return render_page_or_partial(request, TEMPLATE, "results", context, status=status)


def _create(request: HttpRequest, form: ProjectForm) -> Project | None:
    try:
        return services.create_project(
            **form.cleaned_data, actor=principal_of(request).actor, at=timezone.now()
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


def _listing(request: HttpRequest) -> dict[str, Any]:
    """The page of projects that the query asks for."""
    q, status = said(request, "q"), said(request, "status")
    rows = selectors.list_projects(q=q, archived=ARCHIVED.get(status))
    found = paginate(rows, after=request.GET.get("after"), before=request.GET.get("before"))
    return {
        "projects": [_row(request, project) for project in found.items],
        "q": q,
        "status": status,
        "filtered": bool(q or status),
        "chosen": request.GET.get(PROJECT, ""),
        "clear_url": link(request, "orgs:projects"),
        "newer_url": turn(request, "before", found.previous, keep=FILTERS),
        "older_url": turn(request, "after", found.next, keep=FILTERS),
        "can_create": principal_of(request).may("projects.create"),
        "command": command(request, "/v1/projects"),
    }


def _row(request: HttpRequest, project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "slug": project.slug,
        "url": link(request, "orgs:project", project.slug),
        "tags": project.tags,
        "archived_at": project.archived_at,
        "created_at": project.created_at,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@needs("projects.view")
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """One project; a POST changes it, unless somebody else did meanwhile."""
    project = selectors.get_project(ref)
    form = ProjectEditForm(
        request.POST if request.method == "POST" else None,
        initial={
            "name": project.name,
            "tags": ", ".join(project.tags),
            "version": services.version_of(project),
        },
    )
    if request.method == "POST":
        check(request, "projects.edit")
        if form.is_valid() and _update(request, project, form):
            messages.success(request, "Your changes were saved.")
            return see_other(link(request, "orgs:project", project.slug))
    if not ruled.may(principal_of(request)):
        form.fix_tags()
    status = 422 if form.is_bound else 200
    facts = _facts(request, project)
    context = page(request, "Projects", below=project.name, form=form, **facts)
    return render_page_or_partial(
        request, "orgs/project_detail.html", "form", context, status=status
    )


def _update(request: HttpRequest, project: Project, form: ProjectEditForm) -> bool:
    try:
        services.update_project(
            project_id=project.id,
            name=form.cleaned_data["name"],
            tags=form.cleaned_data["tags"] if "tags" in form.changed_data else None,
            expected=Precondition.read(form.cleaned_data["version"]),
            may_retag=ruled.ask(principal_of(request)),
            actor=principal_of(request).actor,
            at=timezone.now(),
        )
    except PermissionDenied:
        raise
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _facts(request: HttpRequest, project: Project) -> dict[str, Any]:
    may = principal_of(request).may
    public = public_id("prj", project.id)
    return {
        "project": {
            "id": public,
            "name": project.name,
            "slug": project.slug,
            "archived_at": project.archived_at,
            "created_at": project.created_at,
            "updated_at": project.updated_at,
        },
        "can_edit": may("projects.edit"),
        "danger": _danger(request, project) if may("projects.edit") else None,
        "command": command(request, f"/v1/projects/{project.slug}"),
    }


def _danger(request: HttpRequest, project: Project) -> dict[str, Any] | None:
    """What can be done to a project that isn't everybody's fallback."""
    if project.is_default:
        return None
    if project.archived_at:
        return {
            "title": "Restore project",
            "text": "It is offered again wherever a project can be chosen.",
            "url": link(request, "orgs:project_restore", project.slug),
            "verb": "Restore project",
            "asks": False,
        }
    return {
        "title": "Archive project",
        "text": "It is no longer offered for new work. Nothing is lost, and you can restore it.",
        "url": link(request, "orgs:project_archive", project.slug),
        "verb": "Archive project",
        "asks": True,
    }


@require_POST
@needs("projects.edit")
def archive(request: HttpRequest, ref: str) -> HttpResponse:
    """Put a project away; it can be restored."""
    return _moved(request, ref, services.archive_project, "archived")


@require_POST
@needs("projects.edit")
def restore(request: HttpRequest, ref: str) -> HttpResponse:
    """Bring an archived project back."""
    return _moved(request, ref, services.restore_project, "restored")


def _moved(request: HttpRequest, ref: str, move: Callable[..., Project], done: str) -> HttpResponse:
    project = selectors.get_project(ref)
    move(project_id=project.id, actor=principal_of(request).actor, at=timezone.now())
    messages.success(request, f"Project {project.name} was {done}.")
    return see_other(link(request, "orgs:project", project.slug))
