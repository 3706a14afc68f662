"""The engine, whatever evaluates for it: texts are judged before, documents are read after.

An evaluator turns texts into documents and nothing else. What it can't do in time, or at all, is a
Failure and not an exception, so that an evaluation always has an answer.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from apps.common.json import Object
from apps.policies.engine import flaws, reading
from apps.policies.engine.combining import combine
from apps.policies.engine.samples import SAMPLES
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import (
    Flaw,
    Opinion,
    PolicyEngineUnavailable,
    TestOutcome,
    Text,
    Verdict,
)

POLICY_FILE: Final = "policy.rego"
TESTS_FILE: Final = "tests.rego"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no document, in words. `is_by_text` if the text alone is to blame for its
    running out of time or memory; `flaw` where the engine names a place in it. `is_for_now` if the
    text has nothing to do with it: the engine is away, or has no time.
    """

    words: str
    is_by_text: bool = False
    flaw: Flaw | None = None
    is_for_now: bool = False


Answer = Object | Failure
"""The document of one text (see `reading`), or why there is none."""

_ASIDE: Final = Failure("It was put aside for a while: it took too long before.")
_ASIDE_WITH_OTHERS: Final = Failure(
    "It was put aside for a while: other new policies of yours took too long.", is_for_now=True
)
_UNWRITABLE: Final = Failure("The call can't be written as JSON.")


def failure_of(message: str) -> Failure:
    """What the engine complained of."""
    if flaw := flaws.find_place(message):
        return Failure(flaws.in_words(flaw), flaw=flaw)
    return Failure(flaws.sentence(message))


class Reader(Protocol):
    """Says what a text consists of (`child.facts_of`)."""

    def facts(self, org: Hashable, name: str, rego: str) -> Answer: ...


class Evaluator(Protocol):
    """Runs Rego for an org within its deadline. Raises nothing."""

    def documents(
        self, org: Hashable, texts: Sequence[Text], document: bytes
    ) -> Sequence[Answer]: ...

    def outcomes(
        self, org: Hashable, rego: str, tests: str, names: Sequence[str]
    ) -> Mapping[str, bool | Failure]:
        """Whether each named test passed."""

    def compile(self, org: Hashable, rego: str) -> Sequence[Flaw] | Failure:
        """What the evaluator itself has against a text, beyond what its evaluation shows."""


class RegoEngine:
    """One org's engine (`types.Engine`)."""

    def __init__(
        self, evaluator: Evaluator, reader: Reader, standing: Standing, org: Hashable
    ) -> None:
        self._evaluator, self._reader = evaluator, reader
        self._standing, self._org = standing, org

    def evaluate(self, texts: Sequence[Text], document: Object) -> Verdict:
        """Ask each text alone and combine what they say; what fails is unavailable."""
        started = time.perf_counter_ns()
        opinions = [
            _opinion(text, answer)
            for text, answer in zip(texts, self._answers(texts, document), strict=True)
        ]
        return combine(opinions, micros=(time.perf_counter_ns() - started) // 1000)

    def find_flaws(self, rego: str) -> Sequence[Flaw]:
        """Read the text, judge what it consists of, and evaluate it on example calls."""
        if found := flaws.of_size(rego):
            return found
        facts = self._facts(POLICY_FILE, rego)
        if isinstance(facts, Failure):
            return [_flaw(facts)]
        if found := flaws.of_policy(facts):
            return found
        found_by_engine = self._evaluator.compile(self._org, rego)
        if isinstance(found_by_engine, Failure):
            return [_flaw(found_by_engine)]
        return found_by_engine or self._flaws_on_examples(rego, facts)

    def find_test_flaws(self, tests: str) -> Sequence[Flaw]:
        """Why this text can't be a policy's tests; nothing if it can."""
        facts = self._facts_of_tests(tests)
        return [_flaw(facts)] if isinstance(facts, Failure) else flaws.of_tests(facts)

    def run_tests(self, rego: str, tests: str) -> Sequence[TestOutcome]:
        """Run every `test_…` rule against the text; one failed outcome if they can't be run."""
        if found := self.find_flaws(rego):
            return [_not_run(f"The policy can't be evaluated. {flaws.in_words(found[0])}")]
        facts = self._facts_of_tests(tests)
        if isinstance(facts, Failure):
            return [_not_run(_blamed(facts).words)]
        if found := flaws.of_tests(facts):
            return [_not_run(flaws.in_words(found[0]))]
        return self._run(rego, tests, flaws.test_names(facts))

    def _answers(self, texts: Sequence[Text], document: Object) -> Sequence[Answer]:
        try:
            written = json.dumps(document, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            return [_UNWRITABLE] * len(texts)
        aside = {t.digest: failure for t in texts if (failure := self._find_aside(t.digest))}
        asked = [text for text in texts if text.digest not in aside]
        answers = self._evaluator.documents(self._org, asked, written) if asked else ()
        found = {text.digest: answer for text, answer in zip(asked, answers, strict=True)}
        for digest, answer in found.items():
            self._learn(digest, answer)
        found.update(aside)
        return [found[text.digest] for text in texts]

    def _find_aside(self, digest: str) -> Failure | None:
        """Why a text isn't asked for a while, if so."""
        if self._standing.is_to_blame(self._org, digest):
            return _ASIDE
        return _ASIDE_WITH_OTHERS if self._standing.is_aside(self._org, digest) else None

    def _learn(self, digest: str, answer: Answer) -> None:
        if not isinstance(answer, Failure):
            self._standing.answered(digest)
        elif answer.is_by_text:
            self._standing.failed(self._org, digest)

    def _flaws_on_examples(self, rego: str, facts: Object) -> Sequence[Flaw]:
        """What shows only when it is evaluated: unsafe variables, conflicts, wrong types."""
        text = draft(rego)
        for sample in SAMPLES:
            (answer,) = self._answers([text], sample)
            if isinstance(answer, Failure):
                return [_flaw(answer)]
            try:
                reading.read(text, answer)
            except reading.UndefinedError:
                continue
            except reading.UnreadableError as error:
                return [flaws.in_rule(facts, error.rule, str(error))]
        return []

    def _facts_of_tests(self, tests: str) -> Answer:
        if found := flaws.of_size(tests):
            return Failure(found[0].message)
        return self._facts(TESTS_FILE, tests)

    def _facts(self, name: str, rego: str) -> Answer:
        """What a text consists of; to read it may take too long, too."""
        digest = draft(rego).digest
        if aside := self._find_aside(digest):
            return aside
        facts = self._reader.facts(self._org, name, rego)
        if isinstance(facts, Failure) and facts.is_by_text:
            self._standing.failed(self._org, digest)
        return facts

    def _run(self, rego: str, tests: str, names: Sequence[str]) -> Sequence[TestOutcome]:
        digest = draft(f"{rego}\n{tests}").digest
        if aside := self._find_aside(digest):
            return [_not_run(_blamed(aside).words)]
        outcomes = self._evaluator.outcomes(self._org, rego, tests, names)
        failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
        blamed = [failure for failure in failures if failure.is_by_text]
        if blamed or len(failures) < len(outcomes):
            self._learn(digest, blamed[0] if blamed else {})
        for failure in failures:
            _blamed(failure)
        return [_outcome(name, outcomes[name]) for name in names]


def draft(rego: str) -> Text:
    """A text that is nobody's version yet."""
    return Text("", "draft", 0, rego, hashlib.sha256(rego.encode(errors="replace")).hexdigest())


def _opinion(text: Text, answer: Answer) -> Opinion:
    if isinstance(answer, Failure):
        return reading.unavailable(text, answer.words, is_for_now=answer.is_for_now)
    return reading.opinion_of(text, answer)


def _blamed(failure: Failure) -> Failure:
    """A failure that the text is to blame for; raises PolicyEngineUnavailable for any other."""
    if failure.is_for_now:
        raise PolicyEngineUnavailable(f"{failure.words} Nothing was changed; try again.")
    return failure


def _flaw(failure: Failure) -> Flaw:
    return _blamed(failure).flaw or Flaw(1, 1, failure.words)


def _not_run(message: str) -> TestOutcome:
    return TestOutcome("tests", passed=False, message=message)


def _outcome(name: str, outcome: bool | Failure) -> TestOutcome:
    if isinstance(outcome, Failure):
        return TestOutcome(name, passed=False, message=outcome.words)
    return TestOutcome(name, passed=outcome, message="" if outcome else "It isn't true.")
