"""A small real model on this machine; `make wire` builds it and asks. Else nothing is collected."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.llm.conftest import *  # noqa: F403

HOME = os.environ.get("WIRE_HOME")
collect_ignore_glob = [] if HOME else ["test_*.py"]


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the model speaks the OpenAI API; a process of its own has it."""
    assert HOME, "make wire names the folder"
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), HOME]
    log = tmp_path_factory.mktemp("wire") / "log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        assert process.stdout is not None and process.stdin is not None
        found = process.stdout.readline().strip()
        assert found.startswith("http://127.0.0.1:"), log.read_text()[-2000:]
        yield found
        process.stdin.close()
