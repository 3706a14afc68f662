"""The templates: each can be kept, passes its own tests, and says what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.orgs.permissions import ROLES
from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.pool import Pool
from apps.policies.engine.samples import CALL, INVOKE, SAMPLES, TOOL
from tests.policies.engine.rego import PATIENT, engine, text

LIBRARY = Path("apps/policies/library")
TEMPLATES = sorted(path for path in LIBRARY.glob("*.rego") if not path.stem.endswith("_test"))


def test_there_are_templates() -> None:
    assert len(TEMPLATES) == 8 and LIBRARY / "starter.rego" in TEMPLATES


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_a_header_no_flaw_and_tests_that_pass(asked: RegoEngine, path: Path) -> None:
    rego, tests = path.read_text(), path.with_name(f"{path.stem}_test.rego").read_text()
    header = r"# title: [A-Z][^\n]+[^.\n]\n# purpose: [A-Z][^\n]+\.\npackage mandate\n"
    assert re.match(header, rego)
    assert asked.find_flaws(rego) == []
    assert asked.find_test_flaws(tests) == []
    outcomes = asked.run_tests(rego, tests)
    assert outcomes and [outcome for outcome in outcomes if not outcome.passed] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_tests_of_a_template_fail_without_it(pool: Pool, path: Path) -> None:
    tests = path.with_name(f"{path.stem}_test.rego").read_text()
    outcomes = engine(pool, seconds=PATIENT).run_tests("package mandate\n\nallow := true\n", tests)
    assert not all(outcome.passed for outcome in outcomes)


def test_the_starter_lets_read_and_asks_before_the_rest(pool: Pool) -> None:
    starter = [text((LIBRARY / "starter.rego").read_text())]
    results = [
        engine(pool, seconds=PATIENT).evaluate(starter, call).result
        for call in (INVOKE, CALL, TOOL)
    ]
    assert results == ["allow", "allow", "require_approval"]


def test_an_agent_is_held_by_the_role_behind_it(pool: Pool) -> None:
    """Also in the examples that a policy is tried on: an agent has no role of its own."""
    kept_out = [text((LIBRARY / "role_and_project.rego").read_text())]
    assert engine(pool, seconds=PATIENT).evaluate(kept_out, CALL).result == "deny"
    assert {call["subject"]["role"] for call in SAMPLES} <= {role.slug for role in ROLES}
