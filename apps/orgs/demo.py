"""What the demo orgs hold beside their people: higher apps add theirs here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from apps.orgs.principals import Principal
from apps.tenants.selectors import OrgRef

Seed = Callable[[OrgRef, Principal, datetime], None]
_seeds: Final[list[Seed]] = []


def on_demo(seed: Seed) -> Seed:
    """Have `seed(org, owner, at)` fill a demo org, both keys held; it is safe to repeat."""
    if seed not in _seeds:
        _seeds.append(seed)
    return seed


def fill(org: OrgRef, owner: Principal, at: datetime) -> None:
    for seed in _seeds:
        seed(org, owner, at)
