"""How policies, attachments and decisions are read and written as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.orgs.api.fields import Flag, Moment, PublicId, Strict, Text, Whole
from apps.orgs.selectors import MEMBER
from apps.policies import reading, selectors
from apps.policies.decisions import DECISION
from apps.policies.engine.flaws import MAX_BYTES
from apps.policies.models import (
    KEEP_INPUTS_MAX,
    Attachment,
    BacktestStatus,
    DecisionResult,
    DefaultAnswer,
    Policy,
    PolicyStatus,
    Scope,
)
from apps.policies.questions import RUN
from apps.policies.selectors import ATTACHMENT, POLICY, standing_of
from apps.policies.services.backtesting import BACKTEST, DAYS_MAX
from apps.policies.services.policies import NAME_MAX, PURPOSE_MAX

Read = serializers.Serializer[Any]
_PLACE_HELP = "A project's or agent's slug or id; for a tool `agent/tool`; nothing for the org."


class Json(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be an object.")
        return data


class Rego(Text):
    """A text with its line breaks and spaces, as it was written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_BYTES, trim_whitespace=False, **options)


class Drafts(serializers.ListField):
    """What drafts would have said, by what the reader may read of it."""

    child = serializers.JSONField()

    def to_representation(self, data: Any) -> Any:
        return super().to_representation(reading.told(self.context["request"].auth, data))


class WriterRead(Read):
    id = PublicId(MEMBER)
    name = serializers.CharField(source="label")


class AttachmentRead(Read):
    id = PublicId(ATTACHMENT)
    scope = serializers.ChoiceField(choices=Scope.choices)
    name = serializers.SerializerMethodField(help_text=_PLACE_HELP)
    created_at = serializers.DateTimeField()

    def get_name(self, row: Attachment) -> str:
        return selectors.name_of(row)


class PolicyRow(Read):
    """A policy by its newest version; `active_version` is the one that decides, if any does."""

    id = PublicId(POLICY)
    name = serializers.CharField(source="newest.name")
    purpose = serializers.CharField(source="newest.purpose")
    version = serializers.IntegerField(source="newest.version")
    status = serializers.ChoiceField(choices=PolicyStatus.choices, source="newest.status")
    active_version = serializers.IntegerField(
        source="active.version", default=None, allow_null=True
    )
    attachments = AttachmentRead(many=True)
    shadow_since = serializers.DateTimeField(source="newest.shadow_since", allow_null=True)
    created_at = serializers.DateTimeField(source="policy.created_at")
    updated_at = serializers.DateTimeField(source="newest.created_at")
    retired_at = serializers.DateTimeField(source="policy.retired_at", allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        """A list has rows, which its query has read whole."""
        is_row = isinstance(instance, Policy)
        return super().to_representation(standing_of(instance) if is_row else instance)


class PolicyRead(PolicyRow):
    """A policy with its newest version's text; `digest` is the SHA-256 of the Rego in hex."""

    rego_text = serializers.CharField(source="newest.rego_text")
    tests = serializers.CharField(source="newest.tests")
    digest = serializers.CharField(source="newest.digest")
    created_by = WriterRead(source="newest.created_by", allow_null=True)


class ActivateWrite(Strict):
    version = Whole(
        min_value=1,
        required=False,
        help_text="The version that was read: if a newer one was written since, nothing happens.",
    )


class AskedRead(PolicyRead):
    """A policy after a change of what decides was asked for; `approval_id` is set where it waits
    for a second person, and the policy is as it was.
    """

    approval_id = serializers.CharField(allow_null=True)


class VersionRead(Read):
    version = serializers.IntegerField()
    name = serializers.CharField()
    purpose = serializers.CharField()
    status = serializers.ChoiceField(choices=PolicyStatus.choices)
    rego_text = serializers.CharField()
    tests = serializers.CharField()
    digest = serializers.CharField()
    created_at = serializers.DateTimeField()
    created_by = WriterRead(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    activated_by = WriterRead(allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True)


class AttachmentWrite(Strict):
    scope = serializers.ChoiceField(choices=Scope.choices)
    id = Text(max_length=120, required=False, help_text=_PLACE_HELP)


class PolicyChange(Strict):
    """What the next version says; what is left out stays as the newest version has it."""

    name = Text(max_length=NAME_MAX, required=False)
    purpose = Text(max_length=PURPOSE_MAX, required=False, allow_blank=True)
    rego_text = Rego(required=False, help_text="Rego v1, `package mandate`.")
    tests = Rego(
        required=False, allow_blank=True, help_text="`package mandate_test`, rules `test_…`."
    )


class PolicyWrite(PolicyChange):
    """A new policy; it is a draft."""

    name = Text(max_length=NAME_MAX)
    rego_text = Rego(help_text="Rego v1, `package mandate`.")
    attach = AttachmentWrite(required=False)


class PolicyFilter(Read):
    q = serializers.CharField(required=False, max_length=80, help_text="In the name.")
    status = serializers.ChoiceField(
        required=False,
        choices=[*PolicyStatus.values, selectors.EVERY],
        help_text="Left out: all that aren't retired.",
    )


class OutcomeRead(Read):
    name = serializers.CharField()
    passed = serializers.BooleanField()
    message = serializers.CharField()


class TestsRead(Read):
    """How a version's own tests ended; it is tested if all passed."""

    status = serializers.ChoiceField(choices=PolicyStatus.choices)
    tests = OutcomeRead(many=True)


class TryWrite(Strict):
    rego_text = Rego(help_text="Rego v1, `package mandate`.")
    input = Json(help_text="The document that the text reads as `input`.")
    tests = Rego(required=False, allow_blank=True)


class TryRead(Read):
    """What one text says of one call. `flaw` tells why it is unavailable."""

    result = serializers.ChoiceField(choices=DecisionResult.choices)
    reasons = serializers.ListField(child=serializers.CharField())
    obligations = serializers.JSONField()
    flaw = serializers.CharField()
    micros = serializers.IntegerField()
    tests = OutcomeRead(many=True)


class BacktestWrite(Strict):
    rego_text = Rego(help_text="Rego v1, `package mandate`.")
    days = Whole(min_value=1, max_value=DAYS_MAX)
    policy = Text(
        max_length=40,
        required=False,
        help_text="The policy whose place the text takes. Left out, it is added to all.",
    )


class BacktestRead(Read):
    """What would have been decided; while it is `running`, as far as it has come. `is_cut` says
    that older decisions were left out, `without_input` how many had no document any more, or
    another than they were decided by. Of who lacks `data.read` what is made of the calls is
    `withheld`: the reasons, and obligations.
    """

    id = PublicId(BACKTEST)
    status = serializers.ChoiceField(choices=BacktestStatus.choices)
    days = serializers.IntegerField()
    evaluated = serializers.IntegerField()
    without_input = serializers.IntegerField()
    changed_count = serializers.IntegerField()
    changed = Drafts()
    is_cut = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class SettingsRead(Read):
    """`bundle` counts every change by which calls are decided otherwise."""

    bundle = serializers.IntegerField()
    default_answer = serializers.ChoiceField(choices=DefaultAnswer.choices)
    keep_inputs_days = serializers.IntegerField()
    two_person = serializers.BooleanField()


class SettingsAnswer(SettingsRead):
    """The settings; `approval_id` is set where a part of the change waits for a second person."""

    approval_id = serializers.CharField(allow_null=True)


class SettingsChange(Strict):
    default_answer = serializers.ChoiceField(
        choices=DefaultAnswer.choices,
        required=False,
        help_text="What holds for calls that no policy is attached to.",
    )
    keep_inputs_days = Whole(
        min_value=1,
        max_value=KEEP_INPUTS_MAX,
        required=False,
        help_text="How long the documents of decisions are kept.",
    )
    two_person = Flag(
        required=False, help_text="Whether a change of what decides needs a second person."
    )


class DecisionCallerRead(Read):
    type = serializers.CharField(source="caller_type")
    id = serializers.CharField(source="caller_id")
    label: Any = serializers.CharField(source="caller_label")


class DecisionRead(Read):
    """What the policies said of one call; `policies` is what each said by itself, `shadows` what
    drafts would have said where that differs: to who lacks `data.read` the result alone.
    """

    id = PublicId(DECISION)
    result = serializers.ChoiceField(choices=DecisionResult.choices)
    reasons = serializers.ListField(child=serializers.CharField())
    policies = serializers.JSONField()
    run = PublicId(RUN, source="run_id")
    at = serializers.DateTimeField()
    action = serializers.CharField()
    agent = serializers.CharField()
    tool = serializers.CharField()
    ordinal = serializers.IntegerField(allow_null=True)
    caller = DecisionCallerRead(source="*")
    obligations = serializers.JSONField()
    shadows = Drafts(allow_null=True)
    bundle = serializers.IntegerField()
    micros = serializers.IntegerField()
    input_digest = serializers.SerializerMethodField()

    def get_input_digest(self, row: Any) -> str:
        return bytes(row.input_digest).hex()


class WholeDecisionRead(DecisionRead):
    """With the document that it was made of, for who may read data, while it is kept as it was."""

    input = serializers.DictField(child=serializers.JSONField(), allow_null=True)
    input_is_altered = serializers.BooleanField(
        help_text="What is kept is not what it was decided by, and is shown to nobody."
    )


class DecisionFilter(Read):
    result = serializers.ChoiceField(choices=DecisionResult.choices, required=False)
    agent = serializers.CharField(required=False, max_length=40, help_text="Slug or id.")
    policy = serializers.CharField(required=False, max_length=40)
    run = serializers.CharField(required=False, max_length=40)
    since = Moment(required=False)
    until = Moment(required=False)
    shadowed = serializers.BooleanField(
        required=False, help_text="Only those that a draft would have made otherwise."
    )
