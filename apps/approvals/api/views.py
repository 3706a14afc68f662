"""`/v1` of approvals: what waits, the votes on it, and who must approve what."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.approvals import selectors
from apps.approvals.api import examples
from apps.approvals.api import serializers as s
from apps.approvals.errors import AlreadyVoted, ApprovalClosed, ApprovalExpired, OwnRequest
from apps.approvals.services import requests, rules, voting
from apps.common.openapi import page_of, problems
from apps.common.pagination import NEWEST_FIRST
from apps.orgs.api.base import OrgView

REFUSALS = (
    OwnRequest("You are behind this request. Somebody else has to decide it."),
    AlreadyVoted("A member has one vote, and it can't be changed."),
    ApprovalExpired("Nobody decided it in time, which means no. It can be asked again."),
    ApprovalClosed("It is rejected."),
)


class ApprovalsView(OrgView):
    required = {"GET": selectors.VIEW}
    filters = s.ApprovalFilter
    list_keyset = NEWEST_FIRST
    list_heavy = ("payload", "evidence")

    @extend_schema(
        operation_id="approvals_list",
        tags=["approvals"],
        parameters=[s.ApprovalFilter],
        responses=page_of(s.ApprovalRead),
    )
    def get(self, request: Request) -> Response:
        wanted = self.read_query(s.ApprovalFilter)
        rows = selectors.in_box(wanted.pop("box", ""), self.by, **wanted)
        return self.answer_page(s.ApprovalRead, rows, keyset=NEWEST_FIRST)


class ApprovalView(OrgView):
    required = {"GET": selectors.VIEW}

    @extend_schema(
        operation_id="approvals_get",
        tags=["approvals"],
        responses=s.ApprovalRead,
        examples=examples.APPROVAL,
    )
    def get(self, request: Request, approval: str) -> Response:
        return self.answer(s.ApprovalRead, selectors.get_approval(approval))


class ApproveView(OrgView):
    required = {"POST": selectors.DECIDE}

    @extend_schema(
        operation_id="approvals_approve",
        tags=["approvals"],
        request=s.Comment,
        responses={
            200: s.ApprovalRead,
            **problems("/v1/approvals/{approval}/approve", *REFUSALS),
        },
        examples=examples.APPROVE,
    )
    def post(self, request: Request, approval: str) -> Response:
        """Vote for it. With enough votes it is approved, and what waits for it goes on."""
        voting.approve(**_vote(self, approval))
        return self.answer(s.ApprovalRead, selectors.get_approval(approval))


class RejectView(OrgView):
    required = {"POST": selectors.DECIDE}

    @extend_schema(
        operation_id="approvals_reject",
        tags=["approvals"],
        request=s.Comment,
        responses={200: s.ApprovalRead, **problems("/v1/approvals/{approval}/reject", *REFUSALS)},
        examples=examples.REJECT,
    )
    def post(self, request: Request, approval: str) -> Response:
        """Vote against it. One such vote rejects it, and what waits for it ends."""
        voting.reject(**_vote(self, approval))
        return self.answer(s.ApprovalRead, selectors.get_approval(approval))


class BreakGlassView(OrgView):
    required = {"POST": selectors.BREAK_GLASS}

    @extend_schema(
        operation_id="approvals_break_glass",
        tags=["approvals"],
        request=s.GlassReason,
        responses={
            200: s.ApprovalRead,
            **problems("/v1/approvals/{approval}/break-glass", *REFUSALS),
        },
        examples=examples.BREAK_GLASS,
    )
    def post(self, request: Request, approval: str) -> Response:
        """Approve it alone in an emergency, whatever its rule asks for. Everybody who decides
        approvals is told at once, with your reason.
        """
        voting.break_glass(
            approval_id=selectors.get_approval(approval).id,
            **self.read(s.GlassReason),
            by=self.by,
            at=timezone.now(),
        )
        return self.answer(s.ApprovalRead, selectors.get_approval(approval))


class CancelView(OrgView):
    required = {"POST": selectors.VIEW}

    @extend_schema(
        operation_id="approvals_cancel",
        tags=["approvals"],
        request=None,
        responses={
            200: s.ApprovalRead,
            **problems("/v1/approvals/{approval}/cancel", ApprovalClosed("It is used.")),
        },
        examples=examples.CANCEL,
    )
    def post(self, request: Request, approval: str) -> Response:
        """Take back what you asked for; what waits for it ends."""
        requests.cancel_request(
            approval_id=selectors.get_approval(approval).id, by=self.by, at=timezone.now()
        )
        return self.answer(s.ApprovalRead, selectors.get_approval(approval))


class RulesView(OrgView):
    required = {"GET": selectors.VIEW, "POST": selectors.RULES}
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="approval_rules_list", tags=["approvals"], responses=page_of(s.RuleRead)
    )
    def get(self, request: Request) -> Response:
        """The rules that count. Where none is meant, one who may decide approves, within a day."""
        return self.answer_page(s.RuleRead, selectors.list_rules(), keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="approval_rules_create",
        tags=["approvals"],
        request=s.RuleWrite,
        responses={201: s.RuleRead},
        examples=examples.RULE_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Say who must approve what; it counts for requests that come."""
        made = rules.create_rule(**self.read(s.RuleWrite), by=self.by, at=timezone.now())
        return self.answer(s.RuleRead, made, status=201)


class RuleView(OrgView):
    required = {"GET": selectors.VIEW, "PATCH": selectors.RULES, "DELETE": selectors.RULES}

    @extend_schema(operation_id="approval_rules_get", tags=["approvals"], responses=s.RuleRead)
    def get(self, request: Request, rule: str) -> Response:
        return self.answer(s.RuleRead, selectors.get_rule(rule))

    @extend_schema(
        operation_id="approval_rules_change",
        tags=["approvals"],
        request=s.RuleChange,
        responses=s.RuleRead,
        examples=examples.RULE_CHANGE,
    )
    def patch(self, request: Request, rule: str) -> Response:
        """Change how many, of which role, or how long; requests that wait keep what they have."""
        rules.update_rule(
            rule_id=selectors.get_rule(rule).id,
            fields=self.read(s.RuleChange),
            by=self.by,
            at=timezone.now(),
        )
        return self.answer(s.RuleRead, selectors.get_rule(rule))

    @extend_schema(operation_id="approval_rules_delete", tags=["approvals"], responses={204: None})
    def delete(self, request: Request, rule: str) -> Response:
        """Have the next less specific rule count."""
        rules.remove_rule(rule_id=selectors.get_rule(rule).id, by=self.by, at=timezone.now())
        return self.nothing()


def _vote(view: OrgView, approval: str) -> dict[str, Any]:
    return {
        "approval_id": selectors.get_approval(approval).id,
        **view.read(s.Comment),
        "voter": view.by,
        "at": timezone.now(),
    }
