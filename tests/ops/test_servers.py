"""Real uvicorn and Celery under the supervisor: busy or not, nothing of them stays."""

import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from celery import Celery

from config.local.home import instance_env
from tests.ops.rig import closed_home, eventually, names_left, running

SCRIPT = Path(__file__).with_name("tiny_servers.py")


@pytest.fixture
def instance():
    with closed_home() as home, running(home, command=[sys.executable, str(SCRIPT)]) as served:
        yield served.wait_ready()


def keep_busy(instance) -> object:
    """Open a stream that never ends and start a task that never returns; gives the stream."""
    url = f"http://127.0.0.1:{instance.port}/stream"
    stream = urllib.request.urlopen(url, timeout=10)
    assert stream.read(1) == b"."
    started = instance.home.path / "task.pid"
    with Celery(broker=instance_env(instance.home.path)["REDIS_URL"]) as celery:
        celery.send_task("tiny.sleep", [str(started)], queue="default")
    eventually(lambda: started.exists() and started.read_text())
    return stream


def test_idle_servers_end_in_order_and_at_once(instance):
    family = instance.family()
    commands = " ".join(names_left(family))
    assert commands.count("import spawn_main") == 2  # uvicorn's workers

    instance.process.send_signal(signal.SIGTERM)

    assert instance.finish() == 0
    assert names_left(family) == []
    assert "is killed" not in instance.output


def test_an_open_stream_and_a_running_task_hold_nothing_up_for_long(instance):
    with keep_busy(instance):
        family = instance.family()

        instance.process.send_signal(signal.SIGTERM)

        assert instance.finish() == 0
    assert names_left(family) == []
    assert "web did not end" not in instance.output  # its own limit is shorter than ours


def test_a_killed_supervisor_leaves_no_busy_worker(instance):
    with keep_busy(instance):
        family = instance.family()

        instance.process.kill()
        instance.finish()

        eventually(lambda: not names_left(family), within=20)
