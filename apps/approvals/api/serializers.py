"""How requests for approval, their votes and their rules are read and written as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.approvals import registry
from apps.approvals.models import Approval, ApprovalStatus, Verdict
from apps.approvals.selectors import APPROVAL, RULE, may_read, title_for
from apps.approvals.services.rules import QUORUM_MAX, TIMEOUT_MAX
from apps.approvals.services.voting import COMMENT_MAX
from apps.common.json import Object
from apps.orgs.api.fields import PublicId, Strict, Text, Whole
from apps.orgs.selectors import MEMBER

Read = serializers.Serializer[Any]


class PersonRead(Read):
    id = PublicId(MEMBER)
    name = serializers.CharField(source="label")


class RequesterRead(Read):
    type = serializers.CharField(source="requester_type")
    id = serializers.CharField(source="requester_id")
    label = serializers.CharField(source="requester_label")  # type: ignore[assignment]


class VoteRead(Read):
    member = PersonRead()
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    comment = serializers.CharField()
    at = serializers.DateTimeField()


class ApprovalRead(Read):
    """A request, bound to what was asked by the digest of its payload.

    `status` approved is good for one time until `expires_at`; consumed has been.
    """

    id = PublicId(APPROVAL)
    status = serializers.ChoiceField(choices=ApprovalStatus.choices)
    title = serializers.SerializerMethodField()
    subject_type = serializers.CharField()
    subject_id = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField(
        help_text="What will happen, exactly; null for who may not read what runs take and give."
    )
    payload_digest = serializers.CharField(
        source="digest", help_text="SHA-256 of the payload's canonical form (RFC 8785), in hex."
    )
    policy_version = serializers.IntegerField(allow_null=True)
    manifest_digest = serializers.CharField(allow_blank=True)
    agent = serializers.CharField(source="agent.slug", default=None, allow_null=True)
    tool = serializers.CharField(allow_blank=True)
    project = serializers.CharField(source="project.slug", default=None, allow_null=True)
    requester = RequesterRead(source="*")
    approver = PersonRead(allow_null=True, help_text="Whose act decided it.")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why it was asked.")
    evidence = serializers.SerializerMethodField(help_text="As `payload` is: shown to the same.")
    quorum = serializers.IntegerField(help_text="How many must approve.")
    role = serializers.CharField(
        source="role.slug",
        default=None,
        allow_null=True,
        help_text="Who decides, if not all who may.",
    )
    votes = VoteRead(many=True, source="votes.all")
    glass_reason = serializers.CharField(
        allow_blank=True, help_text="Why somebody approved it alone in an emergency."
    )
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_title(self, approval: Approval) -> str:
        return title_for(approval, self.context["request"].auth)

    @extend_schema_field({"type": ["object", "null"]})
    def get_payload(self, approval: Approval) -> Object | None:
        return approval.payload if may_read(approval, self.context["request"].auth) else None

    @extend_schema_field({"type": ["object", "null"]})
    def get_evidence(self, approval: Approval) -> Object | None:
        return approval.evidence if may_read(approval, self.context["request"].auth) else None

    @extend_schema_field({"type": "string"})
    def get_subject_id(self, approval: Approval) -> str:
        subject = registry.find_subject(approval.subject_type)
        return subject.public_id(approval.subject_id) if subject else str(approval.subject_id)


class ApprovalFilter(Read):
    status = serializers.ChoiceField(choices=ApprovalStatus.choices, required=False)
    subject_type = serializers.CharField(required=False, max_length=40)
    box = serializers.ChoiceField(
        choices=["waiting", "mine", "decided"],
        required=False,
        help_text="waiting: what you could decide now; mine: what you or your agents asked for.",
    )


class Comment(Strict):
    comment = Text(max_length=COMMENT_MAX, required=False, allow_blank=True, default="")


class GlassReason(Strict):
    reason = Text(max_length=COMMENT_MAX, help_text="What the emergency is; everybody reads it.")


class RuleRead(Read):
    """Who must approve what; of several rules the most specific counts. null means any."""

    id = PublicId(RULE)
    subject_type = serializers.CharField(allow_blank=True)
    agent = serializers.CharField(source="agent.slug", default=None, allow_null=True)
    tool = serializers.CharField(allow_blank=True)
    project = serializers.CharField(source="project.slug", default=None, allow_null=True)
    quorum = serializers.IntegerField()
    role = serializers.CharField(source="role.slug", default=None, allow_null=True)
    timeout_minutes = serializers.IntegerField()
    created_by = PersonRead()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RuleChange(Strict):
    quorum = Whole(min_value=1, max_value=QUORUM_MAX, required=False)
    role = Text(
        max_length=40, required=False, allow_blank=True, help_text="Its slug; empty: any who may."
    )
    timeout_minutes = Whole(
        min_value=1, max_value=TIMEOUT_MAX, required=False, help_text="Then the answer is no."
    )


class RuleWrite(RuleChange):
    subject_type = Text(max_length=40, required=False, help_text="Left out: of any kind.")
    agent = Text(max_length=40, required=False, help_text="Slug or id.")
    tool = Text(max_length=64, required=False, help_text="One of the agent's.")
    project = Text(max_length=40, required=False, help_text="Slug or id; not with an agent.")
    timeout_minutes = Whole(min_value=1, max_value=TIMEOUT_MAX, help_text="Then the answer is no.")
