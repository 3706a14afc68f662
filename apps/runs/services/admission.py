"""Admission: an invocation is found and checked, and let begin or refused in one commit.

What a call has to pass stands in `admit`, in order. What isn't there yet (policies, approvals,
budgets) has its place, and says so truthfully: nothing is attached, none can be given, none counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apps.agents.directory import Listing, Tool, get_listing, may_call, recall_listing
from apps.agents.models import AuthRequirement
from apps.agents.runtimes.base import Session
from apps.common.actors import Actor, ActorType
from apps.common.errors import Invalid, NotFound
from apps.common.ids import uuid7
from apps.common.json import Object, find_flaw
from apps.common.schemas import find_errors
from apps.orgs.selectors import get_project
from apps.runs import spine
from apps.runs.errors import AgentBusyChanging
from apps.runs.models import SESSION, SESSION_RULE, Run
from apps.runs.services.context import Context, call_key
from apps.runs.spine import Admission, Claim, Keyed, Order, Parentage
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid

LOOKS: Final = 4
"""How often an agent that changes between being read and being admitted is read again."""
TITLE_MAX: Final = 80

Lookup = Callable[[str], Listing]
"""Finds an agent by its id or slug; raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a client asks for; no tool means the only one, no project the agent's.

    Runs of one `session_id`, the client's own word, are a conversation.
    """

    agent: str
    tool: str | None = None
    input: Object
    project: str | None = None
    mode: str = Run.Mode.SYNC
    session_id: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An invocation whose parts have been found: who calls what of whom, with what, for whom."""

    run_id: UUID
    listing: Listing
    tool: Tool
    input: Object
    project_id: UUID
    project: str
    mode: str
    caller: Actor
    claim: Claim
    session: Session | None = None
    parent: Parentage | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of a call: nothing against it, a reason against it, or ask a person."""

    refusal: str | None = None
    needs_approval: bool = False


class Ungranted(Exception):
    """An agent asked another for what it holds no grant for, and learns nothing more."""


def admit(find: Callable[[Lookup], Call], *, at: datetime) -> tuple[Call, Admission]:
    """Find a call, ask everything that it has to pass, and put it on record, admitted or not.

    One commit. An agent that was changed since it was read is looked at again.
    """
    for look in range(LOOKS):
        call = _recalled(find) if look == 0 else find(get_listing)
        decision = decide(call)
        refusal = decision.refusal or find_approval(decision)
        scopes = scopes_of(call)
        admission = spine.admit(_order(call, refusal, scopes), at=at)
        if admission.outcome == "no_agent":
            raise NotFound("There is no such agent.")
        if admission.outcome != "stale_manifest":
            return call, admission
    raise AgentBusyChanging("Repeat the request in a moment.")


def _recalled(find: Callable[[Lookup], Call]) -> Call:
    """The call by what is remembered of the agent; if that is in its way, by what the agent is."""
    with suppress(NotFound, Invalid, Ungranted):
        return find(recall_listing)
    return find(get_listing)


def decide(call: Call) -> Decision:
    """What the rules say. No policy is attached to anything yet, so the tool's own word is all:
    whether agents may call it, and whether anybody else may.
    """
    is_agent = call.caller.type == ActorType.AGENT
    if call.tool.auth == AuthRequirement.AGENT and not is_agent:
        return Decision("auth_agent")
    if call.tool.auth == AuthRequirement.PERSON and is_agent:
        return Decision("auth_person")
    return Decision()


def find_approval(decision: Decision) -> str | None:
    """The reason against a call that a person has to agree to. No rule asks for that yet, and
    nobody could be asked: a call that needed it would be refused.
    """
    return "no_approval" if decision.needs_approval else None


def scopes_of(call: Call) -> Sequence[UUID]:
    """The budgets that a call counts against: none, for there are none yet."""
    return ()


def find_call(ask: Ask, caller: Actor, *, lookup: Lookup = get_listing) -> Call:
    """Find what a client asks for; raises NotFound and Invalid, naming each field."""
    listing = lookup(ask.agent)
    tool = listing.frozen.choose(ask.tool)
    check_input(tool, ask.input)
    project_id, project = _project_of(ask, listing)
    return Call(
        run_id=uuid7(),
        listing=listing,
        tool=tool,
        input=ask.input,
        project_id=project_id,
        project=project,
        mode=ask.mode,
        caller=caller,
        claim=_claim_of(ask, caller),
        session=_session_of(ask, caller),
    )


def find_child_call(
    *,
    parent: Parentage,
    context: Context,
    agent: str,
    tool: str,
    input: Object,
    lookup: Lookup,
) -> Call:
    """Find what an agent asks of another; raises NotFound, Invalid, and Ungranted before it.

    Whether there is a grant is admission's to say. It is asked here only where the answer would
    tell what the other agent offers; so a call that is in order costs nothing more. Its project is
    the parent's, by the database.
    """
    check_kept(input)
    listing = lookup(agent)
    try:
        found = listing.frozen.choose(tool)
        check_input(found, input)
    except Invalid:
        if not may_call(caller_id=context.agent_id, callee_id=listing.id, tool=tool):
            raise Ungranted from None
        raise
    key = call_key(parent.ordinal, f"{agent}.{tool}", input)
    principal = f"run:{parent.hold.run_id.hex}"
    return Call(
        run_id=uuid7(),
        listing=listing,
        tool=found,
        input=input,
        project_id=listing.project_id,
        project=listing.project,
        mode=Run.Mode.SYNC,
        caller=context.agent,
        claim=Claim(principal, key, fingerprint_of([agent, tool, input])),
        session=context.session,
        parent=parent,
    )


def find_keyed(ask: Ask, caller: Actor) -> Keyed | None:
    """What the request's key stands for already, whatever has become of the agent since."""
    return spine.find_keyed(_claim_of(ask, caller)) if ask.key else None


def check_kept(input: Object) -> None:
    """Raise Invalid for an input that couldn't be kept exactly, naming the field."""
    if flaw := find_flaw(input, root="input"):
        raise Invalid("The input can't be held as JSON.", errors=[flaw])


def check_input(tool: Tool, input: Object) -> None:
    """Raise Invalid for an input that the tool's schema doesn't allow, naming each field."""
    if errors := find_errors(tool.input, input, root="input"):
        raise Invalid("The input is not what the tool takes.", errors=errors)


def fingerprint_of(body: Sequence[object]) -> bytes:
    """What tells two requests with one key apart: SHA-256 of the canonical form (RFC 8785)."""
    try:
        return hashlib.sha256(dumps(body)).digest()
    except JsonInvalid as error:
        raise Invalid.of("input", f"This can't be held exactly: {error}.") from error


def title_of(tool: str, input: Object) -> str:
    """The first line of the first text in the input, or else the tool's name.

    A longer line ends with an ellipsis, after a whole word where there is one.
    """
    texts = (value.strip() for value in input.values() if isinstance(value, str))
    line = next((text for text in texts if text), tool).splitlines()[0].rstrip()
    if len(line) <= TITLE_MAX:
        return line
    words, space, _ = line[:TITLE_MAX].rpartition(" ")
    return f"{words.rstrip(' ,;:') if space else line[: TITLE_MAX - 1]}…"


def _claim_of(ask: Ask, caller: Actor) -> Claim:
    """The key and what it is for, in the client's own words: what they lead to may change."""
    if ask.key is None:
        return Claim(caller.principal, None, None)
    words = [ask.agent, ask.tool, ask.project, ask.mode, ask.input, ask.session_id]
    return Claim(caller.principal, ask.key, fingerprint_of(words))


def _session_of(ask: Ask, caller: Actor) -> Session | None:
    """The conversation that is meant, which is the caller's own; raises Invalid."""
    if ask.session_id is None:
        return None
    if not SESSION.fullmatch(ask.session_id):
        raise Invalid.of("session_id", SESSION_RULE)
    return Session(ask.session_id, caller.id)


def _project_of(ask: Ask, listing: Listing) -> tuple[UUID, str]:
    """Id and slug of the project that a run counts for; raises Invalid."""
    if ask.project is None:
        return listing.project_id, listing.project
    try:
        found = get_project(ask.project)
    except NotFound as error:
        raise Invalid.of("project", "There is no such project.") from error
    if found.archived_at is not None:
        raise Invalid.of("project", "This project is archived.")
    return found.id, found.slug


def _order(call: Call, refusal: str | None, scopes: Sequence[UUID]) -> Order:
    return Order(
        run_id=call.run_id,
        agent_id=call.listing.id,
        manifest_id=call.listing.frozen.id,
        project_id=call.project_id,
        tool=call.tool.name,
        title=title_of(call.tool.name, call.input),
        mode=call.mode,
        input=call.input,
        timeout_seconds=call.listing.frozen.timeout_seconds,
        caller=call.caller,
        claim=call.claim,
        price_micros=call.tool.price_micros,
        scopes=scopes,
        refusal=refusal,
        is_recalled=call.listing.is_recalled,
        parent=call.parent,
        session_id=call.session.id if call.session else None,
    )
