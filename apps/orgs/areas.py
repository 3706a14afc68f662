"""What permissions are about, in the order in which pages and the API list them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from apps.orgs.permissions import MATRIX

# The area of a permission, by how its code begins; in the order of the page.
AREAS: Final = {
    "projects": "Projects",
    "agents": "Agents",
    "grants": "Calls between agents",
    "runs": "Runs",
    "data": "Data",
    "models": "Language models",
    "policies": "Policies and decisions",
    "decisions": "Policies and decisions",
    "approvals": "Approvals",
    "members": "Members and roles",
    "owners": "Members and roles",
    "roles": "Members and roles",
    "invitations": "Members and roles",
    "keys": "API keys",
    "notices": "Notices",
    "notify": "Notices",
    "audit": "Audit log",
    "signing_keys": "Signing keys",
    "org": "Organization",
}
OTHER: Final = "Other"
_ORDER: Final = [*dict.fromkeys(AREAS.values()), OTHER]
_CODES: Final = list(MATRIX)


def area_of(code: str) -> str:
    return AREAS.get(code.partition(".")[0], OTHER)


def by_area(codes: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Codes under their areas: these in the order of the page, those as the table has them."""
    ordered = sorted(codes, key=_place)
    return [(label, list(found)) for label, found in groupby(ordered, key=area_of)]


def _place(code: str) -> tuple[int, int]:
    """A code that an older version left behind comes last."""
    return _ORDER.index(area_of(code)), _CODES.index(code) if code in _CODES else len(_CODES)
