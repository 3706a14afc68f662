"""Which model is called where, with whose key, and for how much.

A model without a price is refused, when it is named and again when it is called: a run whose cost
nobody knows would pass every budget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from apps.agents.models import ModelPrice, ModelProvider
from apps.agents.runtimes.base import WorkFailed
from apps.common.errors import Invalid
from apps.tenants import keys
from apps.trust.secrets import get_secret_store

if TYPE_CHECKING:
    from pydantic_ai.usage import RequestUsage

MILLION: Final = 1_000_000
NO_PROVIDER: Final = "There is no provider “{}”. Add it under Settings → Models."
NO_PRICE: Final = (
    "The price of “{}” is not known. Set one under Settings → Models, or POST /v1/model-prices."
)


@dataclass(frozen=True, slots=True)
class Rate:
    """The org's own price of a model, in micro-USD for a million tokens."""

    input_micros: int
    output_micros: int

    @property
    def is_free(self) -> bool:
        return self.input_micros == self.output_micros == 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that can be called, as it was when the run began. Its key is in no repr."""

    kind: str
    base_url: str
    model: str
    rate: Rate | None
    scope: str
    key: str = field(repr=False)

    def cost_micros(self, usage: RequestUsage) -> Decimal:
        """What one request cost, exactly, in micro-USD."""
        if self.rate is None:
            return _listed(usage, self.model, self.base_url)
        tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
        total = tokens_in * self.rate.input_micros + tokens_out * self.rate.output_micros
        return Decimal(total) / MILLION


def key_ref(provider_id: UUID) -> str:
    """Where the secret store has a provider's key."""
    return f"model-providers/{provider_id.hex}/key"


def check_callable(provider: str, model: str, *, field: str) -> None:
    """Refuse a model whose provider isn't the org's or whose price nobody knows; raises Invalid."""
    row = ModelProvider.objects.filter(name=provider).first()
    if row is None:
        raise Invalid.of(f"{field}.provider", NO_PROVIDER.format(provider[:40]))
    if _rate(model) is None and not is_listed(model, row.base_url):
        raise Invalid.of(f"{field}.model", NO_PRICE.format(model))


def open_endpoint(provider: str, model: str) -> Endpoint:
    """A model with its key and price; raises WorkFailed for one that can't be called any more."""
    row = ModelProvider.objects.filter(name=provider).first()
    if row is None:
        raise WorkFailed("model_provider_missing", NO_PROVIDER.format(provider))
    rate = _rate(model)
    if rate is None and not is_listed(model, row.base_url):
        raise WorkFailed("model_unpriced", NO_PRICE.format(model))
    return Endpoint(
        kind=row.kind,
        base_url=row.base_url,
        model=model,
        rate=rate,
        scope=keys.current().schema,
        key=get_secret_store().get(key_ref(row.id)).decode(),
    )


def is_listed(model: str, base_url: str) -> bool:
    """Whether the price list knows what this model costs at this address."""
    from genai_prices import Usage

    try:
        return _listed(Usage(input_tokens=MILLION, output_tokens=MILLION), model, base_url) > 0
    except LookupError:
        return False


def _listed(usage: Any, model: str, base_url: str) -> Decimal:
    """The cost by the list; raises LookupError. The address decides whose price it is: what calls
    itself by the name of a known model somewhere else may cost anything.
    """
    from genai_prices import calc_price

    return calc_price(usage, model, provider_api_url=base_url).total_price * MILLION


def _rate(model: str) -> Rate | None:
    row = ModelPrice.objects.filter(model=model).first()
    return Rate(row.input_micros, row.output_micros) if row else None
