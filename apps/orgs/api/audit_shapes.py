"""How `/v1/audit` is read and written as JSON."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.orgs.api.fields import Moment, Strict, Whole
from apps.orgs.api.serializers import ActorRead
from apps.orgs.audit_files import FORMATS
from apps.trust import proving, records
from apps.trust.entries import entry_of
from apps.trust.models import AuditEvent, Checkpoint, LogRetention

HASH: Final = "64 hex digits."
DIGITS: Final = 18


class AuditSubjectRead(serializers.Serializer[Any]):
    type = serializers.CharField()
    id = serializers.CharField()


class AuditEntryRead(serializers.Serializer[Any]):
    """An act on record. What it says is null once the org's retention erased it."""

    seq = serializers.IntegerField(help_text="1, 2, 3 …, without a gap.")
    at = serializers.DateTimeField(allow_null=True)
    actor = ActorRead(allow_null=True)
    action = serializers.CharField(allow_null=True)
    subject = AuditSubjectRead(allow_null=True)
    detail = serializers.DictField(allow_null=True, help_text="What changed: `old` and `new`.")
    prev = serializers.CharField(allow_blank=True, help_text="`hash` of the entry before.")
    hash = serializers.CharField(help_text=HASH)
    erased = serializers.BooleanField()
    withheld = serializers.BooleanField(
        help_text="Whether `detail` is null because the caller lacks the permission data.read."
    )

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        """By the columns, times as they are hashed."""
        entry = entry_of(instance)
        withheld = not instance.is_erased and not self.context["request"].auth.may("data.read")
        if withheld:
            entry |= {"detail": None, "body": None}
        entry |= {"erased": instance.is_erased, "withheld": withheld}
        return {name: entry[name] for name in map(str, self.fields)}


class ProvedEntryRead(AuditEntryRead):
    """The same, with what its hash covers: SHA-256(00 ‖ seq as 8 bytes ‖ prev ‖ body)."""

    body = serializers.CharField(allow_null=True)


class AuditCheckpointRead(serializers.Serializer[Any]):
    """A signed head of the tree."""

    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    size = serializers.IntegerField(help_text="Leaves: entries, and records of runs and decisions.")
    root: Any = serializers.SerializerMethodField(help_text=HASH)
    last_seq = serializers.IntegerField(source="seq_to", help_text="The last entry that it covers.")
    note = serializers.CharField(help_text="What is signed: a C2SP checkpoint.")

    @extend_schema_field({"type": "string"})
    def get_root(self, checkpoint: Checkpoint) -> str:
        return bytes(checkpoint.root).hex()


class PlaceRead(serializers.Serializer[Any]):
    """Where something stands in the tree, and why (RFC 9162 §2.1.3)."""

    index = serializers.IntegerField(source="found.index")
    leaf = serializers.SerializerMethodField(help_text=HASH)
    path = serializers.SerializerMethodField()
    checkpoint = AuditCheckpointRead(source="found.checkpoint")

    @extend_schema_field({"type": "string"})
    def get_leaf(self, proof: dict[str, Any]) -> str:
        return bytes(proof["found"].hash).hex()

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_path(self, proof: dict[str, Any]) -> list[str]:
        return [step.hex() for step in proof["found"].path]


class EntryProofRead(PlaceRead):
    entry = ProvedEntryRead()


class AuditRecordRead(serializers.Serializer[Any]):
    """A record that isn't an entry: its leaf is SHA-256(00 ‖ line)."""

    id = serializers.CharField()
    kind = serializers.CharField()
    digest = serializers.CharField(help_text="SHA-256 of `text`; 64 hex digits.")
    line = serializers.CharField(help_text="Kind, id and digest as they stand in the tree.")
    text = serializers.CharField(
        allow_null=True, help_text="What the record says now; null too if its row is gone."
    )
    matches = serializers.BooleanField(help_text="Whether that is what it said when it was left.")
    salt = serializers.CharField(
        allow_null=True,
        help_text="What the fingerprints in a run's text begin with, each SHA-256(salt ‖ JSON).",
    )
    withheld = serializers.BooleanField(
        default=False,
        help_text="Whether `text` is null because the caller lacks runs.view or decisions.view. "
        "`salt` takes data.read.",
    )

    def to_representation(self, instance: records.Told) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(instance)
        may = self.context["request"].auth.may
        if not may(records.permission_for(instance.kind)):
            told |= {"text": None, "withheld": True}
        return told if may("data.read") else told | {"salt": None}


class RecordProofRead(PlaceRead):
    record = AuditRecordRead()
    earlier = AuditRecordRead(
        many=True,
        help_text="What it left before, the newest first: a run that cost more after its end.",
    )


class AuditGrowthRead(serializers.Serializer[Any]):
    """That the tree of one checkpoint begins with that of an older one (RFC 9162 §2.1.4)."""

    old = AuditCheckpointRead()
    new = AuditCheckpointRead()
    path = serializers.SerializerMethodField()

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_path(self, growth: proving.Consistency) -> list[str]:
        return [step.hex() for step in growth.path]


class AuditCheckRead(serializers.Serializer[Any]):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    warning = serializers.BooleanField(
        source="is_warning",
        help_text="Not `ok`, but no fault of the log: something around it is behind.",
    )
    detail = serializers.CharField()


class AuditReportRead(serializers.Serializer[Any]):
    valid = serializers.BooleanField(help_text="Whether every check is `ok` or a `warning`.")
    checks = AuditCheckRead(many=True)
    from_seq = serializers.IntegerField()
    to_seq = serializers.IntegerField()


class AuditRangeWrite(Strict):
    """Which entries to check; left out, the newest."""

    from_seq = Whole(required=False, min_value=1, max_value=10**DIGITS)
    to_seq = Whole(required=False, min_value=1, max_value=10**DIGITS)


class AuditRetentionRead(serializers.Serializer[Any]):
    keep_days = serializers.IntegerField(allow_null=True, help_text="null: for ever.")
    erased_to = serializers.IntegerField(help_text="The last entry that was erased; 0: none.")


class AuditRetentionWrite(Strict):
    keep_days = Whole(
        allow_null=True, min_value=LogRetention.LEAST_DAYS, max_value=LogRetention.MOST_DAYS
    )


class AuditFilter(serializers.Serializer[Any]):
    actor = serializers.CharField(required=False, max_length=100, help_text="An id: mem_…, key_….")
    action = serializers.CharField(
        required=False, max_length=100, help_text="Whole, or a beginning that ends in a dot."
    )
    subject = serializers.CharField(
        required=False, max_length=100, help_text="An id (prj_…) or a kind (project)."
    )
    since = Moment(required=False, help_text="Happened then or later.")
    until = Moment(required=False, help_text="Happened before then.")


class ExportFilter(AuditFilter):
    """The filters are for csv; the other two formats are whole, or they would prove nothing."""

    format = serializers.ChoiceField(choices=list(FORMATS), default="jsonl")


class GrowthFilter(serializers.Serializer[Any]):
    old = serializers.IntegerField(
        required=False, min_value=1, max_value=10**DIGITS, help_text="The number of an older one."
    )
