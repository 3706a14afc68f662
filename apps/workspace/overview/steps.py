"""The way from an empty organization to a program that calls its agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from apps.orgs.selectors import Counts


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, for who has the permissions that it `needs`."""

    title: str
    note: str
    done: bool
    url: str
    action: str
    icon: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What decides which steps are done."""

    counts: Counts
    has_agent: bool
    has_run: bool


def open_steps(
    begun: Beginning, *, may: frozenset[str], carry: Callable[[str], str]
) -> dict[str, Any] | None:
    """The check list of somebody with these permissions; None once all of it is done.

    `carry` puts the selected project on an address.

    It is for those who build: who may only look has nothing to set up.
    """
    if "agents.edit" not in may:
        return None
    steps = [
        replace(step, url=carry(step.url)) for step in _steps(begun) if may.issuperset(step.needs)
    ]
    done = sum(step.done for step in steps)
    if done == len(steps):
        return None
    return {"steps": steps, "done": done, "is_folded": begun.has_run}


def _steps(begun: Beginning) -> list[Step]:
    return [
        Step(
            "Create a project",
            "Each groups the agents and runs of one purpose.",
            begun.counts.projects > 1,
            "/projects/#new-project",
            "Projects",
            "folder",
            ("projects.create", "projects.view"),
        ),
        Step(
            "Register an agent",
            "A built-in skill takes a minute, your own endpoint two.",
            begun.has_agent,
            "/agents/" if begun.has_agent else "/agents/new/",
            "Agents" if begun.has_agent else "New agent",
            "bot",
            ("agents.edit", "agents.view"),
        ),
        Step(
            "Make an API key",
            "A program calls the API with it. It is shown once.",
            begun.counts.keys > 0,
            "/settings/keys/#new-key",
            "API keys",
            "key-round",
            ("keys.own",),
        ),
        Step(
            "Run it",
            "Try one of its tools and see each step on record.",
            begun.has_run,
            "/runs/" if begun.has_run else "/agents/",
            "Runs" if begun.has_run else "Agents",
            "play",
            ("agents.invoke", "runs.view"),
        ),
        Step(
            "Invite a colleague",
            "As owner, admin, member or viewer.",
            begun.counts.members > 1,
            "/settings/members/#invite",
            "Members",
            "user-plus",
            ("invitations.manage", "members.view"),
        ),
    ]
