"""Requests as rows and facts of pages, with the addresses that lead on from them."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest

from apps.approvals import registry
from apps.approvals.models import Approval, ApprovalRule, ApprovalStatus, Verdict
from apps.approvals.selectors import APPROVAL, RULE, title_for
from apps.common.ids import public_id
from apps.common.links import carried, link
from apps.orgs.pages import principal_of
from apps.orgs.selectors import AGENT

# What a state is called by its look (apps.common.templatetags.ui), and by its word.
LOOKS: Final = {
    ApprovalStatus.PENDING: ("awaiting_approval", "Waits"),
    ApprovalStatus.APPROVED: ("active", "Approved"),
    ApprovalStatus.CONSUMED: ("succeeded", "Approved and used"),
    ApprovalStatus.REJECTED: ("denied", "Rejected"),
    ApprovalStatus.EXPIRED: ("timed_out", "Expired"),
    ApprovalStatus.CANCELLED: ("cancelled", "Taken back"),
}


def approval_url(request: HttpRequest, approval: Approval) -> str:
    return link(request, "approvals:approval", public_id(APPROVAL, approval.id))


def row_of(request: HttpRequest, approval: Approval) -> dict[str, Any]:
    """A request as a list shows it."""
    look, word = LOOKS[ApprovalStatus(approval.status)]
    subject = registry.find_subject(approval.subject_type)
    return {
        "id": public_id(APPROVAL, approval.id),
        "url": approval_url(request, approval),
        "title": title_for(approval, principal_of(request)),
        "kind": subject.label if subject else approval.subject_type,
        "look": look,
        "word": word,
        "is_pending": approval.is_pending,
        "is_open": str(approval.status) in Approval.OPEN,
        "requester": approval.requester_label,
        "reasons": approval.reasons,
        "given": sum(vote.verdict == Verdict.APPROVE for vote in approval.votes.all()),
        "quorum": approval.quorum,
        "approver": approval.approver.label if approval.approver else "",
        "is_glass": bool(approval.glass_reason),
        "created_at": approval.created_at,
        "expires_at": approval.expires_at,
        "decided_at": approval.decided_at,
    }


def facts_of(request: HttpRequest, approval: Approval) -> dict[str, Any]:
    """One request, as its page shows it."""
    subject = registry.find_subject(approval.subject_type)
    agent, project = approval.agent, approval.project
    return {
        **row_of(request, approval),
        "subject_id": subject.public_id(approval.subject_id) if subject else "",
        "subject_url": carried(request, subject.url_of(approval.subject_id)) if subject else "",
        "payload": _sorted(approval.payload),
        "digest": approval.digest,
        "evidence": approval.evidence,
        "policy_version": approval.policy_version,
        "manifest_digest": approval.manifest_digest,
        "agent": agent.slug if agent else "",
        "agent_url": link(request, "agents:agent", public_id(AGENT, agent.id)) if agent else "",
        "tool": approval.tool,
        "project": project.slug if project else "",
        "project_url": link(request, "orgs:project", project.slug) if project else "",
        "role": approval.role.name if approval.role else "",
        "glass_reason": approval.glass_reason,
        "ended_at": approval.ended_at,
        "votes": [
            {
                "member": vote.member.label,
                "is_for": vote.verdict == Verdict.APPROVE,
                "comment": vote.comment,
                "at": vote.at,
            }
            for vote in approval.votes.all()
        ],
    }


def _sorted(value: Any) -> Any:
    """As the digest reads it, member after member by name; the database keeps no order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def scope_of(rule: ApprovalRule) -> str:
    """What a rule is for, in words."""
    if rule.agent is not None:
        slug = rule.agent.slug
        return f"{rule.tool} of {slug}" if rule.tool else f"Whatever {slug} does"
    return f"Whatever happens in {rule.project.slug}" if rule.project else "Anything"


def kind_of(rule: ApprovalRule) -> str:
    subject = registry.find_subject(rule.subject_type)
    return subject.label if subject else rule.subject_type or "Of any kind"


def rule_ref(rule: ApprovalRule) -> str:
    return public_id(RULE, rule.id)
