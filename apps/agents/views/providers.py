"""Settings of language models: whose the org's agents use, and what it pays for them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents import selectors
from apps.agents.forms import PriceForm, ProviderForm, ProviderKeyForm
from apps.agents.models import ModelPrice, ModelProvider
from apps.agents.services import models as services
from apps.common.errors import DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import see_other
from apps.common.ids import public_id
from apps.orgs.pages import check, command, needs, principal_of
from apps.orgs.settings_pages import page


@sensitive_post_parameters("api_key")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("models.view")
def index(request: HttpRequest) -> HttpResponse:
    """The providers and prices; a POST adds a provider."""
    if request.method != "POST":
        return _render(request)
    check(request, "models.manage")
    form = ProviderForm(request.POST)
    if form.is_valid() and _done(request, form, services.create_provider, **form.cleaned_data):
        messages.success(request, f"{form.cleaned_data['name']} was added; its key is sealed.")
        return see_other(reverse("agents:models"))
    return _render(request, form=form)


@sensitive_post_parameters("api_key")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs("models.manage")
def provider(request: HttpRequest, provider: str) -> HttpResponse:
    """One provider; a POST gives it another key, and another address if one is typed."""
    found = selectors.get_provider(provider)
    form = ProviderKeyForm(
        request.POST if request.method == "POST" else None, initial={"base_url": found.base_url}
    )
    if form.is_valid() and _done(
        request, form, services.update_provider, provider_id=found.id, **form.cleaned_data
    ):
        messages.success(request, f"{found.name} is called with the new key from now on.")
        return see_other(reverse("agents:models"))
    context = page(
        request,
        "Models",
        below=found.name,
        provider=_provider(found),
        form=form,
        command=command(request, f"/v1/model-providers/{provider}"),
    )
    status = 422 if form.is_bound else 200
    return render(request, "agents/provider.html", context, status=status)


@require_POST
@needs("models.manage")
def remove(request: HttpRequest, provider: str) -> HttpResponse:
    """Forget a provider that no agent names, and its key."""
    found = selectors.get_provider(provider)
    services.delete_provider(
        provider_id=found.id, actor=principal_of(request).actor, at=timezone.now()
    )
    messages.success(request, f"{found.name} and its key are gone.")
    return see_other(reverse("agents:models"))


@require_POST
@needs("models.manage")
def add_price(request: HttpRequest) -> HttpResponse:
    """Say what a model's tokens cost the org."""
    form = PriceForm(request.POST)
    if form.is_valid() and _done(request, form, services.create_price, **form.values()):
        messages.success(request, f"{form.cleaned_data['model']} has its price.")
        return see_other(reverse("agents:models"))
    return _render(request, price_form=form)


@require_POST
@needs("models.manage")
def remove_price(request: HttpRequest, price: str) -> HttpResponse:
    """Let the public list count again for a model."""
    found = selectors.get_price(price)
    services.delete_price(price_id=found.id, actor=principal_of(request).actor, at=timezone.now())
    messages.success(request, f"The price of {found.model} is gone.")
    return see_other(reverse("agents:models"))


def _done(request: HttpRequest, form: forms.Form, service: Any, **fields: Any) -> bool:
    """Whether the service did what the form asks for; what it refuses, the form says."""
    try:
        service(**fields, actor=principal_of(request).actor, at=timezone.now())
    except DomainError as error:
        add_refusal(form, error)
        return False
    return True


def _render(request: HttpRequest, **bound: forms.Form) -> HttpResponse:
    """The page, with the form that was refused, if one was."""
    context = page(
        request,
        "Models",
        providers=[_provider(row) for row in selectors.list_providers()],
        prices=[_price(row) for row in selectors.list_prices()],
        form=bound.get("form") or ProviderForm(),
        price_form=bound.get("price_form") or PriceForm(auto_id="price_%s"),
        can_manage=principal_of(request).may("models.manage"),
        command=command(request, "/v1/model-providers"),
    )
    return render(request, "agents/models.html", context, status=422 if bound else 200)


def _provider(row: ModelProvider) -> dict[str, Any]:
    return {
        "id": public_id(selectors.MODEL_PROVIDER, row.id),
        "name": row.name,
        "kind": row.get_kind_display(),
        "base_url": row.base_url,
        "key_hint": row.key_hint,
        "updated_at": row.updated_at,
    }


def _price(row: ModelPrice) -> dict[str, Any]:
    return {
        "id": public_id(selectors.MODEL_PRICE, row.id),
        "model": row.model,
        "input_micros": row.input_micros,
        "output_micros": row.output_micros,
        "updated_at": row.updated_at,
    }
