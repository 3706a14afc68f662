"""How the org's things are read and written as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.orgs import selectors
from apps.orgs.api.fields import Flag, PublicId, Strict, Text
from apps.orgs.labels import LONGEST, MOST
from apps.orgs.models import Invitation

SLUG = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
Read = serializers.Serializer[Any]


class ActorRead(Read):
    type = serializers.CharField()
    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class OrgRead(Read):
    id = PublicId(selectors.ORG)
    slug = serializers.CharField()
    name = serializers.CharField()


class PlanRead(Read):
    """How much the org may have; null is no limit."""

    code = serializers.CharField()
    name = serializers.CharField()
    member_limit = serializers.IntegerField(allow_null=True)
    agent_limit = serializers.IntegerField(allow_null=True)


class MeRead(Read):
    """Who the key speaks for, and what it may do."""

    principal = ActorRead(source="who.actor")
    member = PublicId(selectors.MEMBER, source="who.member_id")
    org = OrgRead()
    plan = PlanRead()
    role = serializers.CharField(source="who.role")
    permissions = serializers.SerializerMethodField()

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_permissions(self, me: dict[str, Any]) -> list[str]:
        return sorted(me["who"].permissions)


class ProjectRead(Read):
    id = PublicId(selectors.PROJECT)
    name = serializers.CharField()
    slug = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    default = serializers.BooleanField(source="is_default")
    archived_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


def _labels() -> serializers.ListField:
    child = Text(max_length=LONGEST)
    return serializers.ListField(child=child, max_length=MOST, required=False)


class ProjectWrite(Strict):
    name = Text(max_length=80)
    slug = serializers.RegexField(
        SLUG, required=False, help_text="From the name if left out. It can't be changed later."
    )
    tags = _labels()


class ProjectChange(Strict):
    name = Text(max_length=80, required=False)
    tags = _labels()
    archived = Flag(required=False)


class ProjectFilter(Read):
    q = serializers.CharField(required=False, max_length=80, help_text="In name, slug or tag.")
    archived = serializers.ChoiceField(
        choices=["false", "true", "all"], default="false", help_text="Which of the two kinds."
    )


class MemberRead(Read):
    id = PublicId(selectors.MEMBER)
    name = serializers.CharField(source="label")
    email = serializers.EmailField()
    role = serializers.CharField(source="role.slug")
    groups = serializers.ListField(child=serializers.CharField())
    joined_at = serializers.DateTimeField()
    left_at = serializers.DateTimeField(allow_null=True)


class MemberChange(Strict):
    role = Text(max_length=40, required=False, help_text="The slug of a role.")
    groups = _labels()


class MemberFilter(Read):
    q = serializers.CharField(required=False, max_length=80, help_text="In name or address.")
    role = serializers.CharField(required=False, max_length=40, help_text="The slug of a role.")
    group = serializers.CharField(
        required=False, max_length=LONGEST, help_text="A group that they are in."
    )
    left = serializers.ChoiceField(
        choices=["false", "true", "all"], default="false", help_text="Those who are gone."
    )


class InvitationRead(Read):
    id = PublicId(selectors.INVITATION)
    email = serializers.EmailField()
    role = serializers.CharField(source="role.slug")
    state = serializers.ChoiceField(choices=Invitation.State.choices)
    invited_by = PublicId(selectors.MEMBER, source="invited_by_id")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)


class InvitationWrite(Strict):
    email = serializers.EmailField(max_length=254)
    role = Text(max_length=40, help_text="The slug of a role.")


class InvitationFilter(Read):
    state = serializers.ChoiceField(choices=Invitation.State.choices, required=False)
