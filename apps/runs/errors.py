"""Why an invocation is refused, and what a client can do about it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apps.common.errors import Conflict, PermissionDenied, Unavailable
from apps.common.ids import public_id

RUN: Final = "run"
VIEW: Final = "viw"

# reason → a sentence that says what is the matter and who can change it
REASONS: Final = {
    "agent_draft": "The agent is a draft. Activate it first.",
    "agent_suspended": "The agent is suspended. Whoever may edit agents can activate it again.",
    "agent_retired": "The agent is retired.",
    "no_grant": "There is no grant for this call. An admin can give one at the called agent.",
    "caller_stopped": "The calling agent is not active any more.",
    "cycle": "The call would come back to an agent that is already at work in it.",
    "too_deep": "The call passes through too many agents.",
    "auth_agent": "This tool is only for other agents that hold a grant.",
    "auth_person": "This tool is only for people and their keys, not for agents.",
    "no_approval": "A person must agree to this call first, and nobody can be asked yet.",
    "no_budget": "The call counts against a budget that isn't there.",
    "no_price": "The tool has no price, and a call that may cost anything is refused.",
}


class RunDenied(PermissionDenied):
    """The invocation was refused; a run with status `denied` has it on record."""

    code = "run_denied"
    title = "The invocation was refused"

    def __init__(self, *, reason: str, run_id: UUID) -> None:
        detail = REASONS.get(reason, reason)
        super().__init__(detail, reason=reason, run=public_id(RUN, run_id))


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
