"""`/v1` of agents: what is registered, what each offers, and who may call whom."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors
from apps.agents.api import examples
from apps.agents.api import serializers as s
from apps.agents.models import Agent
from apps.agents.services import agents, capabilities, grants
from apps.agents.services.changing import version_of
from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.openapi import page_of
from apps.common.pagination import NEWEST_FIRST, Keyset
from apps.orgs import ruled
from apps.orgs.api.base import OrgView
from apps.orgs.api.keys import AgentKeyWrite, KeyRead, NewKeyRead, answer_new_key
from apps.orgs.selectors import MEMBER, get_project, list_keys
from apps.orgs.services.keys import create_key

BY_NAME: Final = Keyset(("name",), descending=False)


class AgentsView(OrgView):
    required = {"GET": "agents.view", "POST": "agents.edit"}
    filters = s.AgentFilter
    list_keyset = NEWEST_FIRST
    list_heavy = ("manifest__document",)

    @extend_schema(
        operation_id="agents_list",
        tags=["agents"],
        parameters=[s.AgentFilter],
        responses=page_of(s.AgentRead),
    )
    def get(self, request: Request) -> Response:
        wanted = self.read_query(s.AgentFilter)
        if "project" in wanted:
            project = wanted.pop("project")
            wanted["project_id"] = self.named("project", lambda: get_project(project)).id
        return self.answer_page(s.AgentRead, selectors.list_agents(**wanted), keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="agents_create",
        tags=["agents"],
        request=s.AgentWrite,
        responses={201: s.NewAgentRead},
        examples=examples.AGENT_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Register an agent. A signing secret is in this answer and nowhere else."""
        data = _resolved(self, self.read(s.AgentWrite))
        data.setdefault("accountable_id", self.by.member_id)
        data.setdefault("config", {})
        made = agents.create_agent(**data, actor=self.by.actor, at=timezone.now())
        secret = agents.find_signing_secret(made)
        return _agent(self, made, serializer=s.NewAgentRead, status=201, signing_secret=secret)


class AgentView(OrgView):
    """An agent by its id or slug."""

    required = {"GET": "agents.view", "PATCH": "agents.edit", "DELETE": "agents.delete"}
    versioned = True

    @extend_schema(
        operation_id="agents_get", tags=["agents"], responses=s.AgentRead, examples=examples.AGENT
    )
    def get(self, request: Request, agent: str) -> Response:
        found = selectors.get_agent(agent)
        return self.answer(s.AgentRead, found, version=version_of(found))

    @extend_schema(
        operation_id="agents_change",
        tags=["agents"],
        request=s.AgentChange,
        responses=s.AgentRead,
        examples=examples.AGENT_CHANGE,
    )
    def patch(self, request: Request, agent: str) -> Response:
        """Change what is given. To move it to another project takes `policies.activate` too while
        a policy is in force: policies go by projects.
        """
        changed = agents.update_agent(
            agent_id=selectors.get_agent(agent).id,
            fields=_resolved(self, self.read(s.AgentChange)),
            expected=self.precondition(),
            may_move=ruled.ask(self.by),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _agent(self, changed)

    @extend_schema(operation_id="agents_retire", tags=["agents"], responses={204: None})
    def delete(self, request: Request, agent: str) -> Response:
        """Retire it for good: its open runs end, its grants and keys go, its record stays."""
        agents.retire_agent(
            agent_id=selectors.get_agent(agent).id,
            expected=self.precondition(),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.nothing()


class ActivateView(OrgView):
    required = {"POST": "agents.edit"}

    @extend_schema(
        operation_id="agents_activate", tags=["agents"], request=None, responses={200: s.AgentRead}
    )
    def post(self, request: Request, agent: str) -> Response:
        """Let a draft or suspended agent work."""
        agent_id = selectors.get_agent(agent).id
        return _agent(
            self,
            agents.activate_agent(agent_id=agent_id, actor=self.by.actor, at=timezone.now()),
        )


class SuspendView(OrgView):
    required = {"POST": "agents.edit"}

    @extend_schema(
        operation_id="agents_suspend", tags=["agents"], request=s.Note, responses={200: s.AgentRead}
    )
    def post(self, request: Request, agent: str) -> Response:
        """Let it begin nothing new; what it has begun goes on to its end."""
        agent_id = selectors.get_agent(agent).id
        note = self.read(s.Note).get("note", "")
        return _agent(
            self,
            agents.suspend_agent(
                agent_id=agent_id, note=note, actor=self.by.actor, at=timezone.now()
            ),
        )


class KillView(OrgView):
    required = {"POST": "agents.kill"}

    @extend_schema(
        operation_id="agents_kill",
        tags=["agents"],
        request=s.Note,
        responses={200: s.StoppedAgentRead},
        examples=examples.KILL,
    )
    def post(self, request: Request, agent: str) -> Response:
        """The kill switch: suspend it and end all that it has under way, at once."""
        killed, stopped = agents.kill_agent(
            agent_id=selectors.get_agent(agent).id,
            note=self.read(s.Note).get("note", ""),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _agent(self, killed, serializer=s.StoppedAgentRead, stopped_runs=stopped)


class SigningSecretView(OrgView):
    required = {"POST": "agents.edit"}

    @extend_schema(
        operation_id="agents_rotate_secret",
        tags=["agents"],
        request=None,
        responses={200: s.SigningSecretRead},
    )
    def post(self, request: Request, agent: str) -> Response:
        """Sign calls with a new secret, told in this answer; the old one counts no more."""
        agent_id = selectors.get_agent(agent).id
        secret = agents.rotate_signing_secret(
            agent_id=agent_id, actor=self.by.actor, at=timezone.now()
        )
        return self.answer(s.SigningSecretRead, {"signing_secret": secret})


class CapabilitiesView(OrgView):
    required = {"GET": "agents.view", "POST": "agents.edit"}
    list_keyset = BY_NAME

    @extend_schema(
        operation_id="capabilities_list", tags=["agents"], responses=page_of(s.CapabilityRead)
    )
    def get(self, request: Request, agent: str) -> Response:
        rows = selectors.get_agent(agent).capabilities.all()
        return self.answer_page(s.CapabilityRead, rows, keyset=BY_NAME)

    @extend_schema(
        operation_id="capabilities_create",
        tags=["agents"],
        request=s.CapabilityWrite,
        responses={201: s.CapabilityRead},
        examples=examples.CAPABILITY_CREATE,
    )
    def post(self, request: Request, agent: str) -> Response:
        made = capabilities.add_capability(
            agent_id=selectors.get_agent(agent).id,
            fields=self.read(s.CapabilityWrite),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(s.CapabilityRead, made, status=201)


class CapabilityView(OrgView):
    required = {"GET": "agents.view", "PATCH": "agents.edit", "DELETE": "agents.edit"}

    @extend_schema(operation_id="capabilities_get", tags=["agents"], responses=s.CapabilityRead)
    def get(self, request: Request, agent: str, capability: str) -> Response:
        found = selectors.get_capability(selectors.get_agent(agent), capability)
        return self.answer(s.CapabilityRead, found)

    @extend_schema(
        operation_id="capabilities_change",
        tags=["agents"],
        request=s.CapabilityChange,
        responses=s.CapabilityRead,
        examples=examples.CAPABILITY_CHANGE,
    )
    def patch(self, request: Request, agent: str, capability: str) -> Response:
        changed = capabilities.update_capability(
            agent_id=selectors.get_agent(agent).id,
            name=capability,
            fields=self.read(s.CapabilityChange),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(s.CapabilityRead, changed)

    @extend_schema(operation_id="capabilities_remove", tags=["agents"], responses={204: None})
    def delete(self, request: Request, agent: str, capability: str) -> Response:
        capabilities.remove_capability(
            agent_id=selectors.get_agent(agent).id,
            name=capability,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.nothing()


class ManifestsView(OrgView):
    required = {"GET": "agents.view"}
    list_keyset = selectors.BY_VERSION
    list_heavy = ("document",)

    @extend_schema(
        operation_id="manifests_list", tags=["agents"], responses=page_of(s.ManifestRead)
    )
    def get(self, request: Request, agent: str) -> Response:
        """What the agent was, version by version."""
        rows = selectors.list_manifests(selectors.get_agent(agent).id)
        return self.answer_page(s.ManifestRead, rows, keyset=selectors.BY_VERSION)


class ManifestView(OrgView):
    required = {"GET": "agents.view"}

    @extend_schema(operation_id="manifests_get", tags=["agents"], responses=s.ManifestRead)
    def get(self, request: Request, agent: str, version: str) -> Response:
        if not (version.isascii() and version.isdigit() and len(version) <= 9):
            raise NotFound("The agent has no such manifest.")
        found = selectors.get_manifest(selectors.get_agent(agent).id, int(version))
        return self.answer(s.ManifestRead, found)


class GrantsView(OrgView):
    required = {"GET": "grants.view", "POST": "grants.manage", "DELETE": "grants.manage"}
    list_keyset = NEWEST_FIRST
    picks = s.GrantPick

    @extend_schema(operation_id="grants_list", tags=["agents"], responses=page_of(s.GrantRead))
    def get(self, request: Request, agent: str) -> Response:
        """Who may call the agent, and who might once."""
        rows = selectors.list_grants(selectors.get_agent(agent).id)
        return self.answer_page(s.GrantRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="grants_create",
        tags=["agents"],
        request=s.GrantWrite,
        responses={201: s.GrantRead},
        examples=examples.GRANT_CREATE,
    )
    def post(self, request: Request, agent: str) -> Response:
        """Let another agent call this one."""
        data = self.read(s.GrantWrite)
        grant = grants.create_grant(
            callee_id=selectors.get_agent(agent).id,
            caller_id=self.named("caller", lambda: selectors.get_agent(data["caller"])).id,
            tools=data["tools"],
            expires_at=data.get("expires_at"),
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(s.GrantRead, grant, status=201)

    @extend_schema(
        operation_id="grants_revoke_caller",
        tags=["agents"],
        parameters=[s.GrantPick],
        responses={204: None},
    )
    def delete(self, request: Request, agent: str) -> Response:
        """Revoke what another agent holds: no further call of it passes."""
        callee = selectors.get_agent(agent)
        caller = self.read_query(s.GrantPick)["caller"]
        caller_id = self.named("caller", lambda: selectors.get_agent(caller)).id
        found = selectors.get_grant_between(callee.id, caller_id)
        grants.revoke_grant(grant_id=found.id, actor=self.by.actor, at=timezone.now())
        return self.nothing()


class GrantView(OrgView):
    required = {"GET": "grants.view", "PATCH": "grants.manage", "DELETE": "grants.manage"}

    @extend_schema(
        operation_id="grants_get", tags=["agents"], responses=s.GrantRead, examples=examples.GRANT
    )
    def get(self, request: Request, agent: str, grant: str) -> Response:
        found = selectors.get_grant(selectors.get_agent(agent).id, grant)
        return self.answer(s.GrantRead, found)

    @extend_schema(
        operation_id="grants_change",
        tags=["agents"],
        request=s.GrantChange,
        responses=s.GrantRead,
    )
    def patch(self, request: Request, agent: str, grant: str) -> Response:
        found = selectors.get_grant(selectors.get_agent(agent).id, grant)
        changed = grants.update_grant(
            grant_id=found.id,
            fields=self.read(s.GrantChange),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(s.GrantRead, changed)

    @extend_schema(operation_id="grants_revoke", tags=["agents"], responses={204: None})
    def delete(self, request: Request, agent: str, grant: str) -> Response:
        """Revoke it: no further call passes by it."""
        found = selectors.get_grant(selectors.get_agent(agent).id, grant)
        grants.revoke_grant(grant_id=found.id, actor=self.by.actor, at=timezone.now())
        return self.nothing()


class AgentKeysView(OrgView):
    """The agent's own keys; who has `keys.manage` sees those that others made, too."""

    required = {"GET": "keys.own", "POST": "keys.own"}
    list_keyset = NEWEST_FIRST

    @extend_schema(operation_id="agent_keys_list", tags=["agents"], responses=page_of(KeyRead))
    def get(self, request: Request, agent: str) -> Response:
        rows = list_keys(by=self.by, agent_id=selectors.get_agent(agent).id)
        return self.answer_page(KeyRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="agent_keys_create",
        tags=["agents"],
        request=AgentKeyWrite,
        responses={201: NewKeyRead},
        examples=examples.KEY_CREATE,
    )
    def post(self, request: Request, agent: str) -> Response:
        """Make a key that acts as the agent, for whoever may edit agents and read data. It calls no
        agent without a grant. Its token is in this answer and nowhere else.
        """
        body = self.read(AgentKeyWrite)
        made = create_key(**body, agent=agent, by=self.by, at=timezone.now())
        return answer_new_key(self, made)


def _agent(
    view: OrgView,
    agent: Agent,
    *,
    serializer: type[s.AgentRead] = s.AgentRead,
    status: int = 200,
    **more: Any,
) -> Response:
    """A changed agent, read once more with all that hangs on it."""
    whole = selectors.get_agent(f"agt_{agent.id.hex}")
    for name, value in more.items():
        setattr(whole, name, value)
    return view.answer(serializer, whole, status=status, version=version_of(whole))


def _resolved(view: OrgView, data: dict[str, Any]) -> dict[str, Any]:
    """The body with projects and members found by what names them; raises Invalid."""
    if "project" in data:
        data["project"] = view.named("project", lambda: get_project(data["project"]))
    if "accountable" in data:
        member = data.pop("accountable")
        data["accountable_id"] = view.named("accountable", lambda: parse_id(MEMBER, member))
    return data
