"""What several policies say together: allowed iff all allow and none denies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from apps.policies.engine.types import Obligations, Opinion, Rate, Result, Verdict

_GRAVEST_FIRST: Final[tuple[Result, ...]] = ("deny", "unavailable", "require_approval", "allow")
_LET_THROUGH: Final[tuple[Result, ...]] = ("require_approval", "allow")
_UNSAID: Final = Obligations(mask=("input",))
"""What a policy may have obliged to that couldn't say it."""


def combine(opinions: Sequence[Opinion], *, micros: int) -> Verdict:
    """The gravest of the opinions, with the reasons of all that share it.

    A denial stands whatever else couldn't be evaluated; without one, what couldn't be evaluated
    denies too, and says so. Obligations bind where a call is let through, and are the strictest.
    What is to be hidden is hidden of a refused call too, for it is on record; of one that somebody
    couldn't be asked about, the whole input.
    """
    result = next(r for r in _GRAVEST_FIRST if any(o.result == r for o in opinions))
    obliged = strictest(_UNSAID if o.result == "unavailable" else o.obligations for o in opinions)
    return Verdict(
        result=result,
        reasons=_union(o.reasons for o in opinions if o.result == result),
        obligations=obliged if result in _LET_THROUGH else Obligations(mask=obliged.mask),
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
