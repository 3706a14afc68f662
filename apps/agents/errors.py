"""What the services of agents refuse, and why."""

from __future__ import annotations

from apps.common.errors import Conflict


class AgentSlugInUse(Conflict):
    """Another agent of the org has this slug and isn't retired."""

    code = "slug_in_use"
    title = "That slug is taken"


class AgentStateConflict(Conflict):
    """The agent isn't in a state from which this can be done."""

    code = "agent_state"
    title = "The agent's status does not allow this"


class CapabilityExists(Conflict):
    """The agent has a capability of that name."""

    code = "capability_exists"
    title = "The agent has this capability already"


class CapabilityFixed(Conflict):
    """The runtime itself says what this agent can do."""

    code = "capability_fixed"
    title = "The runtime fixes this capability"


class LastCapability(Conflict):
    """An agent without any could do nothing."""

    code = "last_capability"
    title = "The last capability cannot go"


class GrantExists(Conflict):
    """There is a grant between the two agents; it can be changed or revoked."""

    code = "grant_exists"
    title = "There is a grant already"


class NotSigned(Conflict):
    """Only calls to endpoints of the customer's are signed."""

    code = "not_signed"
    title = "This agent has no signing secret"


class ProviderNameInUse(Conflict):
    """Another provider of the org has this name."""

    code = "provider_name_in_use"
    title = "That name is taken"


class ProviderInUse(Conflict):
    """Agents would be left without their model."""

    code = "provider_in_use"
    title = "Agents use this provider"


class PriceExists(Conflict):
    """The org has a price for this model; it can be changed."""

    code = "price_exists"
    title = "There is a price for this model already"
