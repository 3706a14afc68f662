"""Both engines: this process's children, and the real OPA behind its REST API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.children import Children
from apps.policies.engine.opa import OpaServer
from apps.policies.engine.opa_client import OpaClient
from apps.policies.engine.pool import Pool
from apps.policies.engine.strikes import Standing
from tests.policies.engine.rego import PATIENT, engine

HOME = Path(os.environ.get("OPA_HOME", ".opa")).resolve()
PROGRAM = Path(__file__).parent.parent / "opa_server.py"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(4)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def opa_url() -> Iterator[str]:
    """Where OPA listens; a process of its own has it."""
    assert (HOME / ".filled").exists(), "make .opa/.filled fetches the OPA engine, once"
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(HOME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.kill()


@pytest.fixture
def opa(pool: Pool, opa_url: str) -> Iterator[RegoEngine]:
    client = OpaClient(opa_url)
    children = Children(pool, PATIENT)
    yield RegoEngine(OpaServer(client, children, PATIENT), children, Standing(), "acme")
    client.close()


@pytest.fixture(params=["regorus", "opa"])
def asked(request: pytest.FixtureRequest, pool: Pool) -> RegoEngine:
    """An engine, whichever it is: what is said of it holds of both."""
    if request.param == "regorus":
        return engine(pool, seconds=PATIENT)
    found: RegoEngine = request.getfixturevalue("opa")
    return found
