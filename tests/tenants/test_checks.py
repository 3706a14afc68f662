"""A process that mustn't serve as it is configured doesn't start."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest

GOOD = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "k7Hq2vX9-pLw4Zt8RmB3nYc6_sJd1FgAeUo5TiWxQzV0",
    "MANDATE_KEK": base64.b64encode(bytes(range(100, 132))).decode(),
    "DATABASE_URL": "postgresql://mandate_app@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PUBLIC_URL": "https://mandate.example",
    "MANDATE_PROCESS": "web",
    "EMAIL_HOST": "mail.example",
    "MANDATE_HOME": "/nonexistent",
    "PATH": os.environ["PATH"],
}
SERVE = "import config.asgi"


def serve(**changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**GOOD, **changes}
    return subprocess.run(
        [sys.executable, "-c", SERVE], env=environment, capture_output=True, text=True, check=False
    )


def test_a_good_configuration_serves() -> None:
    done = serve()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DATABASE_OWNER_URL": "postgresql://mandate_owner@127.0.0.1:1/none"}, "mandate.E001"),
        ({"SECRET_KEY": "change-me-change-me-change-me-change-me-change-me"}, "mandate.E003"),
        ({"SECRET_KEY": "short"}, "mandate.E003"),
        ({"MANDATE_KEK": base64.b64encode(bytes(range(32))).decode()}, "mandate.E004"),
        ({"MANDATE_KEK": base64.b64encode(bytes(32)).decode()}, "mandate.E004"),
        ({"PUBLIC_URL": "http://mandate.example"}, "mandate.E005"),
        ({"EMAIL_HOST": ""}, "mandate.E006"),
    ],
)
def test_a_contradiction_stops_the_server(changes: dict[str, str], code: str) -> None:
    done = serve(**changes)
    assert done.returncode != 0
    assert code in done.stderr


@pytest.mark.parametrize("process", ["web", "worker", "beat"])
def test_no_serving_process_knows_the_owner(process: str) -> None:
    owner = "postgresql://mandate_owner@127.0.0.1:1/none"
    done = serve(MANDATE_PROCESS=process, DATABASE_OWNER_URL=owner)
    assert "mandate.E001" in done.stderr


def test_the_provisioner_may_know_the_owner() -> None:
    owner = "postgresql://mandate_owner@127.0.0.1:1/none"
    done = serve(MANDATE_PROCESS="provisioner", DATABASE_OWNER_URL=owner)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"MANDATE_KEK": "not base64"}, "MANDATE_KEK"),
        ({"MANDATE_KEK_PREVIOUS": f"{GOOD['MANDATE_KEK']},short"}, "MANDATE_KEK_PREVIOUS"),
        ({"PORT": "http"}, "PORT"),
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"DATABASE_URL": "mysql://x/y"}, "postgresql://"),
        ({"SECURE_SSL_REDIRECT": "perhaps"}, "SECURE_SSL_REDIRECT"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(
    changes: dict[str, str], named: str
) -> None:
    done = serve(**changes)
    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr
    assert named in done.stderr


@pytest.mark.parametrize(
    ("process", "command"),
    [
        ("worker", ["-m", "celery", "-A", "config.celery", "worker", "-c", "1"]),
        ("beat", ["manage.py", "sweep"]),
    ],
)
def test_what_serves_no_requests_checks_too(process: str, command: list[str]) -> None:
    environment = {
        **GOOD,
        "MANDATE_PROCESS": process,
        "DATABASE_OWNER_URL": "postgresql://mandate_owner@127.0.0.1:1/none",
    }
    argv = [sys.executable, *command]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "mandate.E001" in done.stdout + done.stderr
