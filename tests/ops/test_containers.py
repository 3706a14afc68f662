"""docker-compose.yml and Dockerfile: valid, and agreeing with settings and supervisor."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config import processes
from config.defaults import DEFAULTS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = [name for name in processes.COMMANDS if name in SERVICES]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# What the settings read that a container must not or need not be told.
ONLY_ELSEWHERE = {"WEB_HOST", "QUEUE_DEFAULT", "QUEUE_PROVISIONER"}


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the Compose Specification's own JSON schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, str(path)], capture_output=True, text=True)


def test_compose_follows_the_specification(tmp_path):
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE_TEXT.replace("depends_on:", "depends_upon:"))

    assert validate(ROOT / "docker-compose.yml").returncode == 0
    assert "depends_upon" in validate(broken).stdout


def test_every_process_of_the_supervisor_is_a_service_of_one_image():
    assert list(processes.COMMANDS) == OURS
    assert {SERVICES[name]["image"] for name in OURS} == {"mandate:${MANDATE_VERSION:-latest}"}
    assert {name: SERVICES[name]["command"] for name in OURS} == {name: [name] for name in OURS}


def test_the_owners_login_goes_to_setup_and_provisioner_alone():
    told = {name for name in OURS if "DATABASE_OWNER_URL" in SERVICES[name]["environment"]}

    assert told == set(processes.OWNER_PROCESSES)
    for name in set(OURS) - told:
        assert "OWNER" not in str(SERVICES[name]["environment"])


def test_nothing_serves_before_setup_has_succeeded():
    for name in set(OURS) - {"setup"}:
        assert SERVICES[name]["depends_on"] == {
            "setup": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "valkey": {"condition": "service_healthy"},
        }


def test_a_shared_value_is_written_down_once():
    """Compose names shared values and never repeats them, so the file is their only place."""
    code = "\n".join(line for line in COMPOSE_TEXT.splitlines() if not line.strip().startswith("#"))
    named = set(re.findall(r"\$\{([A-Z_]+)", code))

    assert {name for name in DEFAULTS if name.startswith("POSTGRES_")} | {"PORT"} <= named
    for name, default in re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", code):
        assert name not in DEFAULTS, f"{name} gets a second default: {default}"
    literals = re.sub(r"\$\{[^}]+\}", "", code)
    for value in ("mandate_app", "mandate_owner", ":8000", "max_connections=200", "=512"):
        assert value not in literals


def test_every_setting_can_be_given_to_a_container():
    read = set()
    for path in (ROOT / "config").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_env = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("env.")
            if is_env and node.args and isinstance(node.args[0], ast.Constant):
                read |= set(re.findall(r"^[A-Z_]+$", str(node.args[0].value)))
    assert len(read) > 10

    assert read - set(SERVICES["web"]["environment"]) - ONLY_ELSEWHERE == set()


def test_no_secret_is_written_in_compose():
    for name, text in re.findall(r"(\w*(?:PASSWORD|SECRET|TOKEN|KEK)\w*): (.+)", COMPOSE_TEXT):
        assert re.match(r"\$\{\w+:[?-]\}", text), f"{name}: {text}"


@pytest.mark.parametrize(
    ("profile", "service"), [("opa", "opa"), ("openbao", "openbao"), ("mail", "mail")]
)
def test_what_is_optional_starts_only_by_its_profile(profile, service):
    assert SERVICES[service]["profiles"] == [profile]
    assert {name for name, spec in SERVICES.items() if "profiles" not in spec} == {
        *OURS,
        "postgres",
        "valkey",
    }


def test_nothing_but_web_and_the_mail_catcher_is_published_and_that_on_loopback():
    published = {name: spec["ports"] for name, spec in SERVICES.items() if "ports" in spec}

    assert published == {
        "web": ["127.0.0.1:${PORT}:${PORT}"],
        "mail": ["127.0.0.1:8025:8025"],
    }


def test_mounted_files_exist():
    mounts = [mount.split(":")[0] for mount in SERVICES["postgres"]["volumes"]]

    assert [name for name in mounts if name.startswith(".")] == [
        "./config/postgres/roles.sql",
        "./config/postgres/initdb.sh",
    ]
    for name in mounts:
        assert not name.startswith(".") or (ROOT / name).is_file()


def stages() -> dict[str, list[str]]:
    """Each stage of the Dockerfile with its instructions, continued lines joined."""
    found: dict[str, list[str]] = {}
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = current = []
        elif found:
            current.append(line)
    return found


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_special():
    build, runtime = stages()["build"], stages()["runtime"]
    words = {line.split()[0]: line for line in runtime}

    assert words["USER"] == "USER 10001:10001"
    assert words["ENTRYPOINT"] == 'ENTRYPOINT ["python", "-m", "config.processes"]'
    assert words["CMD"] == 'CMD ["web"]'
    assert any("collectstatic" in line for line in build)
    assert any("uv pip sync" in line for line in build)
    # Nothing that builds goes on: no package installer, and copies come from the build stage only.
    assert [line for line in runtime if re.search(r"\b(pip|uv|apt-get)\b", line)] == []
    assert all("--from=build" in line for line in runtime if line.startswith("COPY"))
    # What runs can't be changed by who runs it.
    assert [line for line in runtime if "--chown" in line] == []


def test_the_image_says_when_it_is_ready():
    [check] = [line for line in stages()["runtime"] if line.startswith("HEALTHCHECK")]

    assert check.endswith('CMD ["python", "-m", "config.health"]')
    assert "healthcheck" not in SERVICES["web"]
    for name in set(OURS) - {"web"}:
        assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_the_image_is_built_from_a_list_of_what_it_needs():
    listed = (ROOT / ".dockerignore").read_text().split()

    assert listed[listed.index("*")] == "*"
    for name in re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE):
        assert (ROOT / name).exists(), name
    assert not any(name.startswith("!") and "env" in name for name in listed)


def test_tools_have_one_version_everywhere():
    versions = re.findall(
        r"UV_VERSION\s*:?=\s*([\d.]+)", DOCKERFILE + (ROOT / "Makefile").read_text()
    )

    assert len(versions) == 2
    assert len(set(versions)) == 1
