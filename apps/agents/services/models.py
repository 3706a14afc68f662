"""Providers of language models, their keys, and what the org pays for a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from apps.agents.errors import PriceExists, ProviderInUse, ProviderNameInUse
from apps.agents.models import Agent, AgentStatus, ModelPrice, ModelProvider, ProviderKind
from apps.agents.runtimes.llm.endpoints import key_ref
from apps.agents.runtimes.posting import may_be_plain
from apps.agents.selectors import MODEL_PRICE, MODEL_PROVIDER
from apps.agents.services.changing import changes
from apps.common import egress
from apps.common.actors import Actor
from apps.common.egress import EgressRefused
from apps.common.errors import Conflict, Invalid, NotFound
from apps.common.text import is_slug
from apps.orgs.services.recording import recorder
from apps.trust.secrets import get_secret_store

BASE_URLS: Final = {
    ProviderKind.OPENAI: "https://api.openai.com/v1",
    ProviderKind.ANTHROPIC: "https://api.anthropic.com",
}
KEY_MAX: Final = 500
URL_MAX: Final = 500
MODEL_MAX: Final = 120
PER_MILLION_MAX: Final = 10**12
HINTED_FROM: Final = 16
"""A key of fewer characters would be told too much of by its last four."""
KEY: Final = r"^[!-~]{1,500}$"
MODEL: Final = r"^[!-~]{1,120}$"

_record_provider = recorder("model_provider", MODEL_PROVIDER, app="agents")
_record_price = recorder("model_price", MODEL_PRICE, app="agents")


@sensitive_variables("api_key")
def create_provider(
    *, name: str, kind: str, api_key: str, base_url: str = "", actor: Actor, at: datetime
) -> ModelProvider:
    """Have the org's agents use somebody's models. Raises Invalid, ProviderNameInUse."""
    if not is_slug(name):
        raise Invalid.of("name", "Use 1 to 40 lower-case letters, digits and hyphens.")
    if kind not in ProviderKind.values:
        raise Invalid.of("kind", f"Use one of: {', '.join(ProviderKind.values)}.")
    row = ModelProvider(
        name=name,
        kind=kind,
        base_url=_checked_url(base_url or BASE_URLS[ProviderKind(kind)]),
        key_hint=_hint(_checked_key(api_key)),
        created_at=at,
        updated_at=at,
    )
    taken = ProviderNameInUse(f"The name “{name}” belongs to another provider.")
    with _told("model_provider_name", taken), transaction.atomic():
        row.save(force_insert=True)
        get_secret_store().put(key_ref(row.id), api_key.encode())
        _record_provider(row, "created", actor, at, new=_facts(row))
    return row


@sensitive_variables("api_key")
def update_provider(
    *,
    provider_id: UUID,
    base_url: str | None = None,
    api_key: str | None = None,
    actor: Actor,
    at: datetime,
) -> ModelProvider:
    """Give a provider another key, or another address and its key.

    A key goes only where it was given for: an address alone can't be changed, or who changes it
    would be sent a key that nobody is shown. Raises NotFound, Invalid.
    """
    with transaction.atomic():
        row = _locked(provider_id)
        before = _facts(row)
        if base_url is not None:
            row.base_url = _checked_url(base_url)
        if row.base_url != before["base_url"] and api_key is None:
            raise Invalid.of("api_key", "Another address needs the key that belongs to it.")
        if api_key is not None:
            row.key_hint = _hint(_checked_key(api_key))
            _replace_key(row.id, api_key)
        old, new = changes(before, _facts(row))
        if new or api_key is not None:
            row.updated_at = at
            row.save()
            said = {"key_replaced": True} if api_key is not None else {}
            _record_provider(row, "updated", actor, at, old=old, new={**new, **said})
    return row


def delete_provider(*, provider_id: UUID, actor: Actor, at: datetime) -> None:
    """Forget a provider and its key. Raises NotFound, ProviderInUse while agents name it."""
    with transaction.atomic():
        row = _locked(provider_id)
        if users := _agents_of(row.name):
            raise ProviderInUse(f"Change or retire these agents first: {', '.join(users)}.")
        get_secret_store().delete(key_ref(row.id))
        old = _facts(row)
        ModelProvider.objects.filter(id=row.id).delete()
        _record_provider(row, "deleted", actor, at, old=old)


def create_price(
    *, model: str, input_micros: int, output_micros: int, actor: Actor, at: datetime
) -> ModelPrice:
    """Say what a model's tokens cost the org. Raises Invalid, PriceExists."""
    if not re.fullmatch(MODEL, model):
        raise Invalid.of("model", "Use 1 to 120 visible ASCII characters without spaces.")
    row = ModelPrice(model=model, created_at=at, updated_at=at)
    _set_price(row, input_micros=input_micros, output_micros=output_micros)
    taken = PriceExists(f"Change the price of “{model}” instead.")
    with _told("model_price_model", taken), transaction.atomic():
        row.save(force_insert=True)
        _record_price(row, "created", actor, at, new=_price_facts(row))
    return row


def update_price(
    *,
    price_id: UUID,
    input_micros: int | None = None,
    output_micros: int | None = None,
    actor: Actor,
    at: datetime,
) -> ModelPrice:
    """Change a price; runs that are over keep theirs. Raises NotFound, Invalid."""
    with transaction.atomic():
        row = _locked_price(price_id)
        before = _price_facts(row)
        _set_price(
            row,
            input_micros=row.input_micros if input_micros is None else input_micros,
            output_micros=row.output_micros if output_micros is None else output_micros,
        )
        old, new = changes(before, _price_facts(row))
        if new:
            row.updated_at = at
            row.save()
            _record_price(row, "updated", actor, at, old=old, new=new)
    return row


def delete_price(*, price_id: UUID, actor: Actor, at: datetime) -> None:
    """Let the price list count again for a model. Raises NotFound."""
    with transaction.atomic():
        row = _locked_price(price_id)
        old = _price_facts(row)
        ModelPrice.objects.filter(id=row.id).delete()
        _record_price(row, "deleted", actor, at, old=old)


def _replace_key(provider_id: UUID, api_key: str) -> None:
    """The old key counts no more, and is destroyed."""
    store, ref = get_secret_store(), key_ref(provider_id)
    store.delete(ref, version=store.rotate(ref, api_key.encode()) - 1)


def _agents_of(name: str) -> list[str]:
    rows = Agent.objects.filter(
        Q(config__provider=name) | Q(config__fallback__provider=name), runtime="llm"
    ).exclude(status=AgentStatus.RETIRED)
    return list(rows.order_by("slug").values_list("slug", flat=True)[:10])


def _locked(provider_id: UUID) -> ModelProvider:
    row = ModelProvider.objects.select_for_update().filter(id=provider_id).first()
    if row is None:
        raise NotFound("There is no such provider.")
    return row


def _locked_price(price_id: UUID) -> ModelPrice:
    row = ModelPrice.objects.select_for_update().filter(id=price_id).first()
    if row is None:
        raise NotFound("There is no such price.")
    return row


def _set_price(row: ModelPrice, **micros: int) -> None:
    for field, value in micros.items():
        if not 0 <= value <= PER_MILLION_MAX:
            raise Invalid.of(field, f"Use 0 to {PER_MILLION_MAX} micro-dollars.")
        setattr(row, field, value)


def _checked_url(url: str) -> str:
    """Where a provider's API begins; raises Invalid. Each request is judged again."""
    url = url.rstrip("/")
    if len(url) > URL_MAX or "?" in url or "#" in url:
        raise Invalid.of("base_url", f"Give the API's address, at most {URL_MAX} characters.")
    try:
        egress.check(url, allow_http=may_be_plain(url), to_model=True)
    except EgressRefused as error:
        raise Invalid.of("base_url", error.detail) from error
    except ValueError as error:
        raise Invalid.of("base_url", "The URL can't be read.") from error
    return url


def _checked_key(api_key: str) -> str:
    if not re.fullmatch(KEY, api_key):
        raise Invalid.of("api_key", f"Use 1 to {KEY_MAX} visible ASCII characters without spaces.")
    return api_key


def _hint(api_key: str) -> str:
    return api_key[-4:] if len(api_key) >= HINTED_FROM else ""


def _facts(row: ModelProvider) -> dict[str, Any]:
    """A provider for the record; of its key not even the end."""
    return {"name": row.name, "kind": row.kind, "base_url": row.base_url}


def _price_facts(row: ModelPrice) -> dict[str, Any]:
    return {
        "model": row.model,
        "input_micros": row.input_micros,
        "output_micros": row.output_micros,
    }


@contextmanager
def _told(constraint: str, conflict: Conflict) -> Iterator[None]:
    """Turn what a constraint refuses into the conflict that it means."""
    try:
        yield
    except IntegrityError as error:
        if constraint not in str(error):
            raise
        raise conflict from error
