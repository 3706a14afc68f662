from datetime import UTC, datetime, timedelta

import pytest

from apps.common.actors import Actor, ActorType
from apps.trust.models import AuditEvent, RefusalTally
from apps.trust.services import record_refusal, record_tallies

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVE = Actor(ActorType.API_KEY, "key_1", "ci")
RULE = "members.invite"


def refuse(seconds, actor=EVE, rule=RULE):
    return record_refusal(actor=actor, rule=rule, at=AT + timedelta(seconds=seconds))


def recorded(rule=RULE):
    events = AuditEvent.objects.filter(action="trust.call.refused", subject_id=rule)
    return [(e.actor_id, e.detail["count"]) for e in events.order_by("seq")]


def test_the_first_refusal_is_on_record_at_once(org):
    event = refuse(0)

    assert (event.subject_type, event.subject_id, event.at) == ("rule", RULE, AT)
    assert recorded() == [("key_1", 1)]


def test_refusals_within_a_minute_are_counted_into_the_next_event(org):
    answers = [refuse(s) for s in (0, 1, 30, 59.999999)]
    assert [a is not None for a in answers] == [True, False, False, False]
    assert recorded() == [("key_1", 1)]

    refuse(60)

    assert recorded() == [("key_1", 1), ("key_1", 4)]
    assert refuse(61) is None


def test_principals_and_rules_are_counted_apart(org):
    other = Actor(ActorType.USER, "key_1", "same id, another kind")
    for actor, rule in ((EVE, RULE), (other, RULE), (EVE, "projects.delete")):
        assert refuse(0, actor, rule) is not None
        assert refuse(1, actor, rule) is None

    assert RefusalTally.objects.count() == 3
    assert recorded() == [("key_1", 1), ("key_1", 1)]
    assert recorded("projects.delete") == [("key_1", 1)]


def test_a_flood_leaves_one_event_a_minute_and_loses_no_count(org):
    for second in range(181):
        refuse(second)
    record_tallies(at=AT + timedelta(minutes=5))

    assert [count for _, count in recorded()] == [1, 60, 60, 60]


def test_what_no_further_refusal_follows_is_recorded_by_the_sweeper(org):
    renamed = Actor(EVE.type, EVE.id, "ci (renamed)")
    refuse(0)
    refuse(1)
    refuse(2, renamed)

    assert record_tallies(at=AT + timedelta(seconds=59)) == 0
    assert recorded() == [("key_1", 1)]
    assert record_tallies(at=AT + timedelta(seconds=60)) == 1
    assert recorded() == [("key_1", 1), ("key_1", 2)]
    assert record_tallies(at=AT + timedelta(seconds=600)) == 0


def test_the_sweeper_takes_no_more_than_it_is_told(org):
    for rule in ("a", "b", "c"):
        refuse(0, rule=rule)
        refuse(1, rule=rule)

    later = AT + timedelta(minutes=2)
    assert [record_tallies(at=later, limit=2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("seconds", [-30, -7200])
def test_a_clock_that_steps_back_loses_nothing(org, seconds):
    refuse(0)

    assert refuse(seconds) is None
    refuse(60)
    assert recorded() == [("key_1", 1), ("key_1", 2)]
