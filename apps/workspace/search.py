"""What a few words find in an org: agents, runs, what governs them, projects, people, pages and
things to do.

One query a kind, whatever it finds, and none for what the asker may not see. Runs and approvals
are looked for among the newest only: no index answers words, and there may be millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from apps.agents import selectors as agents
from apps.agents.pages import agent_url
from apps.approvals import selectors as approvals
from apps.approvals.models import Approval, ApprovalStatus
from apps.approvals.presenting import LOOKS, approval_url
from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.links import carried, link
from apps.orgs import selectors as orgs
from apps.orgs.pages import principal_of
from apps.orgs.settings_pages import TABS
from apps.policies import selectors as policies
from apps.policies.links import url_of_policy
from apps.runs import selectors as runs
from apps.runs.errors import RUN
from apps.runs.presenting import run_url, short_id
from apps.runs.reading import READ, title_for
from apps.workspace.context import ACTIONS, NAV

WORDS_MAX: Final = 100
LOOK_BACK: Final = timedelta(days=30)
LOOKED_AT: Final = 10_000
IN_PALETTE: Final = 5
ON_PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing found: its name, what tells it from others, and where it is."""

    label: str
    url: str
    icon: str
    note: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The things of one kind; `more_url` leads to the list of all that say these words."""

    label: str
    hits: list[Hit] = field(default_factory=list)
    more_url: str | None = None


def words_of(request: HttpRequest) -> str:
    """What was asked for, as far as it is read."""
    return request.GET.get("q", "").replace("\0", "").strip()[:WORDS_MAX]


def search(request: HttpRequest, words: str, *, limit: int) -> list[Group]:
    """What these words find, by kind, at most `limit` of each; without words pages and actions."""
    places = [_pages(request, words, limit), _actions(request, words, limit)]
    found = find_things(request, words, limit=limit)
    return [*found, *(group for group in places if group.hits)]


def find_things(request: HttpRequest, words: str, *, limit: int) -> list[Group]:
    """What of the org's own things these words find; nothing without words."""
    if not words:
        return []
    may = principal_of(request).may
    found = [find(request, words, limit) for find, code in _KINDS if may(code)]
    return [group for group in found if group.hits]


def _agents(request: HttpRequest, words: str, limit: int) -> Group:
    rows = agents.list_agents(q=words).prefetch_related(None).order_by("name", "id")
    found = list(rows[: limit + 1])
    hits = [
        Hit(agent.name, agent_url(request, agent), "bot", agent.project.name, agent.status)
        for agent in found[:limit]
    ]
    more = link(request, "agents:agents", q=words) if len(found) > limit else None
    return Group("Agents", hits, more)


def _runs(request: HttpRequest, words: str, limit: int) -> Group:
    by = principal_of(request)
    found = list(_run_rows(words, in_titles=by.may(READ))[: limit + 1])
    hits = [
        Hit(title_for(by, run), run_url(request, run.id), "activity", _run_note(run), run.status)
        for run in found[:limit]
    ]
    more = link(request, "runs:runs", q=words, level="all") if len(found) > limit else None
    return Group("Runs", hits, more)


def _run_rows(words: str, *, in_titles: bool) -> Any:
    """A run by its id, or those whose title, caller or session says the words."""
    rows = runs.list_runs().order_by("-created_at", "-id")
    if words.startswith(f"{RUN}_"):
        try:
            return runs.list_run_lines(rows.filter(id=parse_id(RUN, words)))
        except NotFound:
            return rows.none()
    newest = runs.list_newest_ids(since=timezone.now() - LOOK_BACK, limit=LOOKED_AT)
    return runs.list_run_lines(rows.filter(id__in=newest), words=words, in_titles=in_titles)


def _run_note(run: Any) -> str:
    return f"{run.agent_slug} · {short_id(run.id)}"


def _policies(request: HttpRequest, words: str, limit: int) -> Group:
    rows = policies.list_policies(q=words).prefetch_related(None).order_by("name", "id")
    found = list(rows[: limit + 1])
    hits = [
        Hit(policy.name, carried(request, url_of_policy(policy.id)), "scale", f"v{policy.version}")
        for policy in found[:limit]
    ]
    more = link(request, "policies:policies", q=words) if len(found) > limit else None
    return Group("Policies", hits, more)


def _approvals(request: HttpRequest, words: str, limit: int) -> Group:
    found = approvals.find_said(words, principal_of(request), among=LOOKED_AT)[:limit]
    hits = [
        Hit(approval.title, approval_url(request, approval), "stamp", _approval_note(approval))
        for approval in found
    ]
    return Group("Approvals", hits)


def _approval_note(approval: Approval) -> str:
    _, word = LOOKS[ApprovalStatus(approval.status)]
    return f"{word} · {approval.requester_label}"


def _projects(request: HttpRequest, words: str, limit: int) -> Group:
    found = list(orgs.list_projects(q=words).order_by("name", "id")[: limit + 1])
    hits = [
        Hit(project.name, link(request, "orgs:project", project.slug), "folder", project.slug)
        for project in found[:limit]
    ]
    more = link(request, "orgs:projects", q=words) if len(found) > limit else None
    return Group("Projects", hits, more)


def _people(request: HttpRequest, words: str, limit: int) -> Group:
    found = list(orgs.list_members(q=words).order_by("label", "id")[: limit + 1])
    hits = [
        Hit(
            member.label,
            link(request, "orgs:members", q=member.email),
            "user-round",
            f"{member.email} · {member.role.name}",
        )
        for member in found[:limit]
    ]
    more = link(request, "orgs:members", q=words) if len(found) > limit else None
    return Group("People", hits, more)


_KINDS: Final = (
    (_agents, "agents.view"),
    (_runs, "runs.view"),
    (_approvals, approvals.VIEW),
    (_policies, "policies.view"),
    (_projects, "projects.view"),
    (_people, "members.view"),
)
"""How things of each kind are found, and the permission that it takes."""


def _pages(request: HttpRequest, words: str, limit: int) -> Group:
    """Pages whose name says the words; all of them where none were given."""
    named = [(label, path, icon, "") for label, path, icon in _open_pages(request)]
    return Group("Pages", list(_named(request, named, words))[: limit if words else None])


def _open_pages(request: HttpRequest) -> Iterator[tuple[str, str, str]]:
    may, seen = principal_of(request).may, set()
    entries: list[tuple[str, str, str, tuple[str, ...]]] = [
        (label, path, icon, (code,) if code else ()) for _, label, path, icon, code in NAV
    ]
    entries += [(f"Settings: {label}", path, "settings", codes) for label, path, codes in TABS]
    for label, path, icon, codes in entries:
        if path not in seen and all(map(may, codes)):
            seen.add(path)
            yield label, path, icon


def _actions(request: HttpRequest, words: str, limit: int) -> Group:
    may = principal_of(request).may
    allowed = [(label, path, icon, also) for label, path, icon, code, also in ACTIONS if may(code)]
    return Group("Actions", list(_named(request, allowed, words))[:limit])


def _named(
    request: HttpRequest, entries: Iterable[tuple[str, str, str, str]], words: str
) -> Iterator[Hit]:
    """Those whose label or other words hold every one of the words."""
    wanted = words.lower().split()
    for label, path, icon, also in entries:
        if all(word in f"{label} {also}".lower() for word in wanted):
            yield Hit(label, carried(request, path), icon)
