"""The Merkle tree over everything on record: what goes into it, its tiles, its signed heads.

Audit events and leaves are the data; tiles can be computed again from them. A checkpoint says which
of them were taken in since the one before, so that the place of each follows from counting.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.common.models import TenantModel


class CurrentTransaction(models.Func):
    """The id of the transaction that writes the row (xid8, which never wraps), as SQL."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()


class Leaf(TenantModel):
    """The digest of a record that isn't an audit event: a decision, a run that ended.

    Writing one takes no lock and no number: the hot path leaves it behind, and the sealer gives it
    its place in the tree, by `xid` and `id`. A record that changed after all leaves another.
    `aside` is what its text needs besides the record's row: what of the row may still change, as it
    was, and the salt of what stands there by its fingerprint. `xid` is the database's word alone:
    under an older one a leaf would never be sealed, and stand where no checkpoint has it.
    """

    append_only: ClassVar = True
    app_grants: ClassVar = ("select", "insert (id, kind, subject_id, digest, aside)")

    kind = models.CharField(max_length=20)
    subject_id = models.UUIDField()
    digest = models.BinaryField()
    aside = models.JSONField(null=True)
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)

    class Meta:
        db_table = "trust_leaf"
        verbose_name_plural = "leaves"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__regex=r"^[a-z0-9_]+$"), name="leaf_kind_is_a_word"
            ),
        ]
        indexes = [
            models.Index(fields=["xid", "id"], name="leaf_order"),
            models.Index(fields=["subject_id"], name="leaf_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class Tile(TenantModel):
    """Up to 256 neighbouring hashes of one height of the tree (C2SP tlog-tiles)."""

    app_grants: ClassVar = ("select", "insert", "update")

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "trust_tile"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "level", "index"], name="tile_place")
        ]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class Checkpoint(TenantModel):
    """One signed head of the tree, and what the sealer took in for it.

    First the audit events after `seq_from` up to `seq_to`, then the leaves of the transactions from
    `xid_from` up to and without `xid_to`, in the order of (xid, id). The newest row is the cursor.
    """

    append_only: ClassVar = True
    app_grants: ClassVar = ("select", "insert")

    number = models.BigIntegerField()
    at = models.DateTimeField()
    size_before = models.BigIntegerField()
    size = models.BigIntegerField()
    seq_from = models.BigIntegerField()
    seq_to = models.BigIntegerField()
    xid_from = models.BigIntegerField()
    xid_to = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField(help_text="The signed note (C2SP tlog-checkpoint)")

    class Meta:
        db_table = "trust_checkpoint"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "number"], name="checkpoint_number"),
            models.UniqueConstraint(fields=["org_id", "size"], name="checkpoint_size"),
        ]
        indexes = [
            models.Index(fields=["seq_to", "number"], name="checkpoint_seq"),
            models.Index(fields=["xid_to", "number"], name="checkpoint_xid"),
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.number} of {self.size}"


class CheckpointCopy(TenantModel):
    """How far the checkpoints have left the database, for one place that they go to.

    Its row is the outbox: all checkpoints after `number` still have to go there, in order. One that
    `differs` has another checkpoint there than the log has: nothing goes there any more.
    """

    sink = models.CharField(max_length=40)
    number = models.BigIntegerField(default=0)
    copied_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True)
    differs = models.BooleanField(default=False)

    class Meta:
        db_table = "trust_checkpoint_copy"
        verbose_name_plural = "checkpoint copies"
        constraints = [
            models.UniqueConstraint(fields=["org_id", "sink"], name="checkpoint_copy_sink")
        ]

    def __str__(self) -> str:
        return f"{self.sink} up to {self.number}"


class LogRetention(TenantModel):
    """For how many days the org keeps what its audit events say; without a row for ever.

    `erased_to` is the last event that was given up: put on record first, emptied right after.
    """

    LEAST_DAYS: ClassVar = 30
    MOST_DAYS: ClassVar = 3650

    keep_days = models.PositiveIntegerField(null=True)
    erased_to = models.BigIntegerField(default=0)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_retention"
        verbose_name_plural = "log retention"
        constraints = [
            models.UniqueConstraint(fields=["org_id"], name="audit_retention_one_per_org"),
            models.CheckConstraint(
                condition=models.Q(keep_days=None) | models.Q(keep_days__gte=30),
                name="audit_retention_least",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.keep_days} days" if self.keep_days else "for ever"
