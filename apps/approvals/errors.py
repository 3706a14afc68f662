"""What approvals refuse, and why."""

from __future__ import annotations

from apps.common.errors import Conflict


class ApprovalMisuse(RuntimeError):
    """A programming error in a caller, never the fault of a request."""


class ApprovalRefused(Conflict):
    """The approval doesn't let happen what is asked of it; nothing was changed."""

    code = "approval_refused"
    title = "The approval does not cover this"


class PayloadChanged(ApprovalRefused):
    """What is to happen isn't, to the byte, what was approved."""

    code = "approval_payload_changed"
    title = "What would happen is not what was approved"


class PolicyChanged(ApprovalRefused):
    """The org's policies are others now than when it was asked for."""

    code = "approval_policy_changed"
    title = "The policies have changed since this was asked for"


class ManifestChanged(ApprovalRefused):
    """The agent offers something else now than when it was asked for."""

    code = "approval_manifest_changed"
    title = "The agent has changed since this was asked for"


class ApprovalExpired(ApprovalRefused):
    """Its time is over, and silence means no."""

    code = "approval_expired"
    title = "The approval has expired"


class ApprovalUsed(ApprovalRefused):
    """It was for one time, and that was it."""

    code = "approval_used"
    title = "The approval was used already"


class NotApproved(ApprovalRefused):
    """Nobody has approved it, or somebody has rejected it."""

    code = "approval_not_approved"
    title = "This is not approved"


class ApprovalClosed(ApprovalRefused):
    """It has been decided or cancelled, so there is nothing left to say to it."""

    code = "approval_closed"
    title = "This request is decided already"


class OwnRequest(ApprovalRefused):
    """Whoever is behind a request can't be the one who decides it."""

    code = "approval_own_request"
    title = "You cannot decide what you asked for"


class AlreadyVoted(ApprovalRefused):
    """A member has one vote."""

    code = "approval_already_voted"
    title = "You have voted already"


class RuleExists(Conflict):
    """There is a rule for exactly this."""

    code = "approval_rule_exists"
    title = "There is a rule for this already"
