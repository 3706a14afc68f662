"""`/v1` of language models: whose the org's agents use, and what it pays for them."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents import selectors
from apps.agents.api import examples
from apps.agents.models import ProviderKind
from apps.agents.services import models as services
from apps.common.openapi import page_of
from apps.common.pagination import Keyset
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import PublicId, Strict, Text, Whole

BY_NAME: Final = Keyset(("name",), descending=False)
BY_MODEL: Final = Keyset(("model",), descending=False)
_KEY_HELP: Final = "Sealed at once, and in no answer."


class ModelProviderRead(serializers.Serializer[Any]):
    """A provider; of its key only how it ends, and nothing if it is short."""

    id = PublicId(selectors.MODEL_PROVIDER)
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=ProviderKind.choices)
    base_url = serializers.CharField()
    key_hint = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ModelProviderChange(Strict):
    base_url = Text(max_length=services.URL_MAX, required=False)
    api_key = serializers.RegexField(
        services.KEY,
        required=False,
        help_text=f"{_KEY_HELP} Another address needs it anew.",
    )


class ModelProviderWrite(Strict):
    name = serializers.RegexField(
        r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", help_text="Agents name it so; it never changes."
    )
    kind = serializers.ChoiceField(choices=ProviderKind.choices)
    base_url = Text(
        max_length=services.URL_MAX, required=False, help_text="Left out: the kind's own address."
    )
    api_key = serializers.RegexField(services.KEY, help_text=_KEY_HELP)


class ModelPriceRead(serializers.Serializer[Any]):
    """What the org pays, in micro-USD for a million tokens."""

    id = PublicId(selectors.MODEL_PRICE)
    model = serializers.CharField()
    input_micros = serializers.IntegerField()
    output_micros = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ModelPriceChange(Strict):
    input_micros = Whole(min_value=0, max_value=services.PER_MILLION_MAX, required=False)
    output_micros = Whole(min_value=0, max_value=services.PER_MILLION_MAX, required=False)


class ModelPriceWrite(Strict):
    model = serializers.RegexField(services.MODEL)
    input_micros = Whole(min_value=0, max_value=services.PER_MILLION_MAX)
    output_micros = Whole(min_value=0, max_value=services.PER_MILLION_MAX)


class ModelProvidersView(OrgView):
    required = {"GET": "models.view", "POST": "models.manage"}
    list_keyset = BY_NAME

    @extend_schema(
        operation_id="model_providers_list", tags=["models"], responses=page_of(ModelProviderRead)
    )
    def get(self, request: Request) -> Response:
        return self.answer_page(ModelProviderRead, selectors.list_providers(), keyset=BY_NAME)

    @extend_schema(
        operation_id="model_providers_create",
        tags=["models"],
        request=ModelProviderWrite,
        responses={201: ModelProviderRead},
        examples=examples.MODEL_PROVIDER_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Have the org's agents use somebody's models."""
        body = self.read(ModelProviderWrite)
        made = services.create_provider(**body, actor=self.by.actor, at=timezone.now())
        return self.answer(ModelProviderRead, made, status=201)


class ModelProviderView(OrgView):
    """A provider by its id or name."""

    required = {"GET": "models.view", "PATCH": "models.manage", "DELETE": "models.manage"}

    @extend_schema(operation_id="model_providers_get", tags=["models"], responses=ModelProviderRead)
    def get(self, request: Request, provider: str) -> Response:
        return self.answer(ModelProviderRead, selectors.get_provider(provider))

    @extend_schema(
        operation_id="model_providers_change",
        tags=["models"],
        request=ModelProviderChange,
        responses=ModelProviderRead,
    )
    def patch(self, request: Request, provider: str) -> Response:
        """Give it another key, or another address with its key."""
        changed = services.update_provider(
            provider_id=selectors.get_provider(provider).id,
            **self.read(ModelProviderChange),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(ModelProviderRead, changed)

    @extend_schema(operation_id="model_providers_delete", tags=["models"], responses={204: None})
    def delete(self, request: Request, provider: str) -> Response:
        """Forget it and its key; refused while agents name it."""
        found = selectors.get_provider(provider)
        services.delete_provider(provider_id=found.id, actor=self.by.actor, at=timezone.now())
        return self.nothing()


class ModelPricesView(OrgView):
    required = {"GET": "models.view", "POST": "models.manage"}
    list_keyset = BY_MODEL

    @extend_schema(
        operation_id="model_prices_list", tags=["models"], responses=page_of(ModelPriceRead)
    )
    def get(self, request: Request) -> Response:
        """The org's own prices; for other models the public list counts."""
        return self.answer_page(ModelPriceRead, selectors.list_prices(), keyset=BY_MODEL)

    @extend_schema(
        operation_id="model_prices_create",
        tags=["models"],
        request=ModelPriceWrite,
        responses={201: ModelPriceRead},
        examples=examples.MODEL_PRICE_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Say what a model's tokens cost the org; it goes before the public list."""
        body = self.read(ModelPriceWrite)
        made = services.create_price(**body, actor=self.by.actor, at=timezone.now())
        return self.answer(ModelPriceRead, made, status=201)


class ModelPriceView(OrgView):
    required = {"GET": "models.view", "PATCH": "models.manage", "DELETE": "models.manage"}

    @extend_schema(operation_id="model_prices_get", tags=["models"], responses=ModelPriceRead)
    def get(self, request: Request, price: str) -> Response:
        return self.answer(ModelPriceRead, selectors.get_price(price))

    @extend_schema(
        operation_id="model_prices_change",
        tags=["models"],
        request=ModelPriceChange,
        responses=ModelPriceRead,
    )
    def patch(self, request: Request, price: str) -> Response:
        """Change it for the requests that come; what is spent stays as it was."""
        changed = services.update_price(
            price_id=selectors.get_price(price).id,
            **self.read(ModelPriceChange),
            actor=self.by.actor,
            at=timezone.now(),
        )
        return self.answer(ModelPriceRead, changed)

    @extend_schema(operation_id="model_prices_delete", tags=["models"], responses={204: None})
    def delete(self, request: Request, price: str) -> Response:
        """Let the public list count again."""
        found = selectors.get_price(price)
        services.delete_price(price_id=found.id, actor=self.by.actor, at=timezone.now())
        return self.nothing()
