"""Where checkpoints go when they leave the database, so that who rules it can't recall them.

A file by default; a receiver that is POSTed to, and a store of objects that are PUT once each (S3's
way, by a gateway or bucket that takes an Authorization header), if the installation names them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from apps.common import egress

_TEXT: Final = "text/plain; charset=utf-8"
_THERE_ALREADY: Final = 412
_NOTE_END: Final = re.compile("^— [^\n]+\n\n".encode(), re.MULTILINE)
_TAIL: Final = 64 * 1024
"""How far back the last note of a file ends at most: many times what one takes."""


class SinkFailed(Exception):
    """A copy could not be left there; it is tried again later."""


class SinkDiffers(SinkFailed):
    """Another checkpoint is there in its place: the log was set back, or somebody was first."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A checkpoint on its way: whose, which, and the signed note."""

    org: str
    org_id: str
    schema: str
    number: int
    month: str
    note: str


class Sink(Protocol):
    """A place outside the database. `put` may come twice with one copy; raises SinkFailed."""

    name: str
    is_local: bool
    """Whether a put is quick enough for the sweeper itself: nobody is called."""

    def put(self, copy: Copy) -> None: ...


class FileSink:
    """One file an org and month, only ever appended to: `<folder>/<org>/2027-01.txt`.

    Whole notes only: what a full disk or a fall of the machine left of one is cut off again.
    """

    name = "file"
    is_local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, copy: Copy) -> None:
        path = self._folder / copy.org / f"{copy.month}.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone_with(path) as handle:
                _append(handle, f"{copy.note}\n".encode())
        except OSError as error:
            raise SinkFailed(f"{path.name}: {error.strerror}") from error


@contextmanager
def _alone_with(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _append(handle: int, note: bytes) -> None:
    """Write a note whole or not at all."""
    size = _cut_torn(handle)
    try:
        if os.write(handle, note) != len(note):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _cut_torn(handle: int) -> int:
    """Cut off what stands behind the last whole note; the size that is left."""
    size = os.fstat(handle).st_size
    start = max(0, size - _TAIL)
    ends = [found.end() for found in _NOTE_END.finditer(os.pread(handle, _TAIL, start))]
    if start and not ends:
        raise OSError(errno.EINVAL, "what stands there are no checkpoints")
    whole = start + (ends[-1] if ends else 0)
    if whole < size:
        os.ftruncate(handle, whole)
    return whole


class HttpSink:
    """A receiver on the network, that every copy is POSTed to; an answer other than 2xx is none."""

    is_local = False

    def __init__(self, name: str, url: str, authorization: str) -> None:
        self.name, self._url, self._authorization = name, url, authorization

    def put(self, copy: Copy) -> None:
        named = {"Mandate-Org": copy.org, "Mandate-Checkpoint": str(copy.number)}
        _expect(self._call("POST", self._url, copy, named))

    def _call(
        self, method: str, url: str, copy: Copy, headers: Mapping[str, str]
    ) -> egress.EgressResponse:
        access = {"Authorization": self._authorization} if self._authorization else {}
        sent = {} if method == "GET" else {"Content-Type": _TEXT}
        try:
            return egress.request(
                method,
                url,
                scope=copy.schema,
                headers={**sent, **headers, **access},
                content=None if method == "GET" else copy.note.encode(),
                idempotency_key=f"{copy.org_id}-{copy.number}",
            )
        except (egress.EgressRefused, egress.EgressFailed) as error:
            raise SinkFailed(str(error)) from error


class ObjectSink(HttpSink):
    """A store of objects, one a checkpoint: `<url>/<org>/<org id>/<number>.txt`.

    It is asked to write each once only (RFC 9110 §13.1.2). One that is there already must be ours.
    """

    def put(self, copy: Copy) -> None:
        url = f"{self._url.rstrip('/')}/{copy.org}/{copy.org_id}/{copy.number:012}.txt"
        answer = self._call("PUT", url, copy, {"If-None-Match": "*"})
        if answer.status != _THERE_ALREADY:
            _expect(answer)
        elif _expect(self._call("GET", url, copy, {})).content != copy.note.encode():
            raise SinkDiffers(f"another checkpoint {copy.number} is there already")


def _expect(answer: egress.EgressResponse) -> egress.EgressResponse:
    if not answer.ok:
        raise SinkFailed(f"it answered {answer.status}")
    return answer


def configured_sinks() -> list[Sink]:
    """The places that this installation copies checkpoints to."""
    found: list[Sink] = []
    if settings.CHECKPOINT_FOLDER:
        found.append(FileSink(Path(settings.CHECKPOINT_FOLDER)))
    if url := settings.CHECKPOINT_WEBHOOK:
        found.append(HttpSink("webhook", url, settings.CHECKPOINT_WEBHOOK_AUTHORIZATION))
    if url := settings.CHECKPOINT_OBJECTS:
        found.append(ObjectSink("objects", url, settings.CHECKPOINT_OBJECTS_AUTHORIZATION))
    return found
