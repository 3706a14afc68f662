"""Why an invocation is refused, and what a client can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apps.common.errors import Conflict, PermissionDenied, RateLimited, Unavailable
from apps.common.ids import public_id

RUN: Final = "run"
VIEW: Final = "viw"
DECISION: Final = "dec"

# reason → a sentence that says what is the matter and who can change it
REASONS: Final = {
    "agent_draft": "The agent is a draft. Activate it first.",
    "agent_suspended": "The agent is suspended. Whoever may edit agents can activate it again.",
    "agent_retired": "The agent is retired.",
    "no_grant": "There is no grant for this call. An admin can give one at the called agent.",
    "caller_stopped": "The calling agent is not active any more.",
    "caller_left": "Who asked for it has left the organization.",
    "caller_barred": "Who asked for it may not have agents do something any more.",
    "key_ended": "The key that asked for it is revoked or has ended.",
    "project_archived": "The project that it counts for is archived.",
    "cycle": "The call would come back to an agent that is already at work in it.",
    "too_deep": "The call passes through too many agents.",
    "too_often": "People were asked too often in this run.",
    "auth_agent": "This tool is only for other agents that hold a grant.",
    "auth_person": "This tool is only for people and their keys, not for agents.",
    "policy": "The organization's policies refuse it.",
    "policy_unavailable": "The policies could not be asked, so nothing may be done.",
    "policy_rate": "The policies allow this caller no more calls of this tool for now.",
    "policy_cost": "It would cost more than the policies allow one call to cost.",
    "approval_rejected": "A person was asked and has said no.",
    "approval_expired": "A person was asked, and nobody has agreed in time.",
    "approval_cancelled": "The question to a person was taken back.",
    "approval_payload_changed": "What would be done is not what a person has agreed to.",
    "approval_policy_changed": "A person has agreed, and the policies have changed since.",
    "approval_manifest_changed": "A person has agreed, and the agent has changed since.",
    "approval_used": "What a person has agreed to was good for one time.",
    "approval_not_approved": "Nobody has agreed to this.",
    "no_budget": "The call counts against a budget that isn't there.",
    "no_price": "The tool has no price, and a call that may cost anything is refused.",
}


def told_of(reason: str, said: Sequence[str] = ()) -> str:
    """A reason as a sentence, with what the policies say themselves."""
    sentence = REASONS.get(reason, reason)
    return f"{sentence} {'; '.join(said)}" if said else sentence


def _on_record(run_id: UUID, decision_id: UUID | None) -> dict[str, str]:
    """Where a refusal can be read: the run, and the decision if policies were asked."""
    decided = {"decision_id": public_id(DECISION, decision_id)} if decision_id else {}
    return {"run": public_id(RUN, run_id), **decided}


class RunDenied(PermissionDenied):
    """The invocation was refused; a run with status `denied` has it on record."""

    code = "run_denied"
    title = "The invocation was refused"

    def __init__(
        self,
        *,
        reason: str,
        run_id: UUID,
        decision_id: UUID | None = None,
        reasons: Sequence[str] = (),
    ) -> None:
        super().__init__(told_of(reason, reasons), reason=reason, **_on_record(run_id, decision_id))


class RunRateLimited(RateLimited):
    """A policy allows so many calls and no more; a run with status `denied` has it on record."""

    code = "run_rate_limited"
    title = "The policies allow no more calls for now"

    def __init__(self, *, run_id: UUID, decision_id: UUID | None, retry_after: int) -> None:
        super().__init__(
            REASONS["policy_rate"],
            retry_after=retry_after,
            reason="policy_rate",
            **_on_record(run_id, decision_id),
        )


class OwnWork(PermissionDenied):
    """Nobody judges their own work: an agent's keys give no feedback on what the agent did."""

    code = "own_work"
    title = "An agent doesn't judge its own work"


class RunClosed(Conflict):
    """The run is over already, so it can't be cancelled."""

    code = "run_closed"
    title = "The run is over"


class AgentBusyChanging(Unavailable):
    """The agent was changed again and again while the call was being admitted."""

    code = "agent_changing"
    title = "The agent is being changed right now"


class ViewNameInUse(Conflict):
    """Another view is called that, of those that the same people see."""

    code = "view_name_in_use"
    title = "The name is taken"


class TooManyViews(Conflict):
    """There are as many views as one list can show."""

    code = "too_many_views"
    title = "There are too many views"
