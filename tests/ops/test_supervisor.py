"""The supervisor on real processes: who knows what, what comes back, and that nothing stays."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import psutil
import psycopg
import pytest
import redis

from config.local import ports
from config.local.home import instance_env, owner_env
from config.local.parts import Part
from tests.ops.rig import SCRIPT, Instance, closed_home, eventually, names_left, running

OWNER = "DATABASE_OWNER_URL"
SERVED = {"web", "worker", "provisioner", "beat"}


@pytest.fixture
def home():
    with closed_home() as path:
        yield path


def postgres_of(instance: Instance) -> psutil.Process:
    [found] = [p for p in psutil.Process(instance.process.pid).children() if p.name() == "postgres"]
    return found


def test_only_provisioner_and_setup_know_the_owners_login(home):
    with running(home, DJANGO_SETTINGS_MODULE="config.settings.dev") as instance:
        instance.wait_ready()

        known = {"web": instance.ask()["env"]}
        known |= {name: instance.seen(name)["env"] for name in ("setup", *(SERVED - {"web"}))}

        assert {name for name, env in known.items() if OWNER in env} == {"setup", "provisioner"}
        for name, env in known.items():
            assert env["MANDATE_PROCESS"] == name
            assert env["DATABASE_URL"] == instance_env(home)["DATABASE_URL"]
            assert "mandate_owner" not in env["DATABASE_URL"]
        assert known["provisioner"][OWNER] == owner_env(home)[OWNER]


def test_the_output_is_one_stream_and_ends_with_what_to_do_next(home):
    with running(home) as instance:
        printed = instance.wait_ready().output

    assert "setup       | migrated" in printed
    assert "web         | listening" in printed
    assert f"http://acme.localhost:{instance.port}" in printed
    assert f"MANDATE_HOME={home} .venv/bin/python manage.py apikey --org acme" in printed
    assert "owner@acme.example, admin@acme.example" in printed
    assert (home / "log/run.log").read_text().startswith(printed[:200])


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_supervisor_leaves_nothing_behind(home, sig):
    with running(home) as instance:
        family = instance.wait_ready().family()
        assert {p.name() for p in family} >= {"postgres", "valkey-server"}

        instance.process.send_signal(sig)

        assert instance.finish() == 0
        assert names_left(family) == []
        assert "Stopped." in instance.output
        assert not ports.is_listening(instance.port)


@pytest.mark.parametrize("to_make_alone", [True, False], ids=["SIGTERM to make", "Ctrl-C"])
def test_ending_make_ends_everything_below_it(home, tmp_path, to_make_alone):
    recipe = f"run:\n\t@exec {sys.executable} {SCRIPT}\n"
    (tmp_path / "Makefile").write_text(recipe)
    make = [shutil.which("make"), "-C", str(tmp_path), "run"]
    with running(home, command=make) as instance:
        family = instance.wait_ready().family()

        if to_make_alone:
            instance.process.send_signal(signal.SIGTERM)
        else:  # a terminal signals the foreground group: make and the supervisor, not its children
            os.killpg(instance.process.pid, signal.SIGINT)

        assert instance.finish() != 0
        eventually(lambda: not names_left(family))


@pytest.mark.parametrize("killed", ["supervisor", "make", "supervisor in the background"])
def test_not_even_a_kill_leaves_anything(home, tmp_path, killed):
    (tmp_path / "Makefile").write_text(f"run:\n\t@exec {sys.executable} {SCRIPT}\n")
    make = [shutil.which("make"), "-C", str(tmp_path), "run"]
    how = {"command": make if killed == "make" else None, "in_background": "back" in killed}
    with running(home, **how) as instance:
        family = instance.wait_ready().family()
        helper = instance.ask()["helper"]

        instance.process.kill()
        instance.finish()

        # A child's own child is for the child to end, as uvicorn and Celery do; this one does not.
        eventually(lambda: {p.pid for p in family if names_left([p])} <= {helper})
        if names_left([p for p in family if p.pid == helper]):
            os.kill(helper, signal.SIGKILL)


def test_who_does_not_go_in_time_is_killed_with_its_group(home):
    with running(home, STUBBORN="worker") as instance:
        instance.wait_ready().seen("worker")
        family = instance.family()

        instance.process.send_signal(signal.SIGTERM)

        assert instance.finish() == 0
        assert names_left(family) == []
        assert "worker did not end in 5 s and is killed" in instance.output


def test_what_dies_comes_back_with_its_data(home):
    with running(home) as instance:
        instance.wait_ready()
        with psycopg.connect(owner_env(home)[OWNER]) as owner:
            owner.execute("create table public.kept (n int)")
        before = {"web": instance.ask()["pid"], "postgres": postgres_of(instance).pid}
        helper = psutil.Process(instance.ask()["helper"])

        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        eventually(lambda: "Starting web again" in instance.output)
        eventually(lambda: ports.is_listening(instance.port))
        assert instance.ask()["pid"] != before["web"]
        assert names_left([helper]) == []  # a dead leader's group goes with it
        eventually(lambda: "Starting postgres again" in instance.output)
        eventually(lambda: _counts(home) == 0)


def _counts(home) -> int | None:
    try:
        with psycopg.connect(owner_env(home)[OWNER]) as owner:
            return owner.execute("select count(*) from public.kept").fetchone()[0]
    except psycopg.OperationalError:
        return None


def test_a_part_that_keeps_dying_waits_longer_each_time():
    class Dying:
        process = None

        def spawn(self):
            self.process = subprocess.Popen(
                [sys.executable, "-c", "exit(3)"], start_new_session=True
            )
            self.process.wait()

    part = Part("web", Dying())
    buried = []
    for _ in range(8):
        part.start()
        buried.append(part.bury())

    assert buried == [(3, d) for d in (0.5, 1, 2, 4, 8, 16, 30, 30)]


def test_a_second_supervisor_on_the_home_is_refused_and_harms_nothing(home):
    with running(home) as first:
        first.wait_ready()
        with running(home) as second:
            assert second.finish() == 1
            assert f"already served by process {first.process.pid}" in second.output
        assert first.ask()["env"]["PORT"] == str(first.port)


def test_two_instances_run_side_by_side(home):
    with closed_home() as other_home, running(home) as one, running(other_home) as other:
        first, second = one.wait_ready().ask()["env"], other.wait_ready().ask()["env"]

        for name in ("PORT", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MANDATE_KEK"):
            assert first[name] != second[name]
        one.process.send_signal(signal.SIGTERM)
        assert one.finish() == 0
        assert other.ask()["env"]["PORT"] == str(other.port)


def test_a_failing_setup_is_named_and_ends_it_before_anything_serves(home):
    with running(home, SETUP_CODE="3") as instance:
        assert instance.finish() == 1
        assert "setting up failed with exit code 3" in instance.output

    assert [name for name in SERVED if (home / f"{name}.seen").exists()] == []


def test_a_port_in_use_is_said_and_nothing_is_started(home):
    with socket.socket() as taker:
        taker.bind((ports.LOOPBACK, 0))
        taker.listen()
        port = taker.getsockname()[1]
        with running(home, port=port) as instance:
            assert instance.finish() == 1
            assert f"port {port} is in use; set PORT" in instance.output

    assert not (home / "postgres.json").exists()


def test_setting_up_is_left_out_while_code_and_cluster_are_the_same(home):
    set_up = []
    for settings in ("config.settings.dev", "config.settings.dev", "config.settings.other"):
        with running(home, DJANGO_SETTINGS_MODULE=settings) as instance:
            instance.wait_ready()
            set_up.append("setup       | migrated" in instance.output)

    assert set_up == [True, False, True]


def test_services_from_the_environment_replace_the_embedded_ones(home):
    with closed_home() as services_home, running(services_home) as services:
        services.wait_ready()
        given = {
            **{name: instance_env(services_home)[name] for name in ("DATABASE_URL", "REDIS_URL")},
            **owner_env(services_home),
        }
        with running(home, **given) as instance:
            env = instance.wait_ready().ask()["env"]
            names = {p.name() for p in instance.family()}

        assert {name: env[name] for name in ("DATABASE_URL", "REDIS_URL")} == {
            name: given[name] for name in ("DATABASE_URL", "REDIS_URL")
        }
        assert names.isdisjoint({"postgres", "valkey-server"})
        assert not (home / "postgres.json").exists()
        assert redis.Redis.from_url(given["REDIS_URL"]).ping() is True


@pytest.mark.parametrize("name", ["DATABASE_URL", OWNER])
def test_one_database_login_without_the_other_is_refused(home, name):
    with running(home, **{name: "postgresql://somebody@127.0.0.1:1/x"}) as instance:
        assert instance.finish() == 1
        assert "DATABASE_URL and DATABASE_OWNER_URL go together" in instance.output


def test_a_reader_that_stopped_reading_stops_nothing(home):
    reader, writer = os.pipe()
    with running(home, stdout=writer, NOISE="10000") as instance:
        eventually(lambda: ports.is_listening(instance.port))
        family = instance.family()

        instance.process.send_signal(signal.SIGTERM)

        assert instance.finish() == 0
        assert names_left(family) == []
    os.close(reader)
    os.close(writer)
    assert (home / "log/run.log").read_text().count("setup       | migrated") == 10000
