"""Texts and engines for the tests of evaluation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from apps.policies.engine.asking import RegoEngine, draft
from apps.policies.engine.children import Children
from apps.policies.engine.pool import Pool
from apps.policies.engine.process import Child
from apps.policies.engine.samples import INVOKE
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import PolicyEngineUnavailable, Text
from config.settings.parts.policies import POLICY_SECONDS as DEADLINE

ALLOW = "package mandate\n\nallow := true\n"
DENY = 'package mandate\n\nallow := true\n\ndeny contains "no"\n'
ENDLESS = """package mandate

allow := true

deny contains "x" if {
    some i in numbers.range(1, 100000)
    some j in numbers.range(1, 100000)
    i * j == input.context.never
}
"""


def text(rego: str, name: str = "p") -> Text:
    found = draft(rego)
    return Text(name, name, 1, rego, found.digest)


PATIENT = 10.0
"""For what isn't about the deadline: a machine that runs the suite is busy."""
ENOUGH = 1.0
"""For what never ends: so long that even a busy machine lets it compute for a while."""


def engine(
    pool: Pool,
    org: Hashable = "acme",
    standing: Standing | None = None,
    seconds: float = DEADLINE,
) -> RegoEngine:
    children = Children(pool, seconds)
    return RegoEngine(children, children, standing or Standing(), org)


def answers_nothing(asked: RegoEngine) -> None:
    """It says of a text neither that it has a flaw nor that its tests fail: it can't know."""
    tests = "package mandate_test\n\ntest_a if true\n"
    assert asked.evaluate([text(ALLOW)], INVOKE).opinions[0].is_for_now
    with pytest.raises(PolicyEngineUnavailable, match="Nothing was changed"):
        asked.find_flaws(ALLOW)
    with pytest.raises(PolicyEngineUnavailable, match="Nothing was changed"):
        asked.run_tests(ALLOW, tests)


def fake(manner: str) -> Callable[[], Child]:
    program = str(Path(__file__).with_name("fake_child.py"))
    return lambda: Child([sys.executable, "-I", "-S", program, manner])
