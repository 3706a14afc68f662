"""What Rego that was never judged finds, by every road: nothing of the server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from apps.policies.engine.pool import Pool
from tests.policies.engine.rego import PATIENT, engine, text

SECRET = "a-secret-of-the-server"
ROADS = [
    "opa.runtime()",
    "opa.runtime().env",
    "data",
    "input",
    "[v | walk(data, [_, v])]",
    "[v | walk(input, [_, v])]",
    "rego.metadata.chain()",
    'http.send({"method": "get", "url": "file:///proc/self/environ"})',
    'http.send({"method": "get", "url": "ADDRESS"})',
    'net.lookup_ip_addr("localhost")',
    "trace(json.marshal(data))",
    'sprintf("%v", [opa.runtime()])',
]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.setblocking(False)
        yield found


@pytest.mark.parametrize("road", ROADS)
def test_the_environment_and_the_network_are_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, road: str
) -> None:
    """Given a secret in the environment when the child starts, then no answer holds it."""
    monkeypatch.setenv("MANDATE_SECRET", SECRET)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    rule = road.replace("ADDRESS", address)
    rego = f"package mandate\n\nallow := true\n\ndeny contains json.marshal(x) if x := {rule}\n"
    pool = Pool(2)
    verdict = engine(pool, seconds=PATIENT).evaluate([text(rego)], {"seen": "by the policy"})
    pool.close()
    said = json.dumps([verdict.reasons, verdict.opinions[0].flaw])
    assert SECRET not in said and "MANDATE" not in said and "PATH" not in said
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_what_it_is_given_it_finds(pool: Pool) -> None:
    """The control: what is in the document comes out by the same road."""
    rego = "package mandate\n\nallow := true\n\ndeny contains json.marshal(x) if x := input\n"
    verdict = engine(pool, seconds=PATIENT).evaluate([text(rego)], {"seen": SECRET})
    assert SECRET in verdict.reasons[0]
