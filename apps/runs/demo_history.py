"""A few days of work in the demo org: really done by its agents, and put on record as if then.

Every run of it belongs to a session whose name begins with `demo-`, so that nobody takes it for
anything else, and so that a seeding that was cut short is completed and none is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from apps.agents.selectors import list_agent_names
from apps.common.clock import clock_set_to
from apps.common.errors import DomainError
from apps.orgs.principals import Principal
from apps.orgs.selectors import find_member_principal, list_members
from apps.runs.models import Run
from apps.runs.services.invoke import Ask, invoke
from apps.tenants.selectors import OrgRef

ORG: Final = "acme"
SEED: Final = 20_261_122
DAYS: Final = 4
A_DAY: Final = 60
"""Runs that people ask for on a weekday; those that agents ask for come on top."""
BUSY: Final = (1, 1, 1, 1, 1, 2, 3, 6, 10, 12, 11, 9, 7, 9, 11, 12, 10, 8, 6, 4, 3, 2, 2, 1)
"""How busy each hour of the day is, beside the others."""
QUIET_DAYS: Final = (5, 6)

TICKETS: Final = (
    "My parcel was promised for Monday and has not arrived. The tracking page has shown the same "
    "depot since Saturday. I need it before Thursday. Please tell me whether it will arrive in "
    "time or send a new one.",
    "The invoice for October lists two seats that we cancelled in September. I wrote to you on the "
    "12th and got no answer. Please correct the invoice and confirm the new total.",
    "Since the last update the export stops at row 5,000. Smaller exports work. We need the whole "
    "list for our audit on Friday. Is there a way around it until this is mended?",
    "I was charged twice for order 99-1042. My bank shows both bookings on the same day. Please "
    "send one of them back to the same card.",
    "The blue jacket came in size M and I ordered L. The label on the bag says L, so it must have "
    "been packed wrongly. I would like to exchange it. I do not want my money back.",
    "Our administrator has left the company. Nobody else can invite colleagues. I am the head of "
    "finance and can prove it. How do we get a new administrator?",
    "The app signs me out every few minutes on my tablet. On the phone it stays signed in. I have "
    "installed it anew and cleared its data. Nothing helped.",
    "We were promised a discount of ten percent for a yearly plan. The offer in the portal does "
    "not show it. The offer ends tomorrow. Please extend it until this is settled.",
    "Your courier left the package with a neighbour whom I do not know. There is no name on the "
    "note. The street has forty houses. Please ask the driver where it is.",
    "The warranty page says two years and the receipt says one. The kettle broke after sixteen "
    "months. Which of the two counts? I have kept the receipt and the box.",
    "Since Tuesday our webhooks arrive an hour late. The times in the payload are right. Nothing "
    "was changed on our side. Orders are shipped late because of it.",
    "I cannot change the delivery address of order 99-1077. The button is grey. The order has not "
    "left the warehouse yet. I am away from Friday on, so it has to go to my office.",
)
# Sums that a support desk asks for; the last two can't be worked out.
SUMS: Final = (
    "19.90 * 3 + 4.50",
    "412 - 412 * 0.15",
    "(89.99 + 12.50) * 1.19",
    "1280 / 12",
    "2 * 49 - 9.80",
    "250 * 0.03 + 250",
    "17.25 * 8",
    "(1299 - 200) / 24",
)
IMPOSSIBLE: Final = ("412 / 0", "10 ** 400 ** 2")


@dataclass(frozen=True, slots=True)
class Planned:
    """One run that the history has: what is asked, and how long before now."""

    ask: Ask
    ago: timedelta


def seed_history(org: OrgRef, owner: Principal, at: datetime) -> None:
    """Have the demo agents do what is missing of their history, the oldest first.

    An agent that people have retired or stopped adds nothing to it.
    """
    if org.slug != ORG:
        return
    agents = {slug for slug, _ in list_agent_names()}
    people = _people()
    for planned in _missing(plan_history(at)):
        if planned.ask.agent in agents:
            _repeat(planned, _asker(planned, people), at)


def plan_history(at: datetime) -> list[Planned]:
    """What the history of the days before `at` holds, the oldest first; always the same."""
    rng, planned = Random(SEED), []  # noqa: S311 - believable, not secret
    asks = _asks(rng)
    for day in range(DAYS, 0, -1):
        for hours, minutes in _times(rng, at - timedelta(days=day)):
            moment = timedelta(days=day) - timedelta(hours=hours, minutes=minutes)
            planned.append(Planned(next(asks), moment))
    return [
        replace(each, ask=replace(each.ask, session_id=f"demo-{number:03}"))
        for number, each in enumerate(planned, start=1)
    ]


def _times(rng: Random, begin: datetime) -> list[tuple[int, float]]:
    """The moments of a day of work that begins at `begin`, as hours and minutes from there."""
    weights = [
        BUSY[(begin.hour + hour) % 24] / (4 if _is_quiet(begin, hour) else 1) for hour in range(24)
    ]
    busy = sum(weights) / sum(BUSY)
    hours = rng.choices(range(24), weights, k=round(A_DAY * busy))
    return sorted((hour, rng.uniform(0, 59)) for hour in hours)


def _is_quiet(begin: datetime, hour: int) -> bool:
    return (begin + timedelta(hours=hour)).weekday() in QUIET_DAYS


def _asks(rng: Random) -> Iterator[Ask]:
    """What a support desk has its agents do, without an end."""
    while True:
        ticket, total = rng.choice(TICKETS), rng.choice(SUMS)
        yield rng.choices(
            (
                Ask(agent="summarizer", input={"text": ticket, "sentences": rng.choice((1, 2))}),
                Ask(agent="calculator", input={"expression": total}),
                Ask(
                    agent="concierge",
                    input={"question": f"What is {total}, and summarize this: {ticket}"},
                ),
                Ask(agent="echo", input={"text": "Is anybody there?"}),
                Ask(agent="calculator", input={"expression": rng.choice(IMPOSSIBLE)}),
            ),
            (42, 24, 20, 9, 5),
        )[0]


def _missing(planned: Sequence[Planned]) -> list[Planned]:
    sessions = [each.ask.session_id for each in planned]
    there = Run.objects.filter(session_id__in=sessions, parent=None)
    known = set(there.values_list("session_id", flat=True))
    return [each for each in planned if each.ask.session_id not in known]


def _people() -> list[Principal]:
    """The members who may ask agents for work."""
    found = [find_member_principal(user_id=member.user_id) for member in list_members(left=False)]
    return [who for who in found if who and who.may("agents.invoke")]


def _asker(planned: Planned, people: Sequence[Principal]) -> Principal:
    return Random(planned.ask.session_id).choice(people)  # noqa: S311 - believable, not secret


def _repeat(planned: Planned, by: Principal, at: datetime) -> None:
    """Do it now, on record as of then; what an agent refuses today leaves its own trace."""
    clock = clock_set_to(at - planned.ago)
    try:
        invoke(planned.ask, caller=by, at=clock(), clock=clock)
    except DomainError:
        return
