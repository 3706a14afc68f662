"""What doesn't come to an end costs less and less."""

from __future__ import annotations

from apps.policies.engine.strikes import NEW_TEXTS, Standing


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pauses(standing: Standing, clock: Clock, times: int) -> list[int]:
    """How many whole seconds the text is aside after each failure, tried as soon as it may be."""
    found = []
    for _ in range(times):
        standing.failed("acme", "text")
        began = clock.now
        while standing.is_aside("acme", "text"):
            clock.now += 1
        found.append(int(clock.now - began))
    return found


def test_each_failure_doubles_the_pause_to_a_minute() -> None:
    clock = Clock()
    assert pauses(Standing(clock), clock, 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_quiet_minute_forgives() -> None:
    clock = Clock()
    standing = Standing(clock)
    assert pauses(standing, clock, 3) == [1, 2, 4]
    clock.now += 60
    assert pauses(standing, clock, 1) == [1]


def test_a_text_is_aside_for_its_org_only() -> None:
    standing = Standing(Clock())
    standing.failed("acme", "text")
    assert standing.is_aside("acme", "text")
    assert not standing.is_aside("globex", "text") and not standing.is_aside("acme", "other")


def test_an_org_that_writes_one_endless_text_after_another_waits_with_all_its_new_ones() -> None:
    standing = Standing(Clock())
    standing.answered("known")
    for number in range(NEW_TEXTS):
        assert not standing.is_aside("acme", "new")
        standing.failed("acme", f"text {number}")
    standing.failed("acme", "one too many")
    assert standing.is_aside("acme", "new") and not standing.is_to_blame("acme", "new")
    assert standing.is_to_blame("acme", "one too many")
    assert not standing.is_aside("acme", "known") and not standing.is_aside("globex", "new")


def test_a_text_that_answers_does_not_put_its_org_aside() -> None:
    clock = Clock()
    standing = Standing(clock)
    standing.answered("text")
    pauses(standing, clock, NEW_TEXTS + 2)
    assert not standing.is_aside("acme", "new")
