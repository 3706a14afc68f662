"""Who may do what: the one table from which every org's roles and permissions are seeded.

A permission is a code, `noun.verb`; a role is a set of them. Views ask for a code and never for a
role, so an org's own roles open what they name without a view knowing of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OWNER: Final = "owner"
ADMIN: Final = "admin"
MEMBER: Final = "member"
VIEWER: Final = "viewer"

ALL_SCOPES: Final = "*"
"""The scope of a key that may do whatever its owner's role allows, then and later."""

DATA_READ: Final = "data.read"
"""What opens everybody's data (docs/roles.md, Who reads data)."""


@dataclass(frozen=True, slots=True)
class BuiltInRole:
    """A role that every org has and no org can change."""

    slug: str
    name: str
    rank: int


ROLES: Final = (
    BuiltInRole(OWNER, "Owner", 1),
    BuiltInRole(ADMIN, "Admin", 2),
    BuiltInRole(MEMBER, "Member", 3),
    BuiltInRole(VIEWER, "Viewer", 4),
)

CUSTOM_RANK: Final = 10
"""Where the org's own roles stand among the others: behind the built-in ones, by age."""

_EVERYONE: Final = (OWNER, ADMIN, MEMBER, VIEWER)
_WORKERS: Final = (OWNER, ADMIN, MEMBER)
_ADMINS: Final = (OWNER, ADMIN)
_OWNERS: Final = (OWNER,)

# code → (what it lets one do, the roles that have it)
MATRIX: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "org.view": ("See the organization's settings", _EVERYONE),
    "org.manage": ("Change the organization's settings", _ADMINS),
    "org.close": ("Close the organization and undo the closing", _OWNERS),
    "owners.manage": ("Make and unmake owners", _OWNERS),
    "projects.view": ("See projects", _EVERYONE),
    "projects.create": ("Create projects", _WORKERS),
    "projects.edit": ("Change and archive projects", _WORKERS),
    "projects.delete": ("Delete projects", _ADMINS),
    "agents.view": ("See agents, their tools and manifests", _EVERYONE),
    "agents.edit": ("Register, change, suspend and activate agents", _WORKERS),
    "agents.invoke": ("Have agents do something", _WORKERS),
    "agents.kill": ("Use an agent's kill switch", _WORKERS),
    "agents.delete": ("Retire agents for good", _ADMINS),
    "grants.view": ("See which agents may call which", _EVERYONE),
    "grants.manage": ("Let agents call each other, and stop it", _ADMINS),
    "models.view": ("See providers of language models and their prices", _EVERYONE),
    "models.manage": ("Change providers, their keys and prices", _ADMINS),
    "runs.view": ("See runs: their states, times, steps and costs", _EVERYONE),
    "runs.cancel": ("Cancel runs", _WORKERS),
    "members.view": ("See who is a member", _EVERYONE),
    "members.manage": ("Change members' roles and remove members", _ADMINS),
    "roles.view": ("See roles and what they allow", _EVERYONE),
    "roles.manage": ("Make, change and delete roles of the organization's own", _ADMINS),
    "invitations.view": ("See invitations", _ADMINS),
    "invitations.manage": ("Invite people and take invitations back", _ADMINS),
    "keys.own": ("Have API keys of one's own", _EVERYONE),
    "keys.manage": ("See and revoke everybody's API keys", _ADMINS),
    "approvals.view": ("See what waits for approval and how it was decided", _EVERYONE),
    "approvals.decide": ("Approve and reject what agents may do only with approval", _ADMINS),
    "approvals.break_glass": ("Approve alone in an emergency; everybody is alerted", _OWNERS),
    "approvals.rules": ("Say who must approve what", _ADMINS),
    "policies.view": ("See policies and what they are attached to", _EVERYONE),
    "policies.edit": ("Write policies, try them and test them", _ADMINS),
    "policies.activate": (
        "Activate, attach and retire policies, and change what they go by",
        _ADMINS,
    ),
    "decisions.view": ("See what the policies decided, and why", _EVERYONE),
    "audit.view": ("Read the audit log", _ADMINS),
    "audit.export": ("Take the audit log away as a file", _ADMINS),
    "audit.manage": ("Say for how long the audit log keeps what happened", _OWNERS),
    "signing_keys.view": ("See the keys that the organization signs with", _EVERYONE),
    "signing_keys.manage": ("Make, rotate and revoke signing keys", _ADMINS),
    DATA_READ: ("Read what runs took, gave and logged, and what audit events changed", _EVERYONE),
    "data.export": ("Take runs, usage and the audit log out as files", _WORKERS),
    "notices.own": ("Read one's notices and choose how they arrive", _EVERYONE),
    "notify.manage": ("Change where the organization's notices go", _ADMINS),
}

NOT_FOR_AGENTS: Final = frozenset(
    {
        *("org.manage", "org.close", "owners.manage", "members.manage", "invitations.manage"),
        "roles.manage",
        *("agents.edit", "agents.delete", "grants.manage", "keys.own", "keys.manage"),
        *("projects.create", "projects.edit", "projects.delete", "models.manage"),
        *("policies.edit", "policies.activate"),
        *("approvals.decide", "approvals.break_glass", "approvals.rules"),
        *("notices.own", "notify.manage"),
        *("audit.manage", "signing_keys.manage"),
    }
)
"""What no agent's key may, whatever its maker may: who gives grants, keys or roles could lift the
limits that grants put on an agent, who says what a tool does, which agent is active or how a
project is tagged says what policies judge by, who names a provider gets what agents say to models,
what people are asked no agent answers, notices are told to people, and what agents did is proved by
keys and kept by rules that aren't theirs. Stopping is not barred: a kill switch widens nothing."""

OWNERS_ONLY: Final = frozenset(code for code, (_, roles) in MATRIX.items() if roles == _OWNERS)
"""What nobody may on a host that the org brought: an admin can bring one, and who holds its name
could act there for any owner who enters by it."""


def codes_of(role: str) -> frozenset[str]:
    """What a built-in role may do."""
    return frozenset(code for code, (_, roles) in MATRIX.items() if role in roles)


def effective(*, role: frozenset[str], scopes: list[str], as_agent: bool = False) -> frozenset[str]:
    """What a key may do: what its owner's role allows, cut down to the key's scopes."""
    allowed = role if ALL_SCOPES in scopes else role & frozenset(scopes)
    return allowed - NOT_FOR_AGENTS if as_agent else allowed
