"""How agents, capabilities, manifests and grants are read and written as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents import selectors
from apps.agents.directory import AGENT
from apps.agents.models import AgentStatus, AuthRequirement
from apps.agents.selectors import GRANT
from apps.agents.services.agents import NOTE_MAX, PURPOSE_MAX, TIMEOUT_MAX
from apps.agents.services.capabilities import MOST, PRICE_MAX
from apps.orgs.api.fields import Flag, Moment, PublicId, Strict, Text, Whole
from apps.orgs.selectors import MEMBER

SLUG = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
CONFIG_HELP = (
    '{"skill"} for builtin, {"url", "headers"?} for http, {"provider", "model", "instructions"?, '
    '"parameters"?, "limits"?, "fallback"?, "tools"?, "buffered"?, "redact"?} for llm.'
)
Read = serializers.Serializer[Any]


class Json(serializers.JSONField):
    """A JSON object; what is in it, services check."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be an object.")
        return data


class AnnotationsRead(Read):
    read_only: Any = serializers.BooleanField()
    destructive = serializers.BooleanField()
    idempotent = serializers.BooleanField()
    open_world = serializers.BooleanField()


class CapabilityRead(Read):
    name = serializers.CharField()
    description = serializers.CharField()
    input_schema = serializers.JSONField()
    output_schema = serializers.JSONField()
    annotations = AnnotationsRead(source="*")
    auth = serializers.ChoiceField(choices=AuthRequirement.choices)
    price_micros = serializers.IntegerField()


class AccountableRead(Read):
    id = PublicId(MEMBER)
    name = serializers.CharField(source="label")


class ManifestRefRead(Read):
    version = serializers.IntegerField()
    digest = serializers.CharField()


class AgentRead(Read):
    id = PublicId(AGENT)
    name = serializers.CharField()
    slug = serializers.CharField()
    purpose = serializers.CharField()
    project = serializers.CharField(source="project.slug")
    accountable = AccountableRead()
    status = serializers.ChoiceField(choices=AgentStatus.choices)
    status_note = serializers.CharField()
    runtime = serializers.CharField()
    config = serializers.JSONField()
    timeout_seconds = serializers.IntegerField()
    capabilities = CapabilityRead(many=True, source="capabilities.all")
    manifest = ManifestRefRead()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewAgentRead(AgentRead):
    """A new agent; one whose endpoints get signed calls brings its secret, this once."""

    signing_secret = serializers.CharField(allow_null=True)


class StoppedAgentRead(AgentRead):
    stopped_runs = serializers.IntegerField()


class SigningSecretRead(Read):
    signing_secret = serializers.CharField()


class AnnotationsWrite(Strict):
    read_only: Any = Flag(required=False)
    destructive = Flag(required=False)
    idempotent = Flag(required=False)
    open_world = Flag(required=False)


class CapabilityChange(Strict):
    description = Text(max_length=1000, required=False, allow_blank=True)
    input_schema = Json(required=False, help_text="JSON Schema 2020-12 of an object.")
    output_schema = Json(required=False, help_text="JSON Schema 2020-12 of an object.")
    annotations = AnnotationsWrite(required=False)
    auth = serializers.ChoiceField(choices=AuthRequirement.choices, required=False)
    price_micros = Whole(
        min_value=0, max_value=PRICE_MAX, required=False, help_text="Millionths of a US dollar."
    )


class CapabilityWrite(CapabilityChange):
    name = serializers.RegexField(r"^[A-Za-z0-9_.-]{1,64}$")


class AgentWrite(Strict):
    name = Text(max_length=80)
    slug = serializers.RegexField(
        SLUG, required=False, help_text="From the name if left out. It can't be changed later."
    )
    purpose = Text(max_length=PURPOSE_MAX, required=False, allow_blank=True)
    project = Text(max_length=40, required=False, help_text="Slug or id; else the default one.")
    accountable = Text(max_length=40, required=False, help_text="A member's id; else yours.")
    runtime = Text(max_length=20, help_text="One of the kinds that there are, such as builtin.")
    config = Json(required=False, help_text=CONFIG_HELP)
    timeout_seconds = Whole(min_value=1, max_value=TIMEOUT_MAX, required=False)
    status = serializers.ChoiceField(choices=["draft", "active"], required=False)
    capabilities = serializers.ListField(child=CapabilityWrite(), required=False, max_length=MOST)


class AgentChange(Strict):
    name = Text(max_length=80, required=False)
    purpose = Text(max_length=PURPOSE_MAX, required=False, allow_blank=True)
    project = Text(max_length=40, required=False)
    accountable = Text(max_length=40, required=False)
    config = Json(required=False, help_text="The whole of it; it takes the former one's place.")
    timeout_seconds = Whole(min_value=1, max_value=TIMEOUT_MAX, required=False)
    status = serializers.ChoiceField(
        choices=["draft", "active", "suspended"],
        required=False,
        help_text="The same as activating or suspending it; nothing becomes a draft again.",
    )


class AgentFilter(Read):
    q = serializers.CharField(required=False, max_length=80, help_text="In name or slug.")
    status = serializers.ChoiceField(
        required=False,
        choices=[*AgentStatus.values, selectors.EVERY_STATUS],
        help_text="Left out: all that aren't retired.",
    )
    project = serializers.CharField(required=False, max_length=40, help_text="Slug or id.")
    runtime = serializers.CharField(required=False, max_length=20)


class Note(Strict):
    note = Text(
        max_length=NOTE_MAX, required=False, allow_blank=True, help_text="Why, for who finds it so."
    )


class ManifestRead(Read):
    """What an agent was at one version; `digest` is SHA-256 of the canonical form (RFC 8785)."""

    version = serializers.IntegerField()
    digest = serializers.CharField()
    manifest = serializers.JSONField(source="document")
    created_at = serializers.DateTimeField()


class GrantRead(Read):
    id = PublicId(GRANT)
    caller = serializers.CharField(source="caller.slug")
    callee = serializers.CharField(source="callee.slug")
    tools = serializers.ListField(child=serializers.CharField())
    active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    created_by = AccountableRead()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class GrantChange(Strict):
    tools = serializers.ListField(
        child=Text(max_length=64), max_length=MOST, required=False, help_text='Names, or ["*"].'
    )
    expires_at = Moment(required=False, allow_null=True)


class GrantPick(Read):
    caller = serializers.CharField(
        max_length=40, help_text="Slug or id of the agent whose grant it is."
    )


class GrantWrite(GrantChange):
    caller = Text(max_length=40, help_text="Slug or id of the agent that may call.")
    tools = serializers.ListField(
        child=Text(max_length=64), max_length=MOST, help_text='Names, or ["*"] for all.'
    )
