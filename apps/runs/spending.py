"""What an execution has spent on language models."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal

from apps.common.json import Object


@dataclass(slots=True)
class Spending:
    """The sum of one attempt until now, exactly; `is_told` if the database has it already.

    A sum, and no differences: told twice or by an attempt that is over, it counts once.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    is_told: bool = True

    def add(self, *, input_tokens: int, output_tokens: int, cost: Decimal) -> None:
        """Count one request; `cost` is in micro-USD."""
        self.requests += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost += cost
        self.is_told = False

    @property
    def cost_micros(self) -> int:
        """What the run is charged: a micro-dollar that was begun counts whole."""
        return math.ceil(self.cost)

    @property
    def usage(self) -> Object | None:
        """What was asked of models; None if nothing was."""
        if not self.requests:
            return None
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }

    def untold(self) -> Object | None:
        """What the database is to be told, where Postgres reads the cost as the number it is."""
        return None if self.is_told else {**(self.usage or {}), "cost_micros": str(self.cost)}


@dataclass(slots=True)
class Purse:
    """What a run and all that is asked in its name may cost; None is no limit.

    What is spent below counts in every purse above, so that no agent gets around its own cap by
    having another do the work.
    """

    cap: int | None = None
    spent: Decimal = field(default_factory=Decimal)
    above: Purse | None = None

    def pay(self, cost: Decimal) -> None:
        self.spent += cost
        if self.above is not None:
            self.above.pay(cost)

    @property
    def exceeded(self) -> int | None:
        """The cap that was passed, here or above; None if none was."""
        if self.cap is not None and self.spent > self.cap:
            return self.cap
        return self.above.exceeded if self.above is not None else None
