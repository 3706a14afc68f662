"""Texts and engines for the tests of evaluation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from pathlib import Path

from apps.policies.engine.asking import RegoEngine, draft
from apps.policies.engine.children import Children
from apps.policies.engine.pool import Pool
from apps.policies.engine.process import Child
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import Text
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


def fake(manner: str) -> Callable[[], Child]:
    program = str(Path(__file__).with_name("fake_child.py"))
    return lambda: Child([sys.executable, "-I", "-S", program, manner])
