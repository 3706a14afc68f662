"""Rego evaluated by regorus, in this process's own children."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from apps.common.json import Object
from apps.policies.engine.asking import Answer, Failure, failure_of
from apps.policies.engine.pool import NoChildError, Pool
from apps.policies.engine.process import LONG, Child, ChildFailure
from apps.policies.engine.types import Flaw, Text

READING_SECONDS: Final = 2.0
"""How long a text may be read while somebody writes it; evaluations get `POLICY_SECONDS`."""
READING_LONG: Final = 0.2
"""Seconds of CPU that it may take; the longest texts take a third of that."""
_WORDS: Final = {
    "late": "It doesn't come to an end in time.",
    "starved": "The engine had no time to answer.",
    "died": "The engine broke over it, or it takes too much memory.",
    "killed": "The engine was stopped from outside.",
    "garbage": "The engine's answer can't be read.",
}
_BY_TEXT: Final = {"late", "died"}
NO_CHILD: Final = Failure("The engine isn't there, or has no time.", is_for_now=True)
NOT_REACHED: Final = Failure(
    "It was not evaluated: another policy took all the time.", is_for_now=True
)


class Children:
    """The pool as evaluator and as reader of texts."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool, self._seconds = pool, seconds

    def documents(self, org: Hashable, texts: Sequence[Text], document: bytes) -> Sequence[Answer]:
        """All texts by one request to one child, which mostly knows them already."""

        def ask(child: Child, until: float) -> Any:
            request: Object = {"op": "evaluate", "digests": [text.digest for text in texts]}
            answer = child.ask(request, document, until=until)
            if missing := answer.get("missing"):
                _load(child, texts, missing, until)
                answer = child.ask(request, document, until=until)
            return _several(answer.get("answers"), len(texts))

        try:
            return self._pool.use(org, ask, seconds=self._seconds)
        except NoChildError:
            return [NO_CHILD] * len(texts)
        except ChildFailure as failure:
            return [_failure(failure, is_here=at == failure.at) for at in range(len(texts))]

    def outcomes(
        self, org: Hashable, rego: str, tests: str, names: Sequence[str]
    ) -> Mapping[str, bool | Failure]:
        request = {"op": "test", "rego": rego, "tests": tests, "names": list(names)}
        found = self._ask_once(org, request, "outcomes", seconds=self._seconds, long=LONG)
        if isinstance(found, Failure):
            return dict.fromkeys(names, found)
        return {name: _outcome(found.get(name)) for name in names}

    def facts(self, org: Hashable, name: str, rego: str) -> Answer:
        request = {"op": "inspect", "name": name, "rego": rego}
        return self._ask_once(org, request, "facts", seconds=READING_SECONDS, long=READING_LONG)

    def compile(self, org: Hashable, rego: str) -> Sequence[Flaw] | Failure:
        """Nothing more: regorus checks when it evaluates."""
        return ()

    def _ask_once(
        self, org: Hashable, request: Object, key: str, *, seconds: float, long: float
    ) -> Answer:
        """One question about a text, answered by an object under `key`."""

        def ask(child: Child, until: float) -> Object:
            return child.ask(request, until=until, long=long)

        try:
            answer = self._pool.use(org, ask, seconds=seconds)
        except NoChildError:
            return NO_CHILD
        except ChildFailure as failure:
            return _failure(failure, is_here=True)
        found = answer.get(key)
        return found if isinstance(found, dict) else failure_of(str(answer.get("error", "")))


def _load(child: Child, texts: Sequence[Text], missing: Sequence[str], until: float) -> None:
    """Have the child read those it doesn't know; it takes its time, and is of use afterwards."""
    for at, text in enumerate(texts):
        if text.digest in missing:
            request = {"op": "load", "digest": text.digest, "rego": text.rego}
            try:
                child.ask(request, until=until, long=READING_LONG)
            except ChildFailure as failure:
                raise ChildFailure(failure.why, at) from None


def _several(answers: Any, number: int) -> Sequence[Answer]:
    """So many answers; a child that gives others is of no more use."""
    if not isinstance(answers, list) or len(answers) != number:
        raise ChildFailure("garbage")
    return [_answer(answer) for answer in answers]


def _answer(answer: Any) -> Answer:
    match answer:
        case {"document": dict(document)}:
            return document
        case {"error": str(message)}:
            return failure_of(message)
    raise ChildFailure("garbage")


def _outcome(outcome: Any) -> bool | Failure:
    match outcome:
        case {"passed": bool(passed)}:
            return passed
        case {"error": str(message)}:
            return failure_of(message)
    return Failure(_WORDS["garbage"], is_for_now=True)


def _failure(failure: ChildFailure, *, is_here: bool) -> Failure:
    is_by_text = failure.why in _BY_TEXT
    if is_by_text and not is_here:
        return NOT_REACHED
    return Failure(_WORDS[failure.why], is_by_text=is_by_text, is_for_now=not is_by_text)
