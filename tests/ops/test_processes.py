"""The commands that supervisor and containers share, and the values that settings share too."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config import defaults, processes
from config.local import welcome

ROOT = Path(__file__).resolve().parents[2]


def test_a_shared_value_comes_from_the_file_unless_the_environment_has_one():
    assert defaults.shared("PORT", {}) == "8000"
    assert defaults.shared("PORT", {"PORT": ""}) == "8000"
    assert defaults.shared("PORT", {"PORT": "9000"}) == "9000"
    with pytest.raises(KeyError):
        defaults.shared("NOT_SHARED", {})


def test_the_file_is_plain_enough_for_compose_and_holds_no_secret():
    for line in defaults.PATH.read_text().splitlines():
        assert re.fullmatch(r"|#.*|[A-Z_]+=[a-z0-9_]+", line), line
    assert [
        name for name in defaults.DEFAULTS if re.search("SECRET|PASSWORD|KEK|TOKEN", name)
    ] == []


def test_roles_sql_names_the_roles_and_the_owner_of_the_file():
    sql = (ROOT / "config/postgres/roles.sql").read_text()
    named = set(re.findall(r"\bmandate_[a-z]+\b", sql))

    assert named == {defaults.DEFAULTS[f"POSTGRES_{role}_ROLE"] for role in ("OWNER", "APP")}


def test_each_process_is_the_command_that_its_settings_say():
    environ = {"PORT": "9000", "WEB_WORKERS": "3", "WEB_HOST": "0.0.0.0", "MANDATE_HOME": "/h"}
    commands = {name: make(environ) for name, make in processes.COMMANDS.items()}

    assert list(commands) == ["setup", "web", "worker", "provisioner", "beat"]
    text = {name: " ".join(command[1:]) for name, command in commands.items()}
    assert text["web"].startswith(
        "-m uvicorn config.asgi:application --host 0.0.0.0 --port 9000 --workers 3"
    )
    assert "--no-server-header" in text["web"]
    assert "--queues default --concurrency 2" in text["worker"]
    assert "--queues provisioner --concurrency 1" in text["provisioner"]
    assert text["beat"].endswith("manage.py sweep")
    assert text["setup"].endswith("manage.py setup")


@pytest.mark.parametrize(
    ("environ", "flag"),
    [({}, "--no-proxy-headers"), ({"FORWARDED_ALLOW_IPS": "10.0.0.1"}, "--proxy-headers")],
)
def test_forwarded_headers_count_only_from_a_named_proxy(environ, flag):
    assert [part for part in processes.web(environ) if "proxy-headers" in part] == [flag]


def test_an_unknown_process_is_refused_with_the_names_that_exist():
    with pytest.raises(SystemExit, match="{setup|web|worker|provisioner|beat}".replace("|", r"\|")):
        processes.main(["mystery"])


def test_becoming_a_process_keeps_the_pid_and_says_who_it_is(monkeypatch, tmp_path):
    became = []
    monkeypatch.setattr(os, "execve", lambda *args: became.append(args))
    monkeypatch.setenv("MANDATE_HOME", str(tmp_path / "home"))

    processes.main(["beat"])

    [(program, command, environ)] = became
    assert (program, command) == (sys.executable, processes.beat(environ))
    assert environ["MANDATE_PROCESS"] == "beat"
    assert (tmp_path / "home/log").is_dir()


def test_fresh_secrets_satisfy_what_compose_asks_for_and_never_repeat():
    printed = [
        subprocess.run(
            [sys.executable, "-m", "config.local", "secrets"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    first, second = (defaults.parse(text) for text in printed)

    assert set(first) == {
        *("SECRET_KEY", "MANDATE_KEK", "REDIS_PASSWORD"),
        *("POSTGRES_PASSWORD", "MANDATE_OWNER_PASSWORD", "MANDATE_APP_PASSWORD"),
    }
    assert set(first.values()).isdisjoint(second.values())
    # They go into URLs and a shell as they are.
    assert all(re.fullmatch(r"[A-Za-z0-9_+/=-]+", value) for value in first.values())
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", first[n]) for n in first if "PASSWORD" in n)


def test_the_welcome_shows_demo_logins_in_dev_alone():
    instance = {"PUBLIC_URL": "https://mandate.example", "MANDATE_HOME": "/srv/a home"}

    dev = welcome.text(instance, "config.settings.dev")
    production = welcome.text(instance, "config.settings.production")

    assert "https://acme.mandate.example" in dev
    assert "MANDATE_HOME='/srv/a home' .venv/bin/python" in dev
    assert welcome.DEMO_PASSWORD in dev
    assert welcome.DEMO_PASSWORD not in production
    assert "https://mandate.example" in production


def test_every_target_explains_itself_and_can_be_made():
    names = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    listed = {line.split()[0] for line in names.splitlines()}

    assert {"run", "test", "check", "proof", "vectors", "lock", "clean"} <= listed
    for target in listed:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_ci_is_an_executable_script_that_calls_the_same_commands():
    script = ROOT / ".ci/run"

    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text
    for command in ("make check", "make test", "make vectors VECTORS=../shared/vectors"):
        assert command in text
