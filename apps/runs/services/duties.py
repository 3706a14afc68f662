"""What a run is obliged to while it works: to hide values, and to cost no more than it may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from apps.agents.runtimes.base import WorkFailed
from apps.policies.engine.types import Obligations
from apps.runs.errors import REASONS
from apps.runs.masking import NOTHING_HIDDEN, Mask
from apps.runs.spending import Purse


@dataclass(frozen=True, slots=True)
class Duties:
    """What policies oblige one run to, and every run above it."""

    mask: Mask = NOTHING_HIDDEN
    purse: Purse | None = None

    @classmethod
    def of(
        cls, obligations: Obligations, mask: Mask, *, above: Duties, spent_micros: int = 0
    ) -> Duties:
        """The duties of a run that has to hide this and has cost so much before this attempt."""
        purse = above.purse
        if obligations.cap_cost_micros is not None:
            purse = Purse(obligations.cap_cost_micros, Decimal(spent_micros), above.purse)
        return cls(mask, purse) if mask or purse else FREE

    def having_spent(self, micros: int) -> Duties:
        """The duties of a run that has its own cap and has cost so much before, which every purse
        above has counted already.
        """
        if self.purse is None:
            return self
        return replace(self, purse=replace(self.purse, spent=Decimal(micros)))

    def hiding(self, mask: Mask) -> Duties:
        """These duties, by which the values that a call has to hide are hidden from now on."""
        found = self.mask.hiding(mask)
        return self if found is self.mask else replace(self, mask=found)

    def pay(self, cost: Decimal) -> None:
        """Count what was spent; raises WorkFailed if that was more than may be."""
        if self.purse is not None:
            self.purse.pay(cost)
            self.check_purse()

    def check_purse(self) -> None:
        """Raises WorkFailed once more was spent than may be, here or by others in its name."""
        if self.purse is not None and self.purse.exceeded is not None:
            raise WorkFailed("policy_cost", REASONS["policy_cost"])


FREE: Final = Duties()
