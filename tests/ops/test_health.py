"""The readiness question that supervisor and containers ask."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.health import why_not_ready
from config.local import ports

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environ(httpserver):
    return {"PORT": str(httpserver.port), "PUBLIC_URL": "https://mandate.example"}


def test_200_is_ready_and_asked_under_the_apexs_name(httpserver, environ):
    httpserver.expect_request("/readyz", headers={"Host": "mandate.example"}).respond_with_json({})

    assert why_not_ready(environ) == ""


def test_anything_else_says_what_is_missing(httpserver, environ):
    httpserver.expect_request("/readyz").respond_with_data('{"down": "valkey"}', status=503)

    assert why_not_ready(environ) == '/readyz answers 503 {"down": "valkey"}'


def test_nobody_there_is_not_ready():
    port = ports.pick(None)

    assert f"no answer on port {port}" in why_not_ready({"PORT": str(port)})


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_as_a_command_its_exit_code_is_the_answer(httpserver, environ, status, code):
    httpserver.expect_request("/readyz").respond_with_data("", status=status)

    done = subprocess.run(
        [sys.executable, "-m", "config.health"], cwd=ROOT, env=environ, capture_output=True
    )

    assert done.returncode == code
