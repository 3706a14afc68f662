"""What goes into an evaluation of policies and what comes out, whoever evaluates.

Nothing here knows a table, a process or an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from apps.common.errors import Unavailable
from apps.common.json import Object

Result = Literal["allow", "deny", "require_approval", "unavailable"]


class PolicyEngineUnavailable(Unavailable):
    """A text couldn't be judged or tested for now, which is no flaw of it."""

    code = "policy_engine_unavailable"
    title = "The policy engine doesn't answer"


@dataclass(frozen=True, slots=True)
class Text:
    """One version of a policy, as it is evaluated: `id` is the version's, `digest` of the Rego."""

    id: str
    name: str
    version: int
    rego: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` within `seconds`, counted for each caller of the tool."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Obligations:
    """What must be done where a call is let through. None and nothing oblige to nothing.

    `mask` holds dotted paths into input and output (`input.card.number`, `output.ssn`) whose values
    nobody reads afterwards.
    """

    mask: tuple[str, ...] = ()
    cap_cost_micros: int | None = None
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one policy says by itself. `flaw` tells its author why it is unavailable; `is_for_now`
    if that isn't the text's doing, so that it may say something when it is asked again.
    """

    text: Text
    result: Result
    reasons: tuple[str, ...] = ()
    obligations: Obligations = field(default_factory=Obligations)
    flaw: str = ""
    is_for_now: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all attached policies say together, and how many µs that took."""

    result: Result
    reasons: tuple[str, ...]
    obligations: Obligations
    opinions: tuple[Opinion, ...]
    micros: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a text can't be kept; line and column count from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """How one `test_…` rule of a policy ended."""

    name: str
    passed: bool
    message: str = ""


class Engine(Protocol):
    """Evaluates Rego. Two do: child processes with regorus, and an OPA server.

    All but `evaluate` raise PolicyEngineUnavailable where there is no saying.
    """

    def evaluate(self, texts: Sequence[Text], document: Object) -> Verdict:
        """Ask each text alone and combine what they say. Never raises: what fails is
        unavailable, which is a denial.
        """

    def find_flaws(self, rego: str) -> Sequence[Flaw]:
        """Why this text can't be a policy; nothing if it can."""

    def find_test_flaws(self, tests: str) -> Sequence[Flaw]:
        """Why this text can't be a policy's tests; nothing if it can."""

    def run_tests(self, rego: str, tests: str) -> Sequence[TestOutcome]:
        """Run every `test_…` rule of `tests` (`package mandate_test`) against the text."""
