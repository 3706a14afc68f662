"""What higher apps put into a new org: a registry, for this app knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from apps.tenants.selectors import OrgRef

Seed = Callable[[OrgRef, datetime], None]
_seeds: list[Seed] = []


def on_provision(seed: Seed) -> Seed:
    """Run `seed(org, at)` under both keys after every migration of an org, the first included.

    It has to be safe to repeat: it also brings older orgs what a new version adds.
    """
    if seed not in _seeds:
        _seeds.append(seed)
    return seed


def run_seeds(org: OrgRef, *, at: datetime) -> None:
    for seed in _seeds:
        seed(org, at)
