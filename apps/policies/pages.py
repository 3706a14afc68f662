"""What the pages of policies have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpRequest

from apps.approvals.models import Approval
from apps.approvals.selectors import APPROVAL, VIEW
from apps.common.formats import dollars_of_micros
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.links import link
from apps.orgs.pages import principal_of
from apps.policies import reading, selectors
from apps.policies.models import Decision, OrgPolicy
from apps.policies.selectors import POLICY, Standing
from apps.policies.services.backtesting import said_then

RESULT_WORDS: Final = {
    "allow": ("ok", "Allowed", "circle-check"),
    "deny": ("bad", "Denied", "ban"),
    "require_approval": ("warn", "Approval required", "hourglass"),
    "unavailable": ("bad", "Unavailable", "circle-alert"),
}


def words_of(obligations: Object) -> str:
    """What a decision obliges to, for people."""
    words = [f"hide {path}" for path in obligations.get("mask", ())]
    if (cap := obligations.get("cap_cost_micros")) is not None:
        words.append(f"cost at most {dollars_of_micros(cap)}")
    rates = obligations.get("rates", ())
    words += [f"{rate['requests']} calls in {rate['seconds']} s" for rate in rates]
    return "; ".join(words) or "nothing"


def ref_of(standing: Standing) -> str:
    return public_id(POLICY, standing.id)


def crumbs(request: HttpRequest, *rest: tuple[str, str | None]) -> list[tuple[str, str | None]]:
    """The way to a page below the list of policies."""
    return [("Policies", link(request, "policies:policies")), *rest]


def policy_page(request: HttpRequest, standing: Standing, page: str, **more: Any) -> dict[str, Any]:
    """The context of a page of one policy: its head, its tabs, and what this member may do."""
    may, ref = principal_of(request).may, ref_of(standing)
    own = link(request, "policies:policy", ref)
    tabs = [("policies:policy", "Overview"), ("policies:backtest", "Backtest")]
    if may("policies.edit") and not standing.is_retired:
        tabs.insert(1, ("policies:edit", "Edit"))
    last = {"policies:edit": "Edit", "policies:backtest": "Backtest", "policies:diff": "Compare"}
    tail: list[tuple[str, str | None]] = [(standing.newest.name, own if page in last else None)]
    return {
        "crumbs": crumbs(request, *tail, *([(last[page], None)] if page in last else [])),
        "policy": standing,
        "policy_ref": ref,
        "policy_url": own,
        "name": standing.newest.name,
        "tabs": [
            {"label": label, "url": link(request, name, ref), "current": name == page}
            for name, label in tabs
        ],
        "can_edit": may("policies.edit") and not standing.is_retired,
        "can_activate": may("policies.activate") and not standing.is_retired,
        **more,
    }


def version_row(request: HttpRequest, version: OrgPolicy, ref: str) -> dict[str, Any]:
    """A version in the list of all of them, with the address of what it changed."""
    before = version.version - 1
    numbers = f"{before}..{version.version}"
    return {
        "version": version.version,
        "status": version.status,
        "is_shadow": version.shadow_since is not None,
        "created_at": version.created_at,
        "created_by": version.created_by.label if version.created_by else "Mandate",
        "activated_at": version.activated_at,
        "diff_url": link(request, "policies:diff", ref, numbers) if before else None,
    }


def decision_row(request: HttpRequest, decision: Decision) -> dict[str, Any]:
    """A decision in a list, from what `list_decisions` read."""
    tone, word, icon = RESULT_WORDS[decision.result]
    ref = public_id("dec", decision.id)
    return {
        "id": ref,
        "url": link(request, "policies:decision", ref),
        "tone": tone,
        "word": word,
        "icon": icon,
        "agent": decision.agent,  # type: ignore[attr-defined]
        "tool": decision.tool,
        "action": decision.action,
        "caller": decision.caller_label,
        "reasons": decision.reasons,
        "names": [f"{said['name']} v{said['version']}" for said in decision.policies],
        "is_shadowed": decision.shadows is not None,
        "at": decision.at,
    }


def shadow_row(request: HttpRequest, decision: Decision, ref: str) -> dict[str, Any]:
    """A decision that a policy's draft would have made otherwise, with what it would have been."""
    row = decision_row(request, decision)
    shadows = reading.told(principal_of(request), decision.shadows or ())
    draft = next(said for said in shadows if said["policy"] == ref)
    tone, word, icon = RESULT_WORDS[draft["would_be"]]
    if draft["would_be"] == said_then(decision).result:
        word = "other obligations"
    return {
        **row,
        "draft": (tone, f"Draft: {word.lower()}", icon),
        "reasons": draft["would_reasons"],
    }


def attachment_rows(standing: Standing, asked: Sequence[Approval]) -> list[dict[str, Any]]:
    """Where a policy is attached, in words, and whether somebody has asked to detach it there."""
    leaving = {one.payload.get("attachment") for one in asked}
    refs = [public_id(selectors.ATTACHMENT, row.id) for row in standing.attachments]
    return [
        {
            "id": ref,
            "label": selectors.label_of(row),
            "since": row.created_at,
            "is_leaving": ref in leaving,
        }
        for ref, row in zip(refs, standing.attachments, strict=True)
    ]


def awaited_rows(request: HttpRequest, asked: Sequence[Approval]) -> list[dict[str, Any]]:
    """What waits for a second person, with its page for who may see approvals."""
    may_look = principal_of(request).may(VIEW)
    return [
        {
            "title": one.title,
            "url": link(request, "approvals:approval", public_id(APPROVAL, one.id))
            if may_look
            else "",
        }
        for one in asked
    ]
