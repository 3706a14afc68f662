"""How notices, channels and preferences are read and written as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notify.gateways.services import CHOICES
from apps.notify.models import Channel, Delivery, Digest, Notice
from apps.notify.selectors import CHANNEL, DELIVERY, NOTICE
from apps.orgs.api.fields import Flag, PublicId, Strict, Text
from apps.tenants.selectors import OrgRef

SCOPES = (("own", "The member's own"), ("org", "The organization's"))


class SubjectRead(serializers.Serializer[Any]):
    """What a notice is about."""

    type = serializers.CharField(source="subject_type")
    id = serializers.CharField(source="subject_id")


class NoticeRead(serializers.Serializer[Any]):
    id = PublicId(NOTICE)
    kind = serializers.CharField()
    title = serializers.CharField()
    body = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="The page that it is about.")
    subject = SubjectRead(source="*")
    created_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(allow_null=True)

    def get_url(self, notice: Notice) -> str:
        org: OrgRef = self.context["request"]._request.org
        return f"{org.url}{notice.path}"


class NoticeFilter(serializers.Serializer[Any]):
    unread = serializers.ChoiceField(
        choices=["false", "true"], default="false", help_text="Only what was not read yet."
    )


class AllReadRead(serializers.Serializer[Any]):
    read = serializers.IntegerField(help_text="How many were unread until now.")


class ChannelRead(serializers.Serializer[Any]):
    id = PublicId(CHANNEL)
    name = serializers.CharField()
    scope = serializers.SerializerMethodField()
    service = serializers.ChoiceField(choices=CHOICES)
    hint = serializers.CharField(help_text="The end of its address, which is never given out.")
    kinds = serializers.ListField(
        child=serializers.CharField(), help_text="What goes there; none means everything."
    )
    state = serializers.ChoiceField(choices=Channel.State.choices)
    failures = serializers.IntegerField(help_text="Failed deliveries in a row.")
    last_error = serializers.CharField()
    last_sent_at = serializers.DateTimeField(allow_null=True)
    paused_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    @extend_schema_field({"type": "string", "enum": ["own", "org"]})
    def get_scope(self, channel: Channel) -> str:
        return "org" if channel.is_orgs else "own"


class NewChannelRead(ChannelRead):
    """A channel in the one answer that may hold a webhook's secret."""

    signing_secret = serializers.CharField(
        allow_null=True, help_text="Of a webhook: what its messages are signed with. Shown once."
    )


class ChannelWrite(Strict):
    name = Text(max_length=80)
    scope = serializers.ChoiceField(choices=SCOPES, default="own")
    service = serializers.ChoiceField(choices=CHOICES)
    url = Text(max_length=1000, help_text="Its address; goes in and never out.")
    kinds = serializers.ListField(child=Text(max_length=60), required=False, max_length=100)


class ChannelChange(Strict):
    name = Text(max_length=80, required=False)
    url = Text(max_length=1000, required=False, help_text="Another address.")
    kinds = serializers.ListField(child=Text(max_length=60), required=False, max_length=100)
    paused = Flag(required=False)


class ChannelFilter(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(choices=SCOPES, required=False)


class DeliveryRead(serializers.Serializer[Any]):
    id = PublicId(DELIVERY)
    kind = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    tries = serializers.IntegerField()
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class WaysRead(serializers.Serializer[Any]):
    kind = serializers.CharField(source="kind.code")
    label = serializers.CharField(source="kind.label")  # type: ignore[assignment]
    bell = serializers.BooleanField()
    email = serializers.BooleanField()
    channels = serializers.BooleanField(help_text="The member's own channels.")
    always = serializers.BooleanField(
        source="kind.always", help_text="Whether the bell can't be turned off."
    )


class PreferencesRead(serializers.Serializer[Any]):
    digest = serializers.ChoiceField(choices=Digest.Every.choices)
    kinds = WaysRead(many=True)


class WaysWrite(Strict):
    """The ways of one kind, all of them: what is left out is off."""

    kind = Text(max_length=60)
    bell = Flag(default=False)
    email = Flag(default=False)
    channels = Flag(default=False)


class PreferencesChange(Strict):
    digest = serializers.ChoiceField(choices=Digest.Every.choices, required=False)
    kinds = WaysWrite(many=True, required=False)
