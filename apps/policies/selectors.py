"""Reads of policies, what they are attached to, and decisions. All of them need both keys held."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, Literal, cast
from uuid import UUID

from django.db.models import Q

from apps.common.errors import NotFound
from apps.common.ids import public_id
from apps.policies.bundles import POLICY as POLICY
from apps.policies.bundles import Bundle, Entry, Where, obligations_of_json
from apps.policies.engine.types import Obligations, Text
from apps.policies.models import Attachment, Decision, OrgPolicy, PolicyHead, PolicyStatus

VERSION, DECISION = "plv", "dec"
_UNSEEDED: Final = PolicyHead(bundle=0, default_answer="allow")


def get_head() -> PolicyHead:
    """Where the org's policies stand; an org that was never seeded has none and allows."""
    return PolicyHead.objects.first() or _UNSEEDED


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


def get_obligations(decision_id: UUID) -> Obligations:
    """What a decision obliges to; raises NotFound."""
    kept = Decision.objects.filter(id=decision_id).values_list("obligations", flat=True).first()
    if kept is None:
        raise NotFound("There is no such decision.")
    return obligations_of_json(kept)
