"""One product for all proofs of invocation, with a short lease; nothing of it outlives them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from tests.proof import instance as instances
from tests.proof.client import Client
from tests.proof.instance import Instance
from tests.proof.outside import Outside, receiving

LEASE_SECONDS = 3
ENVIRON = {
    "RUN_LEASE_SECONDS": str(LEASE_SECONDS),
    "SWEEP_SECONDS": "1",
    "DJANGO_SETTINGS_MODULE": "tests.proof.settings",
}


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    with kept_in_a_folder(lambda home: instances.start(home, **ENVIRON)) as running:
        yield running


@pytest.fixture
def small_instance(committed: None) -> Iterator[Instance]:
    """Web and workers for the suite's own database, with a Valkey of their own."""
    name = connections["default"].settings_dict["NAME"]
    told = {key: os.environ[key] for key in ("SECRET_KEY", "MANDATE_KEK")}
    for variable in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        told[variable] = f"{os.environ[variable].rpartition('/')[0]}/{name}"
    admin_url = f"{os.environ['TEST_ADMIN_URL'].rpartition('/')[0]}/{name}"
    environ = ENVIRON | told
    with kept_in_a_folder(
        lambda home: instances.start_small(home, admin_url=admin_url, **environ)
    ) as running:
        yield running


@contextlib.contextmanager
def kept_in_a_folder(start: Callable[[Path], Instance]) -> Iterator[Instance]:
    """An instance in a folder that only its owner may enter; nothing of it outlives the block."""
    folder = Path(tempfile.mkdtemp(prefix="mandate-proof-"))
    folder.chmod(0o700)
    try:
        running = start(folder / "home")
        try:
            assert running.leftovers(), "the search for processes finds none while it runs"
            yield running
        finally:
            ended = running.process.poll()
            told = running.log.read_text()[-4000:]
            running.stop()
            left = running.leftovers()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert ended is None, f"the product ended by itself with {ended}:\n{told}"
    assert left == []


@pytest.fixture(scope="session")
def client(instance: Instance) -> Client:
    return instance.client()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with receiving(tmp_path) as receiver:
        yield receiver


@pytest.fixture
def slug() -> str:
    """A name that no other test gives its agent."""
    return f"w{uuid.uuid4().hex[:10]}"


@pytest.fixture
def seed() -> int:
    """Of everything random; PROOF_SEED repeats a run's."""
    return int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(10**6))
