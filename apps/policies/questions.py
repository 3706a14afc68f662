"""What policies are asked about a call, and what comes back. Nothing here knows a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from apps.common.ids import public_id
from apps.common.json import Object

RUN: Final = "run"
INPUT_RUN: Final = "input_run"
"""Where a kept document says which run has the input that it was made of."""
Action = Literal["agent.invoke", "agent.call", "tool.call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks: a person or their key ("user"), or an agent, with the role and the groups of the
    member who stands behind.
    """

    type: Literal["user", "agent"]
    id: str
    role: str | None
    groups: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is asked for: a tool of an agent, in the project that the call counts for.

    The caller names that one, so the agent's own counts too: nobody gets past a policy by naming
    another. `tags` are both projects'.
    """

    agent_id: UUID
    agent: str
    tool: str
    annotations: Mapping[str, bool]
    project_id: UUID
    agent_project_id: UUID
    project: str
    agent_project: str
    tags: Sequence[str] = ()
    agent_tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Under which circumstances: `caller` is the calling agent's slug, `lineage` the agents from
    the root's down to the caller, `depth` how many those are. `host` is where a tool call goes.
    """

    cost_micros: int
    depth: int
    environment: str
    input: Object
    at: datetime
    caller: str | None = None
    lineage: Sequence[str] = ()
    host: str | None = None
    host_is_new: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May this subject do this to that, now? `run_id` is the run that it is about."""

    action: Action
    subject: Subject
    resource: Resource
    context: Circumstances
    run_id: UUID

    def document(self) -> Object:
        """The question as policies read it (`input` in Rego)."""
        who, what, how = self.subject, self.resource, self.context
        context: Object = {
            "cost_micros": how.cost_micros,
            "depth": how.depth,
            "caller": how.caller,
            "lineage": list(how.lineage),
            "environment": how.environment,
            "input": how.input,
            "time": how.at.astimezone(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
        }
        if how.host is not None:
            context |= {"host": how.host, "host_is_new": bool(how.host_is_new)}
        return {
            "subject": {
                "type": who.type,
                "id": who.id,
                "role": who.role,
                "groups": sorted(who.groups),
            },
            "action": {"name": self.action},
            "resource": {
                "agent": what.agent,
                "tool": what.tool,
                "annotations": dict(what.annotations),
                "project": {"slug": what.project, "tags": list(what.tags)},
                "agent_project": {"slug": what.agent_project, "tags": list(what.agent_tags)},
            },
            "context": context,
        }

    def kept(self, masked_input: Object) -> Object:
        """The question as it is kept: what a run is begun with by reference, for the run has it.

        Whose run an agent's call becomes, if one, nobody knows yet: its input is kept here.
        """
        document = self.document()
        context = document["context"]
        if self.action == "agent.invoke":
            del context["input"]
            context[INPUT_RUN] = public_id(RUN, self.run_id)
        else:
            context["input"] = masked_input
        return document
