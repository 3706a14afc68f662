"""Streams on a served product: cut and gone on at another process, and many of them at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.proof.client import Client
from tests.proof.crowd import wait_until
from tests.proof.following import Follower, Stream
from tests.proof.instance import Instance
from tests.proof.outside import Outside
from tests.proof.test_beside import ECHOES, TIMES, echo_times, p95
from tests.proof.test_short import owners_client
from tests.runs.following import Told

PARTS, PAUSE_MS, CUTS = 60, 60, 6
STREAMS = 200


def test_a_stream_cut_again_and_again_goes_on_at_another_process(
    small_instance: Instance, throwaway_org: Callable[[], Any], slug: str, seed: int
) -> None:
    client = owners_client(small_instance, throwaway_org())
    client.make_agent(slug, "teller", {"parts": PARTS, "pause_ms": PAUSE_MS})
    run = client.invoke(slug, {}, mode="async").body["id"]
    uncut = Follower(client, run)

    told, served, rng = [], [], random.Random(seed)
    for _ in range(CUTS):
        stream, process = at_another(small_instance, client, run, told, served)
        told += stream.first(rng.randrange(1, 8))
        stream.cut()
        served.append(process)
    told += list(Stream(client, run, after=last_of(told)).events())
    uncut.join(60)

    print(
        f"\nstreams: seed {seed}: {CUTS} cuts over {len(set(served))} processes,"
        f" {len(told)} events, {len(uncut.told)} uncut, {told == uncut.told}"
    )
    assert uncut.failure is None
    assert told == uncut.told, f"seed {seed}"
    assert [event.id for event in told] == [*range(1, len(told)), None]
    assert all(one != other for one, other in zip(served, served[1:], strict=False))
    words = "".join(event.data["text"] for event in told if event.kind == "delta")
    assert words == told[-1].data["output"]["text"]
    deltas = [event.id for event in told if event.kind == "delta"]
    assert len(deltas) > PARTS / 2  # told while it was said, not all at once


@pytest.mark.proof
def test_echo_is_as_fast_beside_200_open_streams(
    client: Client, outside: Outside, slug: str
) -> None:
    client.make_http_agent(slug, f"{outside.url}?gate_1={slug}", timeout_seconds=300)
    run = client.invoke(slug, {}, mode="async").body["id"]
    wait_until(lambda: len(outside.seen()) == 1, within=60, what="the run waits outside")
    echo_times(client, ECHOES // 3)
    before = echo_times(client, ECHOES // 2)
    followers = [Follower(client, run) for _ in range(STREAMS)]
    wait_until(lambda: all(f.told for f in followers), within=60, what="all of them follow")
    beside = p95(echo_times(client, ECHOES))
    still_open = sum(follower.is_alive() for follower in followers)
    outside.open(slug)
    for follower in followers:
        follower.join(60)
    idle = p95(before + echo_times(client, ECHOES // 2))
    print(
        f"\nbeside {STREAMS} open streams: echo p95 {beside * 1000:.1f} ms, idle"
        f" {idle * 1000:.1f} ms, ratio {beside / idle:.2f}"
    )

    assert still_open == STREAMS
    assert [follower.failure for follower in followers] == [None] * STREAMS
    ends = [(f.told[-1].kind, f.told[-1].data["status"]) for f in followers]
    assert set(ends) == {("end", "succeeded")}
    assert beside <= TIMES * idle


def last_of(told: list[Told]) -> int:
    return told[-1].id or 0 if told else 0


def at_another(
    instance: Instance, client: Client, run: str, told: list[Told], served: list[int]
) -> tuple[Stream, int]:
    """Go on at a web process that isn't the last one; which one answers is the kernel's choice."""
    for _ in range(200):
        stream = Stream(client, run, after=last_of(told))
        process = server_of(instance, stream.port)
        if process not in served[-1:]:
            return stream, process
        stream.cut()
    raise AssertionError("one process answers everything")


def server_of(instance: Instance, port: int) -> int:
    """The web process at the other end of a client's connection."""
    for process in instance.members("web"):
        if any(c.raddr and c.raddr.port == port for c in _connections(process)):
            return process.pid
    raise AssertionError(f"nobody serves port {port}")


def _connections(process: psutil.Process) -> list[Any]:
    return list(process.net_connections("tcp"))
