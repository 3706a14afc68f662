"""The line that `make run` ends with: whoever pastes it into a shell has an agent do something."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.e2e.product import ROOT, Product

pytestmark = pytest.mark.e2e


def printed_line(product: Product) -> str:
    """What stands under "Have an agent do something"."""
    printed = (product.home.parent / "run.log").read_text().splitlines()
    [at] = [n for n, line in enumerate(printed) if line.startswith("Have an agent do something")]
    return printed[at + 1].strip()


def run_in_a_shell(line: str) -> subprocess.CompletedProcess[str]:
    """As pasted at the repository's root, in a shell that knows nothing of the product."""
    assert shutil.which("curl"), "no curl: install one"
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )


def test_the_printed_line_is_answered_with_a_run(product: Product) -> None:
    line = printed_line(product)

    done = run_in_a_shell(f"{line} --silent --show-error")

    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["agent"], run["status"], run["mode"]) == ("echo", "succeeded", "sync")
    assert run["output"] == {"text": "hello"}
    assert run["id"].startswith("run_")


def test_without_its_key_it_is_refused(product: Product) -> None:
    """The control: the run came by the key that the line makes."""
    line = printed_line(product).replace("Bearer $(", "Bearer nobody$(true ")

    done = run_in_a_shell(f"{line} --silent --show-error --write-out '%{{http_code}}'")

    assert done.stdout.endswith("401"), done.stdout
