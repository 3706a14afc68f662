"""One request: what exactly will happen, why it was asked, who said what."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.approvals import selectors
from apps.approvals.forms import CommentForm, GlassForm, words_of_wait
from apps.approvals.models import Approval
from apps.approvals.presenting import facts_of, scope_of
from apps.approvals.selectors import is_own, may_read
from apps.common.htmx import render_page_or_partial
from apps.common.ids import public_id
from apps.common.links import link
from apps.orgs.pages import command, needs, principal_of
from apps.orgs.principals import Principal
from apps.trust.models import AuditEvent
from apps.trust.selectors import list_events

TEMPLATE: Final = "approvals/detail.html"
TRAIL: Final = 50
GLASS_ID: Final = "glass_%s"
ACTS: Final = {
    "approvals.request.made": "asked",
    "approvals.vote.cast": "approved, as one of several",
    "approvals.request.approved": "approved",
    "approvals.request.rejected": "rejected",
    "approvals.request.used": "used the approval",
    "approvals.request.cancelled": "took the request back",
    "approvals.request.expired": "let it expire",
    "approvals.glass.broken": "broke the glass",
}
"""How an audit event reads after the name of who acted."""


@require_safe
@never_cache
@needs(selectors.VIEW)
def index(request: HttpRequest, ref: str) -> HttpResponse:
    """A request as it stands now."""
    context = page_of(request, selectors.get_approval(ref))
    return render_page_or_partial(request, TEMPLATE, "live", context)


def page_of(
    request: HttpRequest,
    approval: Approval,
    *,
    form: CommentForm | None = None,
    glass_form: GlassForm | None = None,
) -> dict[str, Any]:
    """The context of a request's page."""
    by, ref = principal_of(request), public_id(selectors.APPROVAL, approval.id)
    events = list_events(subject=ref)[:TRAIL]
    voters = selectors.list_voter_ids(approval) if approval.is_pending else []
    hindrance, facts = why_not(approval, by), facts_of(request, approval)
    return {
        "crumbs": [("Approvals", link(request, "approvals:approvals")), (facts["title"], None)],
        "approval": facts,
        "rule": _rule(request, approval),
        "trail": [_act(event) for event in events],
        "voters": len(voters),
        "too_few": approval.is_pending and len(voters) < approval.quorum,
        "hindrance": hindrance,
        "form": form or CommentForm(),
        "glass_form": glass_form or GlassForm(auto_id=GLASS_ID),
        "may_read": may_read(approval, by),
        "can_break": by.may(selectors.BREAK_GLASS) and not _is_barred(approval, by),
        "can_cancel": is_own(approval, by),
        "command": command(request, f"/v1/approvals/{ref}"),
    }


def why_not(approval: Approval, by: Principal) -> str:
    """Why this principal can't vote on it now, as a sentence; "" if they can."""
    if not approval.is_pending:
        return ""
    if _is_barred(approval, by):
        return "You are behind this request, so somebody else has to decide it."
    if any(vote.member_id == by.member_id for vote in approval.votes.all()):
        return "You have voted. The others have to say theirs."
    if not by.may(selectors.DECIDE):
        return f"This needs the permission {selectors.DECIDE}."
    if approval.role is not None and approval.role.slug != by.role:
        return f"Its rule asks members with the role {approval.role.name}."
    return ""


def _is_barred(approval: Approval, by: Principal) -> bool:
    return by.member_id in approval.barred


def _rule(request: HttpRequest, approval: Approval) -> dict[str, Any]:
    """Who had to decide, by which rule; as it was when it was asked."""
    rule = approval.rule
    life = int((approval.expires_at - approval.created_at).total_seconds()) // 60
    return {
        "scope": scope_of(rule) if rule else "",
        "url": link(request, "approvals:rules"),
        "waits": words_of_wait(max(life, 1)),
    }


def _act(event: AuditEvent) -> dict[str, Any]:
    said = event.detail.get("comment") or event.detail.get("reason") or ""
    return {
        "seq": event.seq,
        "at": event.at,
        "who": event.actor_label,
        "act": ACTS.get(event.action, event.action),
        "said": said,
    }
