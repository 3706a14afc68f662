"""Finding what is asked for: the agent, its tool, the project, and an input that the tool takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from apps.agents.directory import Listing, Tool, get_listing, may_call
from apps.agents.runtimes.base import Session
from apps.common.actors import Actor
from apps.common.errors import Invalid, NotFound
from apps.common.ids import uuid7
from apps.common.json import Object, find_flaw
from apps.common.schemas import find_errors
from apps.orgs.selectors import get_project
from apps.policies.masking import MASKED
from apps.runs import spine
from apps.runs.models import SESSION, SESSION_RULE, Run
from apps.runs.services.asking import Caller, Charge, Place, with_present_tags
from apps.runs.services.context import Context, call_key
from apps.runs.services.duties import FREE, Duties
from apps.runs.spine import Claim, Keyed, Parentage
from apps.trust.canonical import dumps
from apps.trust.errors import JsonInvalid

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
    """An invocation whose parts have been found: who calls what of whom, with what, for whom.

    `above` is what the policies of a calling run hide and allow to be spent.
    """

    run_id: UUID
    listing: Listing
    tool: Tool
    input: Object
    mode: str
    caller: Caller
    charge: Charge
    claim: Claim
    session: Session | None = None
    parent: Parentage | None = None
    above: Duties = FREE


class Ungranted(Exception):
    """An agent asked another for what it holds no grant for, and learns nothing more."""


def find_call(ask: Ask, caller: Caller, *, lookup: Lookup = get_listing) -> Call:
    """Find what a client asks for; raises NotFound and Invalid, naming each field."""
    listing = lookup(ask.agent)
    tool = listing.frozen.choose(ask.tool)
    check_input(tool, ask.input)
    run_id, home = uuid7(), home_of(listing)
    calling = (caller.actor.label,) if caller.is_agent else ()
    return Call(
        run_id=run_id,
        listing=listing,
        tool=tool,
        input=ask.input,
        mode=ask.mode,
        caller=caller,
        charge=Charge(
            root_id=run_id,
            behind=caller,
            place=_place_of(ask, home),
            home=home,
            lineage=(*calling, listing.slug),
        ),
        claim=_claim_of(ask, caller.actor),
        session=_session_of(ask, caller.actor),
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
    the parent's, by the database; where the agent isn't recalled but looked at again, so are the
    project's tags.
    """
    check_kept(input)
    if lookup is get_listing:
        context.charge = with_present_tags(context.charge)
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
        mode=Run.Mode.SYNC,
        caller=replace(context.charge.behind, actor=context.agent),
        charge=replace(
            context.charge,
            home=home_of(listing),
            lineage=(*context.charge.lineage, listing.slug),
            agreed=(),
        ),
        claim=Claim(principal, key, fingerprint_of([agent, tool, input])),
        session=context.session,
        parent=parent,
        above=context.duties,
    )


def home_of(listing: Listing) -> Place:
    """The agent's own project."""
    return Place(listing.project_id, listing.project, listing.tags)


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
    """The first line of the first text in the input that may be read, or else the tool's name.

    A longer line ends with an ellipsis, after a whole word where there is one.
    """
    texts = (value.strip() for value in input.values() if isinstance(value, str))
    line = next((text for text in texts if text not in ("", MASKED)), tool).splitlines()[0].rstrip()
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


def _place_of(ask: Ask, home: Place) -> Place:
    """The project that a run counts for; raises Invalid."""
    if ask.project is None:
        return home
    try:
        found = get_project(ask.project)
    except NotFound as error:
        raise Invalid.of("project", "There is no such project.") from error
    if found.archived_at is not None:
        raise Invalid.of("project", "This project is archived.")
    return Place(found.id, found.slug, tuple(found.tags))
