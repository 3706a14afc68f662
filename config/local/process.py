"""Children that can't outlive their parent, on any path.

Every child leads a session of its own, so a Ctrl-C in the terminal reaches the supervisor alone and
a signal to the child's group reaches all of its descendants. On Linux the kernel also signals the
child when the parent dies, SIGKILL included (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
NOBODY = 65534

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(sig: signal.Signals) -> None:
    """Have the kernel send this process `sig` when its parent's thread ends; Linux only."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0)


def _tether(sig: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec; a parent that died in between leaves no orphan.

    What a shell starts in the background ignores SIGINT and SIGQUIT, and hands that down: Postgres
    or Celery would not hear that their parent has died.
    """
    parent = os.getpid()

    def tether() -> None:
        for ignored in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(ignored, signal.SIG_DFL)
        die_with_parent(sig)
        if os.getppid() != parent:
            os._exit(1)

    return tether


def as_nobody() -> dict[str, object]:
    """Popen arguments that drop root, because Postgres refuses to run as root; else none."""
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def spawn(
    argv: Sequence[str | Path],
    *,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | str = "/",
    death_signal: signal.Signals = signal.SIGTERM,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a child that leads its own session and gets `death_signal` when this process dies.

    Call it from the main thread: PR_SET_PDEATHSIG fires when the *thread* that forked ends, and
    `preexec_fn` is safe only while no other thread holds a lock.
    """
    child: subprocess.Popen[bytes] = subprocess.Popen(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if env is None else dict(env),
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_tether(death_signal),
        **(as_nobody() if unprivileged else {}),  # type: ignore[call-overload]
    )
    return child


def signal_group(process: subprocess.Popen[bytes], sig: signal.Signals) -> None:
    """Signal a child's whole process group, which may outlive its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sig)


def stop(process: subprocess.Popen[bytes], sig: signal.Signals, *, within: float) -> None:
    """End a child: ask its leader with `sig`, then SIGKILL whatever is left of its group."""
    if process.poll() is None:
        process.send_signal(sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(within)
    signal_group(process, signal.SIGKILL)
    process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists, a zombie excepted."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition: Callable[[], bool], *, within: float, interval: float = 0.02) -> bool:
    """Poll `condition` until it holds; whether it did within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True
