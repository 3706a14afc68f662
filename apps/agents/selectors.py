"""Reads of agents, what they offer, and who may call them. All of them need both keys held."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from apps.agents.directory import AGENT
from apps.agents.models import (
    Agent,
    AgentStatus,
    Capability,
    Grant,
    Manifest,
    ModelPrice,
    ModelProvider,
)
from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.pagination import Keyset
from apps.common.text import is_slug

GRANT = "gnt"
MODEL_PROVIDER = "mpv"
MODEL_PRICE = "mpr"
EVERY_STATUS = "all"
BY_VERSION = Keyset(("version",))


def get_agent(id_or_slug: str) -> Agent:
    """An agent by its public id, or by its slug while it isn't retired; raises NotFound."""
    if is_slug(id_or_slug):
        rows = _whole().filter(slug=id_or_slug).exclude(status=AgentStatus.RETIRED)
    else:
        rows = _whole().filter(id=parse_id(AGENT, id_or_slug))
    agent = rows.first()
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent


def list_agents(
    *,
    q: str = "",
    status: str = "",
    project_id: UUID | None = None,
    runtime: str = "",
) -> QuerySet[Agent]:
    """Agents whose name or slug says `q`; retired ones only if `status` is that or `all`."""
    rows = _whole()
    if not status:
        rows = rows.exclude(status=AgentStatus.RETIRED)
    elif status != EVERY_STATUS:
        rows = rows.filter(status=status)
    if project_id:
        rows = rows.filter(project_id=project_id)
    if runtime:
        rows = rows.filter(runtime=runtime)
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(slug__icontains=q))
    return rows


def get_capability(agent: Agent, name: str) -> Capability:
    """A capability of the agent by its name; raises NotFound."""
    found = next((c for c in agent.capabilities.all() if c.name == name), None)
    if found is None:
        raise NotFound(f"{agent.slug} has no such capability.")
    return found


def list_manifests(agent_id: UUID) -> QuerySet[Manifest]:
    """Every manifest that the agent has had, the newest first."""
    return Manifest.objects.filter(agent_id=agent_id).order_by("-version")


def get_manifest(agent_id: UUID, version: int) -> Manifest:
    """One manifest of an agent; raises NotFound."""
    found = list_manifests(agent_id).filter(version=version).first()
    if found is None:
        raise NotFound("The agent has no such manifest.")
    return found


def list_grants(callee_id: UUID) -> QuerySet[Grant]:
    """Who may call the agent, and who might once, the newest first."""
    return _grants().filter(callee_id=callee_id)


def list_held_grants(caller_id: UUID) -> QuerySet[Grant]:
    """Whom the agent may call."""
    return _grants().filter(caller_id=caller_id, active=True)


def get_grant(callee_id: UUID, grant: str) -> Grant:
    """A grant on an agent by its public id; raises NotFound."""
    found = list_grants(callee_id).filter(id=parse_id(GRANT, grant)).first()
    if found is None:
        raise NotFound("There is no such grant.")
    return found


def get_grant_between(callee_id: UUID, caller_id: UUID) -> Grant:
    """The grant that counts between two agents, else the last that did; raises NotFound."""
    rows = list_grants(callee_id).filter(caller_id=caller_id)
    found = rows.order_by("-active", "-created_at", "-id").first()
    if found is None:
        raise NotFound("There is no such grant.")
    return found


def list_providers() -> QuerySet[ModelProvider]:
    """Whose language models the org's agents may use, by name."""
    return ModelProvider.objects.order_by("name")


def get_provider(id_or_name: str) -> ModelProvider:
    """A provider by its public id or its name; raises NotFound."""
    if is_slug(id_or_name):
        rows = ModelProvider.objects.filter(name=id_or_name)
    else:
        rows = ModelProvider.objects.filter(id=parse_id(MODEL_PROVIDER, id_or_name))
    found = rows.first()
    if found is None:
        raise NotFound("There is no such provider.")
    return found


def list_prices() -> QuerySet[ModelPrice]:
    """What the org itself says of models' prices, by model."""
    return ModelPrice.objects.order_by("model")


def get_price(price: str) -> ModelPrice:
    """One of the org's own prices by its public id; raises NotFound."""
    found = ModelPrice.objects.filter(id=parse_id(MODEL_PRICE, price)).first()
    if found is None:
        raise NotFound("There is no such price.")
    return found


def _grants() -> QuerySet[Grant]:
    rows = Grant.objects.select_related("caller", "callee", "created_by")
    return rows.order_by("-created_at", "-id")


def _whole() -> QuerySet[Agent]:
    """Agents with all that a view of them needs: two queries, however many there are."""
    capabilities = Prefetch("capabilities", Capability.objects.order_by("name"))
    rows = Agent.objects.select_related("project", "accountable", "manifest")
    return rows.prefetch_related(capabilities).order_by("-created_at", "-id")


# What the pages ask beside this ---------------------------------------------------------------

NAMES_MAX = 500


def list_agent_names() -> list[tuple[str, str]]:
    """(slug, name) of every agent that isn't retired, by name, for a list to choose from."""
    rows = Agent.objects.exclude(status=AgentStatus.RETIRED).order_by("name", "id")
    return list(rows.values_list("slug", "name")[:NAMES_MAX])


def count_agents(*, project_id: UUID | None = None) -> int:
    """How many agents there are that aren't retired."""
    return list_agents(project_id=project_id).order_by().count()


def list_agents_in_need(*, project_id: UUID | None = None) -> QuerySet[Agent]:
    """Agents that are suspended, or whose accountable member has left; the latest change first."""
    rows = Agent.objects.select_related("accountable").exclude(status=AgentStatus.RETIRED)
    if project_id:
        rows = rows.filter(project_id=project_id)
    wanting = Q(status=AgentStatus.SUSPENDED) | Q(accountable__left_at__isnull=False)
    return rows.filter(wanting).order_by("-updated_at", "-id")


def list_agent_refs(agent_ids: Iterable[UUID]) -> QuerySet[Agent]:
    """What names these agents, without what they offer."""
    return Agent.objects.filter(id__in=agent_ids).only("id", "name", "slug", "status")
