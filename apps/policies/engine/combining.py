"""What several policies say together: allowed iff all allow and none denies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from apps.policies.engine.types import Obligations, Opinion, Rate, Result, Verdict

_GRAVEST_FIRST: Final[tuple[Result, ...]] = ("deny", "unavailable", "require_approval", "allow")


def combine(opinions: Sequence[Opinion], *, micros: int) -> Verdict:
    """The gravest of the opinions, with the reasons of all that share it.

    A denial stands whatever else couldn't be evaluated; without one, what couldn't be evaluated
    denies too, and says so. Obligations bind where a call is let through, and are the strictest.
    """
    result = next(r for r in _GRAVEST_FIRST if any(o.result == r for o in opinions))
    is_let_through = result in {"allow", "require_approval"}
    return Verdict(
        result=result,
        reasons=_union(o.reasons for o in opinions if o.result == result),
        obligations=strictest(o.obligations for o in opinions) if is_let_through else Obligations(),
        opinions=tuple(opinions),
        micros=micros,
    )


def strictest(obligations: Iterable[Obligations]) -> Obligations:
    """What meets all of them: every mask, the lowest cap, the lowest rate of each length."""
    found = list(obligations)
    caps = [o.cap_cost_micros for o in found if o.cap_cost_micros is not None]
    rates: dict[int, int] = {}
    for rate in (rate for o in found for rate in o.rates):
        rates[rate.seconds] = min(rate.requests, rates.get(rate.seconds, rate.requests))
    return Obligations(
        mask=tuple(sorted({path for o in found for path in o.mask})),
        cap_cost_micros=min(caps, default=None),
        rates=tuple(Rate(requests, seconds) for seconds, requests in sorted(rates.items())),
    )


def _union(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for reasons in lists for reason in reasons))
