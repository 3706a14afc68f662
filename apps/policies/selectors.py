"""Reads of policies and what they are attached to. All of them need both keys held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast
from uuid import UUID

from django.db.models import F, Prefetch, Q, QuerySet

from apps.approvals.models import Approval, Clock
from apps.common.errors import NotFound
from apps.common.ids import parse_id, public_id
from apps.orgs.selectors import list_members_who_may
from apps.policies.bundles import POLICY as POLICY
from apps.policies.bundles import Bundle, Entry, Where, obligations_of_json
from apps.policies.engine.types import Obligations, Text
from apps.policies.models import (
    Attachment,
    Decision,
    OrgPolicy,
    Policy,
    PolicyHead,
    PolicyStatus,
)
from apps.policies.places import Place

VERSION, ATTACHMENT = "plv", "pla"
ACTIVATION, ATTACHING = "policy.activation", "policy.attachment"
RETIREMENT, SETTINGS = "policy.retirement", "policy.settings"
"""What approvals call what waits for a second person: of a version, a policy's places, a policy,
and what the org says of all.
"""
RETIRED, EVERY = "retired", "all"
NAMES: Final = 200
_UNSEEDED: Final = PolicyHead(bundle=0, default_answer="allow")
_LIVE: Final = ("draft", "tested", "active")


def get_head() -> PolicyHead:
    """Where the org's policies stand; an org that was never seeded has none and allows."""
    return PolicyHead.objects.first() or _UNSEEDED


def is_any_in_force() -> bool:
    """Whether any policy decides about any call: one that is active and attached somewhere."""
    rows = Attachment.objects.filter(policy__retired_at=None)
    return rows.filter(policy__versions__status=PolicyStatus.ACTIVE).exists()


def get_bundle() -> Bundle:
    """All that counts in the org now.

    The number is read first: what is read after it may be newer, and never older, so whoever
    decides by a mixture finds its number outdated.
    """
    head = get_head()
    texts: dict[UUID, dict[bool, Text]] = defaultdict(dict)
    live = Q(status=PolicyStatus.ACTIVE) | Q(shadow_since__isnull=False)
    for version in OrgPolicy.objects.filter(live, policy__retired_at=None):
        texts[version.policy_id][version.status == PolicyStatus.ACTIVE] = text_of(version)
    attached: dict[UUID, set[Where]] = defaultdict(set)
    for row in Attachment.objects.filter(policy__in=texts):
        attached[row.policy_id].add((row.scope, row.project_id or row.agent_id, row.tool))
    return Bundle(
        number=head.bundle,
        default_answer=cast('Literal["allow", "deny"]', head.default_answer),
        entries=tuple(
            Entry(policy_id, found.get(True), found.get(False), frozenset(attached[policy_id]))
            for policy_id, found in sorted(texts.items())
            if policy_id in attached
        ),
    )


def text_of(version: OrgPolicy) -> Text:
    """A version as it is evaluated."""
    return Text(
        id=public_id(VERSION, version.id),
        name=version.name,
        version=version.version,
        rego=version.rego_text,
        digest=version.digest,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy as it is now: its newest version, the one in force, the one on its way there, and
    where it counts.
    """

    policy: Policy
    newest: OrgPolicy
    active: OrgPolicy | None
    waiting: OrgPolicy | None
    attachments: Sequence[Attachment]

    @property
    def id(self) -> UUID:
        return self.policy.id

    @property
    def active_label(self) -> str:
        return f"v{self.active.version} active" if self.active else ""

    @property
    def waiting_label(self) -> str:
        waiting = self.waiting
        return f"v{waiting.version} {waiting.get_status_display().lower()}" if waiting else ""

    @property
    def is_retired(self) -> bool:
        return self.policy.retired_at is not None


def list_policies(*, q: str = "", status: str = "") -> QuerySet[Policy]:
    """Policies whose name says `q`, with what `standing_of` needs but for the texts; retired ones
    only if `status` is that or `all`, of another status those that have such a version.
    """
    rows = _whole(without=("rego_text", "tests"))
    if status in _LIVE:
        rows = rows.filter(versions__status=status)
    if status != EVERY:
        rows = rows.filter(retired_at__isnull=status != RETIRED)
    return rows.filter(name__icontains=q) if q else rows


def get_policy(ref: str) -> Standing:
    """A policy by its public id; raises NotFound."""
    found = _whole().filter(id=parse_id(POLICY, ref)).first()
    if found is None:
        raise NotFound("There is no such policy.")
    return standing_of(found)


def standing_of(policy: Policy) -> Standing:
    """What a policy is now; nothing is asked of the database for one that a list has read."""
    rows = list(policy.versions.all())
    by_status = {str(row.status): row for row in rows}
    return Standing(
        policy=policy,
        newest=next(row for row in rows if row.version == policy.version),
        active=by_status.get(PolicyStatus.ACTIVE),
        waiting=by_status.get(PolicyStatus.TESTED) or by_status.get(PolicyStatus.DRAFT),
        attachments=list(policy.attachments.all()),
    )


def list_versions(policy_id: UUID) -> QuerySet[OrgPolicy]:
    """Every version of a policy, the newest first."""
    rows = OrgPolicy.objects.filter(policy_id=policy_id).select_related(
        "created_by", "activated_by"
    )
    return rows.order_by("-version")


def get_version(policy_id: UUID, number: int) -> OrgPolicy:
    """One version of a policy; raises NotFound."""
    found = list_versions(policy_id).filter(version=number).first()
    if found is None:
        raise NotFound("The policy has no such version.")
    return found


def list_attachments(policy_id: UUID) -> QuerySet[Attachment]:
    """Where a policy is attached, with the names of what it is attached to."""
    rows = Attachment.objects.filter(policy_id=policy_id).select_related("project", "agent")
    return rows.order_by("created_at", "id")


def get_attachment(policy_id: UUID, ref: str) -> Attachment:
    """One attachment of a policy by its public id; raises NotFound."""
    found = list_attachments(policy_id).filter(id=parse_id(ATTACHMENT, ref)).first()
    if found is None:
        raise NotFound("It is not attached there.")
    return found


def name_of(attachment: Attachment) -> str:
    """What an attachment names, as `find_place` takes it: "" for the org."""
    if attachment.project is not None:
        return attachment.project.slug
    agent = attachment.agent.slug if attachment.agent is not None else ""
    return f"{agent}/{attachment.tool}" if attachment.tool else agent


def place_of(attachment: Attachment) -> Place:
    """Where an attachment is, as `find_place` would find it."""
    return Place(
        scope=attachment.scope,
        name=name_of(attachment),
        project_id=attachment.project_id,
        agent_id=attachment.agent_id,
        tool=attachment.tool,
    )


def label_of(attachment: Attachment) -> str:
    """An attachment in words."""
    return place_of(attachment).label


def find_open_request(
    subject_type: str, subject_id: UUID, payload_digest: bytes
) -> Approval | None:
    """The request for a second person that asks for exactly this, can still be approved, and is of
    somebody who may still make the change: approving any other does nothing.
    """
    rows = _open_requests().filter(subject_type=subject_type, subject_id=subject_id)
    may = list_members_who_may("policies.activate")
    return rows.filter(payload_digest=payload_digest, human_id__in=may.values("id")).first()


def list_requests_about(row_id: UUID) -> Sequence[Approval]:
    """Everything about a policy, or about the settings of all by the head's id, that waits for a
    second person, in the order it was asked.
    """
    versions = OrgPolicy.objects.filter(policy_id=row_id).values("id")
    of_version = Q(subject_type=ACTIVATION, subject_id__in=versions)
    of_row = Q(subject_type__in=[ATTACHING, RETIREMENT, SETTINGS], subject_id=row_id)
    return list(_open_requests().filter(of_version | of_row).order_by("created_at", "id"))


def get_obligations(decision_id: UUID) -> Obligations:
    """What a decision obliges to; raises NotFound."""
    kept = Decision.objects.filter(id=decision_id).values_list("obligations", flat=True).first()
    if kept is None:
        raise NotFound("There is no such decision.")
    return obligations_of_json(kept)


def _open_requests() -> QuerySet[Approval]:
    return Approval.objects.filter(status__in=Approval.OPEN, expires_at__gt=Clock())


def _whole(*, without: Sequence[str] = ()) -> QuerySet[Policy]:
    """Policies with all that a view of them needs, but for those fields of their versions: three
    queries, however many there are.
    """
    wanted = Q(status__in=_LIVE) | Q(version=F("policy__version"))
    versions = OrgPolicy.objects.select_related("created_by", "activated_by").filter(wanted)
    versions = versions.defer(*without)
    attachments = Attachment.objects.select_related("project", "agent").order_by("created_at", "id")
    return Policy.objects.prefetch_related(
        Prefetch("versions", versions), Prefetch("attachments", attachments)
    )


def list_names() -> list[tuple[UUID, str]]:
    """Ids and names of policies, also of retired ones, as many as a filter can offer."""
    rows = Policy.objects.order_by("name", "id")
    return list(rows.values_list("id", "name")[:NAMES])
