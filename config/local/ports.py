"""Ports on the loopback address that stay the same from one start to the next."""

from __future__ import annotations

import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral range (32768…), so that no outgoing connection sits on a remembered port.
RANGE = range(20000, 32000)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now; connections in TIME_WAIT don't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections there now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def pick(remembered: int | None) -> int:
    """The remembered port if it is still free, else a random free one."""
    if remembered is not None and is_free(remembered):
        return remembered
    for _ in range(200):
        port = secrets.choice(RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port between {RANGE.start} and {RANGE.stop} on {LOOPBACK}")
