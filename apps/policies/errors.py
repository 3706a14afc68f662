"""What the services of policies refuse, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from apps.common.errors import Conflict, FieldError, Invalid
from apps.policies.engine.types import Flaw, TestOutcome


class RegoInvalid(Invalid):
    """A text can't be a policy, or a policy's tests: each flaw with its line and column."""

    code = "rego_invalid"
    title = "The Rego can't be taken"

    @classmethod
    def of_flaws(cls, field: str, flaws: Iterable[Flaw]) -> RegoInvalid:
        found = list(flaws)
        detail = f"Line {found[0].line}, column {found[0].column}: {found[0].message}"
        errors: list[dict[str, Any]] = [
            {"field": field, "line": flaw.line, "column": flaw.column, "message": flaw.message}
            for flaw in found
        ]
        return cls(detail, errors=cast("list[FieldError]", errors))


class PolicyStateConflict(Conflict):
    """The policy isn't in a state from which this can be done."""

    code = "policy_state"
    title = "The policy's status does not allow this"


class PolicyTestsFailed(Conflict):
    """A policy's own tests must pass before it counts."""

    code = "policy_tests_failed"
    title = "The policy's tests do not pass"

    @classmethod
    def of(cls, outcomes: Sequence[TestOutcome]) -> PolicyTestsFailed:
        failed = sum(not outcome.passed for outcome in outcomes)
        return cls(
            f"{failed} of {len(outcomes)} tests fail. Change the policy or its tests.",
            tests=[outcome_as_json(outcome) for outcome in outcomes],
        )


class DocumentChanged(Conflict):
    """What is kept as a decision's document has another digest than the decision."""

    code = "document_changed"
    title = "The document that is kept is not the one that was decided by"


class AttachmentExists(Conflict):
    """The policy is attached there already."""

    code = "attachment_exists"
    title = "It is attached there already"


def outcome_as_json(outcome: TestOutcome) -> dict[str, Any]:
    """How one test ended, for programs."""
    return {"name": outcome.name, "passed": outcome.passed, "message": outcome.message}
