"""How API keys are read and written as JSON, under whichever path."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from apps.common.api.views import ApiView
from apps.orgs import selectors
from apps.orgs.api.fields import Moment, PublicId, Strict, Text, Whole
from apps.orgs.models import ApiKey
from apps.orgs.permissions import ALL_SCOPES, MATRIX
from apps.orgs.services.keys import GRACE, GRACE_MAX, NewKey


class KeyRead(serializers.Serializer[Any]):
    id = PublicId(selectors.KEY)
    name = serializers.CharField()
    prefix = serializers.CharField()
    member = PublicId(selectors.MEMBER, source="member_id")
    agent = serializers.SerializerMethodField(help_text="The slug of the agent that it acts as.")
    scopes = serializers.ListField(child=serializers.CharField())
    status = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    grace_until = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    rotated_from = serializers.SerializerMethodField()

    @extend_schema_field({"enum": ["active", "replaced", "expired", "revoked"], "type": "string"})
    def get_status(self, key: ApiKey) -> str:
        return key.status_at(timezone.now())

    @extend_schema_field({"type": ["string", "null"]})
    def get_agent(self, key: ApiKey) -> str | None:
        return key.agent.slug if key.agent else None

    @extend_schema_field({"type": ["string", "null"]})
    def get_rotated_from(self, key: ApiKey) -> str | None:
        if key.rotated_from_id is None:
            return None
        return PublicId(selectors.KEY).to_representation(key.rotated_from_id)


class NewKeyRead(KeyRead):
    """A key in the one answer that holds its token."""

    token = serializers.CharField(help_text="Shown once; only its hash is kept.")


class AgentKeyWrite(Strict):
    """A key of the agent that the path names."""

    name = Text(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[ALL_SCOPES, *MATRIX]),
        required=False,
        help_text="Permission codes; left out, empty or `*`: all that the member's role allows.",
    )
    expires_at = Moment(required=False, allow_null=True)


class KeyWrite(AgentKeyWrite):
    """A key of one's own, or with `agent` one that acts as that agent."""

    agent = Text(max_length=40, required=False, allow_null=True, help_text="An agent's slug or id.")


class KeyRotate(Strict):
    grace_seconds = Whole(
        required=False,
        min_value=0,
        max_value=int(GRACE_MAX.total_seconds()),
        default=int(GRACE.total_seconds()),
        help_text="How long the old key still works; 0 stops it at once.",
    )


def answer_new_key(view: ApiView, made: NewKey) -> Response:
    """The one answer that holds the token."""
    made.key.token = made.token  # type: ignore[attr-defined]
    return view.answer(NewKeyRead, made.key, status=201)
