"""`/v1/audit`: the log, its signed heads, proofs, and what is needed to check it elsewhere."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.errors import NotFound
from apps.common.ids import parse_id
from apps.common.openapi import page_of, problems
from apps.common.pagination import Keyset
from apps.orgs.api import audit_examples as examples
from apps.orgs.api import audit_shapes as s
from apps.orgs.api.base import OrgView
from apps.orgs.audit_files import FORMATS, answer_export, answer_verifier, codes_for
from apps.orgs.denials import needed
from apps.trust import checking, proving, records, selectors
from apps.trust.services import retention

VIEW: Final = "audit.view"
BY_SEQ: Final = Keyset(("seq",))
BY_NUMBER: Final = Keyset(("number",))


class FileRenderer(BaseRenderer):
    """What `Accept` may ask for; a file renders itself."""

    media_type = "*/*"
    format = "file"
    charset = None


class AuditView(OrgView):
    required = {"GET": VIEW}
    filters = s.AuditFilter
    list_keyset = BY_SEQ
    list_heavy = ("detail",)

    @extend_schema(
        operation_id="audit_list",
        tags=["audit"],
        parameters=[s.AuditFilter],
        responses=page_of(s.AuditEntryRead),
        examples=examples.ENTRIES,
    )
    def get(self, request: Request) -> Response:
        """The entries, newest first."""
        rows = selectors.list_events(**self.read_query(s.AuditFilter))
        return self.answer_page(s.AuditEntryRead, rows, keyset=BY_SEQ)


class AuditVerifyView(OrgView):
    required = {"POST": VIEW}

    @extend_schema(
        operation_id="audit_verify",
        tags=["audit"],
        request=s.AuditRangeWrite,
        responses={200: s.AuditReportRead},
        examples=examples.VERIFY,
    )
    def post(self, request: Request) -> Response:
        """Check the newest entries and records, the tree, its signature and its copies, here and
        now.
        """
        report = checking.verify_log(**self.read(s.AuditRangeWrite), at=timezone.now())
        return self.answer(s.AuditReportRead, report)


class EntryProofView(OrgView):
    required = {"GET": VIEW}

    @extend_schema(
        operation_id="audit_proof",
        tags=["audit"],
        responses={200: s.EntryProofRead, **problems("/v1/audit/{seq}/proof", *examples.UNPROVED)},
        examples=examples.ENTRY_PROOF,
    )
    def get(self, request: Request, seq: str) -> Response:
        """Prove that an entry is in the newest checkpoint; 409 for some seconds after it."""
        event = proving.get_event(_number(seq))
        return self.answer(s.EntryProofRead, {"entry": event, "found": proving.prove_event(event)})


class RecordProofView(OrgView):
    required = {"GET": VIEW}

    @extend_schema(
        operation_id="audit_record_proof",
        tags=["audit"],
        responses={
            200: s.RecordProofRead,
            **problems("/v1/audit/records/{record}/proof", *examples.UNPROVED),
        },
        examples=examples.RECORD_PROOF,
    )
    def get(self, request: Request, record: str) -> Response:
        """Prove what a run that has ended, or a decision, was when it was put on record."""
        kind, subject_id = _record(record)
        told = records.tell(proving.list_leaves(kind=kind, subject_id=subject_id))
        found = proving.prove_leaf(told[0].leaf)
        proof = {"record": told[0], "found": found, "earlier": told[1:]}
        return self.answer(s.RecordProofRead, proof)


class CheckpointsView(OrgView):
    required = {"GET": VIEW}
    list_keyset = BY_NUMBER

    @extend_schema(
        operation_id="audit_checkpoints",
        tags=["audit"],
        responses=page_of(s.AuditCheckpointRead),
        examples=examples.CHECKPOINTS,
    )
    def get(self, request: Request) -> Response:
        """The signed heads of the tree, newest first."""
        return self.answer_page(
            s.AuditCheckpointRead, selectors.list_checkpoints(), keyset=BY_NUMBER
        )


class CheckpointGrowthView(OrgView):
    required = {"GET": VIEW}
    filters = s.GrowthFilter

    @extend_schema(
        operation_id="audit_growth",
        tags=["audit"],
        parameters=[s.GrowthFilter],
        responses=s.AuditGrowthRead,
        examples=examples.GROWTH,
    )
    def get(self, request: Request, checkpoint: str) -> Response:
        """Prove that the log only grew since an older checkpoint, the first unless told."""
        new = proving.get_checkpoint(_number(checkpoint))
        old = proving.get_checkpoint(self.read_query(s.GrowthFilter).get("old", 1))
        return self.answer(s.AuditGrowthRead, proving.prove_growth(old=old, new=new))


class AuditExportView(OrgView):
    required = {"GET": "audit.export"}
    filters = s.ExportFilter
    renderer_classes = (FileRenderer,)
    http_method_names = ["get"]

    @extend_schema(
        operation_id="audit_export",
        tags=["audit"],
        parameters=[s.ExportFilter],
        responses={(200, media): OpenApiResponse({"type": "string"}) for media in FORMATS.values()},
        examples=examples.EXPORT,
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The whole log for the offline verifier, its entries as CSV, or its checkpoints. Needs
        `data.export` besides, and for entries `data.read`.
        """
        asked = self.read_query(s.ExportFilter)
        for code in codes_for(asked["format"]):
            if not self.by.may(code):
                raise needed(code)
        return answer_export(asked.pop("format"), **asked)


class VerifierView(OrgView):
    required = {"GET": VIEW}
    renderer_classes = (FileRenderer,)
    http_method_names = ["get"]

    @extend_schema(
        operation_id="audit_verifier",
        tags=["audit"],
        responses={(200, "text/x-python"): OpenApiResponse({"type": "string"})},
        examples=examples.VERIFIER,
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The offline verifier: one file of Python that needs nothing of ours."""
        return answer_verifier()


class RetentionView(OrgView):
    required = {"GET": VIEW, "PUT": "audit.manage"}

    @extend_schema(
        operation_id="audit_retention",
        tags=["audit"],
        responses=s.AuditRetentionRead,
        examples=examples.RETENTION,
    )
    def get(self, request: Request) -> Response:
        """For how long the entries keep what they say."""
        return self.answer(s.AuditRetentionRead, retention.get_retention())

    @extend_schema(
        operation_id="audit_retention_change",
        tags=["audit"],
        request=s.AuditRetentionWrite,
        responses=s.AuditRetentionRead,
        examples=examples.RETENTION_CHANGE,
    )
    def put(self, request: Request) -> Response:
        """Keep them so long from now on. What was erased stays so; numbers and hashes stay too."""
        changed = retention.set_retention(
            **self.read(s.AuditRetentionWrite), actor=self.by.actor, at=timezone.now()
        )
        return self.answer(s.AuditRetentionRead, changed)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= s.DIGITS):
        raise NotFound
    return int(text)


def _record(text: str) -> tuple[str, UUID]:
    """Which kind of record an id names, and its id; raises NotFound."""
    prefix = text.partition("_")[0]
    return records.kind_of(prefix), parse_id(prefix, text)
