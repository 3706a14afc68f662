"""Questions, and an engine that says what it is told: for tests of everything but Rego."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apps.common.json import Object
from apps.policies.bundles import Bundle, Entry, Where
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Flaw, Obligations, Opinion, TestOutcome, Text, Verdict
from apps.policies.questions import Circumstances, Question, Resource, Subject

ORG: Where = ("org", None, "")
AGENT, PROJECT, HOME = uuid4(), uuid4(), uuid4()
AT = datetime(2026, 11, 26, 1, 2, 3, 456789, tzinfo=UTC)


def question(action: Any = "agent.invoke", **context: Any) -> Question:
    """A member asks `echo` to say something, in a project that isn't the agent's own."""
    given: dict[str, Any] = {"input": {"text": "hi", "card": {"number": "4111"}}, **context}
    return Question(
        action=action,
        subject=Subject(type="user", id="mem_1", role="member"),
        resource=Resource(
            agent_id=AGENT,
            agent="echo",
            tool="echo",
            annotations={"read_only": True},
            project_id=PROJECT,
            agent_project_id=HOME,
            project="support",
            agent_project="default",
            tags=("eu",),
        ),
        context=Circumstances(cost_micros=5, depth=0, environment="live", at=AT, **given),
        run_id=UUID(int=7),
    )


def text(name: str, version: int = 1) -> Text:
    return Text(f"plv_{name}_{version}", name, version, f"# {name}", f"{name}{version}")


def entry(name: str, *attached: Where, shadow: Text | None = None, active: bool = True) -> Entry:
    found = text(name) if active else None
    return Entry(UUID(int=hash(name) % 2**64), found, shadow, frozenset(attached or [ORG]))


def bundle(*entries: Entry, answer: Any = "allow") -> Bundle:
    return Bundle(3, answer, entries)


def opinion(of: Text, result: Any, *reasons: str, **obligations: Any) -> Opinion:
    return Opinion(of, result, reasons, Obligations(**obligations))


class Told:
    """Says of each text, by its name and version, what it was told, and allows all others."""

    def __init__(self, **opinions: Mapping[str, Any]) -> None:
        self.opinions, self.asked = opinions, []  # type: ignore[var-annotated]

    def evaluate(self, texts: Sequence[Text], document: Object) -> Verdict:
        self.asked.append([given.name for given in texts])
        return combine([self._say(given) for given in texts], micros=len(texts))

    def find_flaws(self, rego: str) -> Sequence[Flaw]:
        return ()

    def find_test_flaws(self, tests: str) -> Sequence[Flaw]:
        return ()

    def run_tests(self, rego: str, tests: str) -> Sequence[TestOutcome]:
        return ()

    def _say(self, given: Text) -> Opinion:
        told = self.opinions.get(f"{given.name}{given.version}")
        return replace(told, text=given) if told else Opinion(given, "allow")  # type: ignore[type-var]
