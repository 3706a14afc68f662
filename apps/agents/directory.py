"""What an invocation has to know of an agent: what it is now, and what it froze itself to be.

Manifests never change, so a process reads each once and keeps its tools' compiled schemas. Which is
an agent's present one it remembers too, and never relies on: admission looks at the agent's row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import AuthRequirement, Grant, Manifest
from apps.agents.runtimes.base import Annotations, GrantedTool, ToolSpec, runtime_of
from apps.common.errors import Invalid, NotFound
from apps.common.ids import parse_id
from apps.common.json import Object
from apps.common.lru import WeighedCache
from apps.common.schemas import Validator, compile_schema
from apps.common.text import is_slug
from apps.orgs.selectors import AGENT as AGENT
from apps.tenants import keys

MANIFESTS_KEPT = 16 * 1024 * 1024
"""How many characters of manifests a process keeps; compiled schemas take several times that."""
LISTINGS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Tool:
    """A capability as it was frozen, with its schemas ready to check values."""

    name: str
    description: str
    auth: str
    price_micros: int
    input: Validator
    output: Validator
    input_schema: Object
    output_schema: Object
    annotations: Annotations = field(default_factory=Annotations)


@dataclass(frozen=True, slots=True)
class Frozen:
    """An agent as one of its manifests has it."""

    id: UUID
    version: int
    digest: str
    runtime: str
    config: Object
    timeout_seconds: int
    tools: Mapping[str, Tool]

    @property
    def waits(self) -> bool:
        """Whether carrying it out may wait for somebody outside this process."""
        return runtime_of(self.runtime).waits(self.config)

    def choose(self, name: str | None) -> Tool:
        """The tool of that name, or without one the only tool; raises Invalid."""
        if name is None and len(self.tools) == 1:
            return next(iter(self.tools.values()))
        if name is None or name not in self.tools:
            raise Invalid.of("tool", f"Use one of: {', '.join(sorted(self.tools))}.")
        return self.tools[name]


@dataclass(frozen=True, slots=True)
class Listing:
    """An agent that can be called: who it is now, its present manifest, and its project's tags.

    A recalled one is what that was when the agent was called the last time.
    """

    id: UUID
    slug: str
    project_id: UUID
    project: str
    tags: tuple[str, ...]
    frozen: Frozen
    is_recalled: bool = False


_manifests: Final = WeighedCache[UUID, Frozen](MANIFESTS_KEPT)
_Row = tuple[UUID, str, UUID, str, list[str], UUID]
_listings: Final = WeighedCache[tuple[UUID | None, str], _Row](LISTINGS_KEPT)
"""Rows only, by org and slug: the manifests that they name have their own bound."""
_LISTING: Final = """
select a.id, a.slug, a.project_id, p.slug, array(select jsonb_array_elements_text(p.tags)),
  a.manifest_id
from agents a join projects p on p.id = a.project_id where {} limit 1
"""
_BY_SLUG: Final = _LISTING.format("a.slug = %s and a.status <> 'retired'")
_BY_ID: Final = _LISTING.format("a.id = %s")
_GRANTED: Final = """
select a.slug, a.manifest_id, array(select jsonb_array_elements_text(g.tools))
from grants g join agents a on a.id = g.callee_id
where g.caller_id = %s and g.active and (g.expires_at is null or g.expires_at > %s)
  and a.status = 'active' order by a.slug
"""


def get_listing(id_or_slug: str) -> Listing:
    """The agent by its public id, or by its slug while it isn't retired; raises NotFound.

    Written out, as it stands before every invocation.
    """
    by_slug = is_slug(id_or_slug)
    value = id_or_slug if by_slug else parse_id(AGENT, id_or_slug)
    rows = connection.fetch(_BY_SLUG if by_slug else _BY_ID, [value])  # type: ignore[attr-defined]
    if not rows:
        raise NotFound("There is no such agent.")
    if by_slug:
        _listings.put((keys.current().org_id, id_or_slug), rows[0], 1)
    return _listing(rows[0])


def recall_listing(id_or_slug: str) -> Listing:
    """The agent as it was when this process read it the last time, or else read now.

    Good enough to let a call begin, which admission checks, and never to refuse one.
    """
    row = _listings.find((keys.current().org_id, id_or_slug))
    return _listing(row, is_recalled=True) if row else get_listing(id_or_slug)


def _listing(row: _Row, *, is_recalled: bool = False) -> Listing:
    agent_id, slug, project_id, project, tags, manifest_id = row
    frozen = get_frozen(manifest_id)
    return Listing(agent_id, slug, project_id, project, tuple(tags), frozen, is_recalled)


def get_frozen(manifest_id: UUID) -> Frozen:
    """A manifest, ready for use; the present org must be able to see it the first time."""
    return _manifests.get(manifest_id, _read)


def list_granted_tools(*, caller_id: UUID, at: datetime) -> list[GrantedTool]:
    """The tools of active agents that this agent holds a grant for now, in order; one query, and
    one for each manifest that this process hasn't read yet.
    """
    rows = connection.fetch(_GRANTED, [caller_id, at])  # type: ignore[attr-defined]
    return [
        GrantedTool(slug, _spec(tool))
        for slug, manifest_id, granted in rows
        for name, tool in sorted(get_frozen(manifest_id).tools.items())
        if tool.auth != AuthRequirement.PERSON and ("*" in granted or name in granted)
    ]


def may_call(*, caller_id: UUID, callee_id: UUID, tool: str) -> bool:
    """Whether the caller holds a grant now that names the tool, be there such a tool or not."""
    rows = Grant.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=Now()),
        Q(tools__contains=[tool]) | Q(tools__contains=["*"]),
        caller_id=caller_id,
        callee_id=callee_id,
        active=True,
    )
    return rows.exists()


def _spec(tool: Tool) -> ToolSpec:
    return ToolSpec(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
    )


def _read(manifest_id: UUID) -> tuple[Frozen, int]:
    """A manifest and how long its text is."""
    document, digest = Manifest.objects.values_list("document", "digest").get(id=manifest_id)
    frozen = Frozen(
        id=manifest_id,
        version=document["version"],
        digest=digest,
        runtime=document["runtime"]["kind"],
        config=document["runtime"]["config"],
        timeout_seconds=document["timeout_seconds"],
        tools={tool["name"]: _tool(tool) for tool in document["capabilities"]},
    )
    return frozen, len(json.dumps(document))


def _tool(capability: Mapping[str, Any]) -> Tool:
    return Tool(
        name=capability["name"],
        description=capability["description"],
        auth=capability["auth"],
        price_micros=capability["price_micros"],
        input=compile_schema(capability["input_schema"]),
        output=compile_schema(capability["output_schema"]),
        input_schema=capability["input_schema"],
        output_schema=capability["output_schema"],
        annotations=Annotations(**capability["annotations"]),
    )
