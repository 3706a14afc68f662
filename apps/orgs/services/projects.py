"""Changing projects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.common.actors import Actor
from apps.common.errors import Invalid, NotFound
from apps.common.etag import NO_PRECONDITION, Precondition, etag_of
from apps.common.text import free_slug, is_slug, make_slug
from apps.orgs import ruled
from apps.orgs.errors import ProjectInUse, SlugInUse
from apps.orgs.labels import check_labels
from apps.orgs.models import Project
from apps.orgs.selectors import PROJECT
from apps.orgs.services.recording import recorder

_record = recorder("project", PROJECT)


def version_of(project: Project) -> str:
    """The ETag of a project."""
    return etag_of(project.version, project.id)


def create_project(
    *, name: str, slug: str = "", tags: list[str] | None = None, actor: Actor, at: datetime
) -> Project:
    """Make a project; without a slug it gets the nearest free one to its name.

    Raises Invalid for values that won't do, SlugInUse.
    """
    name, wanted = _check_name(name), slug or _suggest_slug(name)
    if not is_slug(wanted):
        raise Invalid.of("slug", "Use 1 to 40 lower-case letters, digits and hyphens.")
    kept = check_labels(tags or [], field="tags")
    project = Project(name=name, slug=wanted, tags=kept, created_at=at, updated_at=at)
    try:
        with transaction.atomic():
            project.save(force_insert=True)
            _record(project, "created", actor, at, new=_facts(project))
    except IntegrityError as error:
        raise SlugInUse(f"The slug “{wanted}” belongs to another project.") from error
    return project


def update_project(
    *,
    project_id: UUID,
    name: str | None = None,
    tags: list[str] | None = None,
    archived: bool | None = None,
    expected: Precondition = NO_PRECONDITION,
    may_retag: Callable[[], bool] = ruled.nobody,
    actor: Actor,
    at: datetime,
) -> Project:
    """Change what is given and leave the rest; nothing changed is no new version.

    Raises NotFound, PreconditionFailed if the version isn't the expected one, Invalid,
    ProjectInUse for archiving the default project, and PermissionDenied for other tags than it has
    from who may not give them (apps.orgs.ruled).
    """
    with transaction.atomic():
        project = _lock(project_id, expected)
        before = _facts(project)
        _apply(project, name=name, tags=tags, archived=archived, at=at)
        after = _facts(project)
        changed = {field for field in after if after[field] != before[field]}
        if not changed:
            return project
        if "tags" in changed and not may_retag():
            raise ruled.refused("a project’s tags")
        project.version, project.updated_at = project.version + 1, at
        project.save(update_fields=["name", "tags", "archived_at", "version", "updated_at"])
        _record(
            project,
            _verb(changed, archived),
            actor,
            at,
            old={field: before[field] for field in changed},
            new={field: after[field] for field in changed},
        )
    return project


def archive_project(*, project_id: UUID, actor: Actor, at: datetime) -> Project:
    """Put a project away: it stays readable and can be brought back."""
    return update_project(project_id=project_id, archived=True, actor=actor, at=at)


def restore_project(*, project_id: UUID, actor: Actor, at: datetime) -> Project:
    """Bring an archived project back."""
    return update_project(project_id=project_id, archived=False, actor=actor, at=at)


def delete_project(
    *, project_id: UUID, expected: Precondition = NO_PRECONDITION, actor: Actor, at: datetime
) -> None:
    """Delete a project that nothing hangs on.

    Raises NotFound, PreconditionFailed, ProjectInUse for the default project or one in use.
    """
    try:
        with transaction.atomic():
            project = _lock(project_id, expected)
            if project.is_default:
                raise ProjectInUse("The default project takes what names no project.")
            facts, subject = _facts(project), Project(id=project.id)
            project.delete()
            _record(subject, "deleted", actor, at, old=facts)
    except ProtectedError as error:
        raise ProjectInUse("Something still belongs to it. Archive it instead.") from error


def _lock(project_id: UUID, expected: Precondition) -> Project:
    project = Project.objects.select_for_update().filter(id=project_id).first()
    if project is None:
        raise NotFound
    expected.check(version_of(project))
    return project


def _apply(
    project: Project,
    *,
    name: str | None,
    tags: list[str] | None,
    archived: bool | None,
    at: datetime,
) -> None:
    if name is not None:
        project.name = _check_name(name)
    if tags is not None:
        project.tags = check_labels(tags, field="tags")
    if archived is not None:
        if archived and project.is_default:
            raise ProjectInUse("The default project cannot be archived.")
        project.archived_at = (project.archived_at or at) if archived else None


def _check_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise Invalid.of("name", "Use 1 to 80 characters.")
    return name


def _suggest_slug(name: str) -> str:
    slug = make_slug(name, fallback="project")
    return free_slug(slug, is_taken=lambda s: Project.objects.filter(slug=s).exists())


def _verb(changed: set[str], archived: bool | None) -> str:
    if changed == {"archived"}:
        return "archived" if archived else "restored"
    return "updated"


def _facts(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "slug": project.slug,
        "tags": list(project.tags),
        "archived": project.archived_at is not None,
    }
