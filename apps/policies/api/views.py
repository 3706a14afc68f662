"""`/v1` of policies: what is written, where it counts, and what it would say."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.approvals.models import Approval
from apps.approvals.selectors import APPROVAL
from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.common.json import find_flaw
from apps.common.openapi import page_of, problems
from apps.common.pagination import NEWEST_FIRST, Keyset
from apps.orgs.api.base import OrgView
from apps.orgs.api.idempotency import key_of
from apps.orgs.denials import needed
from apps.policies import places, reading, selectors
from apps.policies.api import examples
from apps.policies.api import serializers as s
from apps.policies.errors import outcome_as_json
from apps.policies.models import Backtest
from apps.policies.services import activating, attaching, backtesting, policies, trying
from apps.policies.services import settings as services

BY_VERSION: Final = Keyset(("version",))


class PoliciesView(OrgView):
    required = {"GET": "policies.view", "POST": "policies.edit"}
    filters = s.PolicyFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="policies_list",
        tags=["policies"],
        parameters=[s.PolicyFilter],
        responses=page_of(s.PolicyRow),
        examples=examples.POLICIES,
    )
    def get(self, request: Request) -> Response:
        rows = selectors.list_policies(**self.read_query(s.PolicyFilter))
        return self.answer_page(s.PolicyRow, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="policies_create",
        tags=["policies"],
        request=s.PolicyWrite,
        responses={201: s.PolicyRead, **problems("/v1/policies", examples.FLAWED)},
        examples=examples.POLICY_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Write a policy; it is a draft, and counts once it is attached and active."""
        body = self.read(s.PolicyWrite)
        wanted = body.pop("attach", None)
        made = policies.create_policy(
            **body,
            attach=_place(wanted) if wanted else None,
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _policy(self, public_id(selectors.POLICY, made.policy_id), status=201)


class PolicyView(OrgView):
    required = {"GET": "policies.view", "PUT": "policies.edit", "DELETE": "policies.activate"}

    @extend_schema(
        operation_id="policies_get",
        tags=["policies"],
        responses=s.PolicyRead,
        examples=examples.POLICY,
    )
    def get(self, request: Request, policy: str) -> Response:
        return _policy(self, policy)

    @extend_schema(
        operation_id="policies_revise",
        tags=["policies"],
        request=s.PolicyChange,
        responses=s.PolicyRead,
        examples=examples.POLICY_REVISE,
    )
    def put(self, request: Request, policy: str) -> Response:
        """Write the next version; the active one goes on deciding until this is activated."""
        policies.revise_policy(
            policy_id=selectors.get_policy(policy).id,
            says=self.read(s.PolicyChange),
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _policy(self, policy)

    @extend_schema(
        operation_id="policies_retire",
        tags=["policies"],
        responses={204: None, 202: s.AskedRead},
        examples=examples.RETIRE,
    )
    def delete(self, request: Request, policy: str) -> Response:
        """Retire it for good: it decides nothing from now on, and its record stays. Where the
        organization wants two people for that, the answer is 202 with the approval that it waits
        for.
        """
        approval = policies.retire_policy(
            policy_id=selectors.get_policy(policy).id,
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _asked(policy, approval) if approval else self.nothing()


class VersionsView(OrgView):
    required = {"GET": "policies.view"}
    list_keyset = BY_VERSION
    list_heavy = ("rego_text", "tests")

    @extend_schema(
        operation_id="policies_versions",
        tags=["policies"],
        responses=page_of(s.VersionRead),
        examples=examples.VERSIONS,
    )
    def get(self, request: Request, policy: str) -> Response:
        """What the policy said, version by version."""
        rows = selectors.list_versions(selectors.get_policy(policy).id)
        return self.answer_page(s.VersionRead, rows, keyset=BY_VERSION)


class CheckTestsView(OrgView):
    required = {"POST": "policies.edit"}

    @extend_schema(
        operation_id="policies_check_tests",
        tags=["policies"],
        request=None,
        responses={200: s.TestsRead},
        examples=examples.TESTS,
    )
    def post(self, request: Request, policy: str) -> Response:
        """Run the tests of the version that is on its way; if all pass, it is tested."""
        found = selectors.get_policy(policy)
        outcomes = activating.check_tests(
            policy_id=found.id, actor=self.by.actor, at=timezone.now()
        )
        status = selectors.get_policy(policy).newest.status
        tests = [outcome_as_json(outcome) for outcome in outcomes]
        return self.answer(s.TestsRead, {"status": status, "tests": tests})


class ActivateView(OrgView):
    required = {"POST": "policies.activate"}

    @extend_schema(
        operation_id="policies_activate",
        tags=["policies"],
        request=s.ActivateWrite,
        responses={
            200: s.AskedRead,
            202: s.AskedRead,
            **problems("/v1/policies/{policy}/activate", examples.OVERTAKEN),
        },
        examples=examples.ACTIVATED,
    )
    def post(self, request: Request, policy: str) -> Response:
        """Have its newest version decide from now on. Its tests run first. Where the organization
        wants two people for that, the answer is 202 with the approval that it waits for.
        """
        found = selectors.get_policy(policy)
        done = activating.activate_policy(
            policy_id=found.id,
            read_version=self.read(s.ActivateWrite).get("version"),
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _asked(policy, done.approval)


class ShadowView(OrgView):
    required = {"POST": "policies.activate", "DELETE": "policies.activate"}

    @extend_schema(
        operation_id="policies_shadow",
        tags=["policies"],
        request=None,
        responses={200: s.PolicyRead},
    )
    def post(self, request: Request, policy: str) -> Response:
        """Evaluate its draft beside what decides, and record where it would decide otherwise."""
        return self._set(policy, on=True)

    @extend_schema(
        operation_id="policies_unshadow", tags=["policies"], responses={200: s.PolicyRead}
    )
    def delete(self, request: Request, policy: str) -> Response:
        """Evaluate its draft no longer; what was recorded stays."""
        return self._set(policy, on=False)

    def _set(self, policy: str, *, on: bool) -> Response:
        found = selectors.get_policy(policy)
        activating.shadow_policy(policy_id=found.id, on=on, actor=self.by.actor, at=timezone.now())
        return _policy(self, policy)


class AttachmentsView(OrgView):
    required = {"POST": "policies.activate"}

    @extend_schema(
        operation_id="policies_attach",
        tags=["policies"],
        request=s.AttachmentWrite,
        responses={201: s.AttachmentRead, 202: s.AskedRead},
        examples=examples.ATTACH,
    )
    def post(self, request: Request, policy: str) -> Response:
        """Have it count for every call within a place. Where a version of it decides and the
        organization wants two people for that, the answer is 202 with the approval that it waits
        for.
        """
        found = selectors.get_policy(policy)
        done = attaching.attach_policy(
            policy_id=found.id,
            place=_place(self.read(s.AttachmentWrite), root=""),
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        if done.attachment is None:
            return _asked(policy, done.approval)
        ref = public_id(selectors.ATTACHMENT, done.attachment.id)
        row = selectors.get_attachment(found.id, ref)
        return self.answer(s.AttachmentRead, row, status=201)


class AttachmentView(OrgView):
    required = {"DELETE": "policies.activate"}

    @extend_schema(
        operation_id="policies_detach",
        tags=["policies"],
        responses={204: None, 202: s.AskedRead},
        examples=examples.DETACH,
    )
    def delete(self, request: Request, policy: str, attachment: str) -> Response:
        """Have it no longer count there. Where a version of it decides and the organization wants
        two people for that, the answer is 202 with the approval that it waits for.
        """
        found = selectors.get_policy(policy)
        approval = attaching.detach_policy(
            policy_id=found.id,
            attachment_id=selectors.get_attachment(found.id, attachment).id,
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        return _asked(policy, approval) if approval else self.nothing()


class TryView(OrgView):
    required = {"POST": "policies.edit"}

    @extend_schema(
        operation_id="policies_test",
        tags=["policies"],
        request=s.TryWrite,
        responses={200: s.TryRead},
        examples=examples.TRY,
    )
    def post(self, request: Request) -> Response:
        """What a text says of a call, without keeping anything."""
        body = self.read(s.TryWrite)
        if flaw := find_flaw(body["input"], root="input"):
            raise Invalid("The input can't be held as JSON.", errors=[flaw])
        tried = trying.try_text(
            rego_text=body["rego_text"], document=body["input"], tests=body.get("tests", "")
        )
        return self.answer(s.TryRead, tried.as_json())


class BacktestsView(OrgView):
    required = {"POST": "policies.edit"}

    @extend_schema(
        operation_id="policies_backtest",
        tags=["policies"],
        request=s.BacktestWrite,
        responses={200: s.BacktestRead, 202: s.BacktestRead},
        examples=examples.BACKTEST,
    )
    def post(self, request: Request) -> Response:
        """What a text would have decided about the calls of so many days; it takes `data.read`
        too, for the text reads what they held. One that takes long, or was asked for with an
        Idempotency-Key, is answered with 202 as far as it has come; ask for it again.
        """
        if not reading.may_read(self.by):
            raise needed(reading.READ)
        body = self.read(s.BacktestWrite)
        policy = body.pop("policy", None)
        found = self.named("policy", lambda: selectors.get_policy(policy)) if policy else None
        made = backtesting.start_backtest(
            **body,
            policy_id=found.id if found else None,
            by_member_id=self.by.member_id,
            at=timezone.now(),
            seconds=0 if key_of(request) else backtesting.AT_ONCE,
        )
        is_done = made.status == Backtest.Status.DONE
        return self.answer(s.BacktestRead, made, status=200 if is_done else 202)


class BacktestView(OrgView):
    required = {"GET": "policies.view"}

    @extend_schema(
        operation_id="policies_backtest_get", tags=["policies"], responses=s.BacktestRead
    )
    def get(self, request: Request, backtest: str) -> Response:
        return self.answer(s.BacktestRead, backtesting.get_backtest(backtest))


class SettingsView(OrgView):
    required = {"GET": "policies.view", "PATCH": "policies.activate"}

    @extend_schema(
        operation_id="policies_settings",
        tags=["policies"],
        responses=s.SettingsRead,
        examples=examples.SETTINGS,
    )
    def get(self, request: Request) -> Response:
        return self.answer(s.SettingsRead, selectors.get_head())

    @extend_schema(
        operation_id="policies_change_settings",
        tags=["policies"],
        request=s.SettingsChange,
        responses={200: s.SettingsAnswer, 202: s.SettingsAnswer},
        examples=examples.SETTINGS_CHANGE,
    )
    def patch(self, request: Request) -> Response:
        """Change what holds for all policies. Where two people are wanted for what decides, the
        default answer and that setting itself wait for the second, and the answer is 202 with the
        approval; the rest is changed at once.
        """
        done = services.change_settings(
            fields=self.read(s.SettingsChange),
            by_member_id=self.by.member_id,
            actor=self.by.actor,
            at=timezone.now(),
        )
        approval = public_id(APPROVAL, done.approval.id) if done.approval else None
        answer = {**s.SettingsRead(done.head).data, "approval_id": approval}
        return Response(answer, status=202 if approval else 200)


def _policy(view: OrgView, ref: str, *, status: int = 200) -> Response:
    return view.answer(s.PolicyRead, selectors.get_policy(ref), status=status)


def _asked(ref: str, approval: Approval | None) -> Response:
    """A policy as it is now, and the approval that what was asked for waits for, if any."""
    approval_id = public_id(APPROVAL, approval.id) if approval else None
    whole = s.PolicyRead(selectors.get_policy(ref)).data
    return Response({**whole, "approval_id": approval_id}, status=202 if approval else 200)


def _place(wanted: dict[str, Any], root: str = "attach.") -> places.Place:
    """Where a body says; what is wrong with it is told by the body's own names."""
    try:
        return places.find_place(wanted["scope"], wanted.get("id", ""))
    except Invalid as error:
        field = error.extra["errors"][0]["field"].removeprefix("attach.")
        raise Invalid.of(f"{root}{field}", error.detail) from error
