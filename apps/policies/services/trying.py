"""What a text would say of a call, kept nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.common.json import Object
from apps.policies.bundles import obligations_as_json
from apps.policies.engine import get_engine
from apps.policies.engine.asking import draft
from apps.policies.engine.types import Opinion, TestOutcome
from apps.policies.errors import outcome_as_json
from apps.policies.services.policies import check


@dataclass(frozen=True, slots=True)
class Tried:
    """What a text said, in how many µs, and how its tests ended."""

    opinion: Opinion
    micros: int
    outcomes: Sequence[TestOutcome]

    def as_json(self) -> Object:
        return {
            "result": self.opinion.result,
            "reasons": list(self.opinion.reasons),
            "obligations": obligations_as_json(self.opinion.obligations),
            "flaw": self.opinion.flaw,
            "micros": self.micros,
            "tests": [outcome_as_json(outcome) for outcome in self.outcomes],
        }


def try_text(*, rego_text: str, document: Object, tests: str = "") -> Tried:
    """Ask a text about a call, and run its tests. Raises RegoInvalid for a flawed one,
    PolicyEngineUnavailable.
    """
    says = check({"rego_text": rego_text, "tests": tests})
    engine = get_engine()
    verdict = engine.evaluate([draft(says["rego_text"])], document)
    outcomes = engine.run_tests(says["rego_text"], says["tests"]) if says["tests"] else ()
    return Tried(verdict.opinions[0], verdict.micros, outcomes)
