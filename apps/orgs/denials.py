"""Why something was refused: what is missing, what that allows, and who can give it.

The one door for it: pages, fragments and the API raise `PermissionDenied` with the code that they
ask for, and where it is answered this says the rest. A refusal without a code has its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from apps.common.errors import PermissionDenied
from apps.orgs import selectors
from apps.orgs.permissions import MATRIX, NOT_FOR_AGENTS, OWNERS_ONLY
from apps.orgs.principals import Principal

ROLES_NAMED: Final = 10
PEOPLE_NAMED: Final = 3


class Lack(StrEnum):
    """What keeps a principal from a permission."""

    ROLE = "role"
    """The member's role doesn't have it."""
    SCOPES = "scopes"
    """The role has it, and the key's scopes leave it out."""
    AGENT = "agent"
    """No agent's key may have it."""
    HOST = "host"
    """Only an owner may, and only on the org's own host."""


def needed(code: str) -> PermissionDenied:
    """What to raise where a permission is missing."""
    return PermissionDenied(f"This needs the permission {code}.", permission=code)


def explain(principal: Principal, error: PermissionDenied, *, own_url: str) -> None:
    """Complete a refusal that names a permission, in words and for programs; two queries.

    `own_url` is where owners may do what is theirs alone.
    """
    code = error.extra.get("permission")
    if code not in MATRIX:
        return
    lack, roles = lack_of(principal, code), selectors.list_roles_with(code)[:ROLES_NAMED]
    error.extra |= {
        "allows": MATRIX[code][0],
        "missing_in": lack.value,
        "granted_by_roles": [role.slug for role in roles],
    }
    people = _people(principal, code) if lack is Lack.ROLE else []
    if people:
        error.extra["ask"] = people
    names = [role.name for role in roles]
    ask = _ask(code, people) if lack is Lack.ROLE else ""
    tail = _tail(principal, lack, names=names, ask=ask, own_url=own_url)
    error.detail = f"{_head(error, code)} {tail}"


def lack_of(principal: Principal, code: str) -> Lack:
    """Which limit it is that the principal meets; asked only for what it may not."""
    if code not in principal.role_permissions:
        return Lack.ROLE
    if principal.key_id is None:
        return Lack.HOST
    is_barred = principal.agent_id is not None and code in NOT_FOR_AGENTS
    return Lack.AGENT if is_barred else Lack.SCOPES


def _people(principal: Principal, code: str) -> list[str]:
    """Who can give a role with it, by name: only to who may see members, at most a few."""
    if not principal.may("members.view"):
        return []
    return selectors.list_givers(code, giving=_giving(code), limit=PEOPLE_NAMED)


def _ask(code: str, people: Sequence[str]) -> str:
    """Whom to ask for it: by name, or by role where one may see nobody."""
    if people:
        return f"{listed(people, 'or')} can change that."
    givers = selectors.list_roles_with(code, _giving(code))[:ROLES_NAMED]
    return f"Ask somebody who is {listed([role.name for role in givers], 'or')}."


def _giving(code: str) -> str:
    """The permission to give a role with that one."""
    return "owners.manage" if code in OWNERS_ONLY else "members.manage"


def _head(error: PermissionDenied, code: str) -> str:
    what = MATRIX[code][0]
    if error.detail == needed(code).detail:
        return f"{error.detail[:-1]}: {what[:1].lower()}{what[1:]}."
    return error.detail


def _tail(
    principal: Principal,
    lack: Lack,
    *,
    names: Sequence[str],
    ask: str,
    own_url: str,
) -> str:
    if lack is Lack.HOST:
        return f"Only an owner may do this, and only at {own_url}."
    if lack is Lack.AGENT:
        return "No agent’s key may have it, whatever its maker may. Use a key of a member."
    if lack is Lack.SCOPES:
        return "The role behind this key has it, but the key’s scopes leave it out."
    whose = "the key’s owner is" if principal.key_id else "you are"
    return f"Roles with it: {listed(names, 'and')}; {whose} {principal.role_name}. {ask}"


def listed(names: Sequence[str], word: str) -> str:
    """“A”, “A or B”, “A, B or C”."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
