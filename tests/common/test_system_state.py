"""How the installation stands: remembered, renewed beside whoever asks, and said in plain words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apps.common import system_state
from apps.common.system_state import FRESH_SECONDS, KNOWN_SECONDS, WORDS, Memory, State

UP = {"web": "ok", "postgres": "ok"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def memory_of(answers: list[Mapping[str, str]], clock: Clock) -> tuple[Memory, list[Any]]:
    """A memory whose parts answer so, one after the other, and the work that it put beside."""
    put: list[Callable[[], object]] = []
    return Memory(ask=lambda: answers.pop(0), clock=clock, beside=put.append), put


def test_a_glance_waits_for_nothing_and_has_the_answer_renewed_beside_it() -> None:
    clock = Clock()
    memory, put = memory_of([UP, {**UP, "workers": "down"}], clock)

    assert memory.glance().words == "Checking systems"
    assert memory.glance().is_known is False
    assert len(put) == 1  # while one asks, nobody else does

    put.pop()()
    assert memory.glance().words == "All systems normal"
    assert put == []

    clock.now += FRESH_SECONDS
    assert memory.glance().words == "All systems normal"
    put.pop()()
    assert memory.glance().words == "Degraded: workers"


def test_what_was_known_long_ago_is_not_known() -> None:
    clock = Clock()
    memory, put = memory_of([UP, UP], clock)
    memory.glance()
    put.pop()()

    clock.now += KNOWN_SECONDS
    assert memory.glance() == State()


def test_a_look_asks_unless_it_was_asked_lately() -> None:
    clock = Clock()
    memory, _ = memory_of([UP, {**UP, "valkey": "down"}], clock)

    assert memory.look().words == "All systems normal"
    assert memory.look().words == "All systems normal"
    clock.now += FRESH_SECONDS
    assert memory.look().words == "Degraded: queue"


def test_an_asking_that_fails_lets_the_next_one_ask() -> None:
    clock = Clock()

    def fail() -> Mapping[str, str]:
        raise OSError("no route")

    memory = Memory(ask=fail, clock=clock, beside=lambda work: None)
    with pytest.raises(OSError, match="no route"):
        memory.look()
    with pytest.raises(OSError, match="no route"):
        memory.look()


def test_without_a_thread_to_be_had_the_next_page_tries_again() -> None:
    tried = []

    def refuse(work: Callable[[], object]) -> None:
        tried.append(work)
        raise RuntimeError("can't start new thread")

    memory = Memory(ask=lambda: UP, clock=Clock(), beside=refuse)
    assert memory.glance() == memory.glance() == State()
    assert len(tried) == 2


def test_the_asking_beside_a_page_is_a_thread_of_its_own() -> None:
    asked: list[str] = []
    done = threading.Event()

    def ask() -> Mapping[str, str]:
        asked.append(threading.current_thread().name)
        done.set()
        return UP

    Memory(ask=ask).glance()
    assert done.wait(5)
    assert asked == ["system-state"]


@pytest.mark.parametrize(
    ("down", "words"),
    [
        ((), "All systems normal"),
        (("workers",), "Degraded: workers"),
        (("postgres", "valkey"), "Degraded: database, queue"),
        (("postgres", "valkey", "beat", "workers"), "Degraded: database, queue and 2 more"),
    ],
)
def test_the_state_is_said_in_a_few_words(down: tuple[str, ...], words: str) -> None:
    found = {name: "down" if name in down else "ok" for name in WORDS}
    assert Memory(ask=lambda: found).look().words == words


def test_a_part_that_is_up_has_no_effect_to_tell_and_one_without_words_has_its_name() -> None:
    parts = Memory(ask=lambda: {"valkey": "ok", "beat": "down", "some_part": "down"}).look().parts
    assert [(part.label, part.is_up, part.effect) for part in parts] == [
        ("Queue", True, ""),
        ("Scheduler", False, WORDS["beat"][1]),
        ("Some part", False, ""),
    ]


def test_what_is_watched_stands_beside_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_state, "_watched", {})
    monkeypatch.setattr(system_state.health, "ask_parts", lambda: {"postgres": "ok"})
    system_state.watch("workers", lambda: {"workers": "down", "provisioner": "ok"})
    assert system_state.ask_all() == {
        "web": "ok",
        "postgres": "ok",
        "workers": "down",
        "provisioner": "ok",
    }


def test_a_look_does_not_wait_for_ever_for_who_asks_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system_state, "LOOK_SECONDS", 0.01)
    memory = Memory(ask=lambda: UP, beside=lambda work: None)
    assert memory.glance() == State()  # whoever was to ask never does
    assert memory.look() == State()
