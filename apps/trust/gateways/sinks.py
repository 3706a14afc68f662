"""Where checkpoints go when they leave the database, so that who rules it can't recall them.

A file by default; a receiver that is POSTed to, and a store of objects that are PUT once each (S3's
way, by a gateway or bucket that takes an Authorization header), if the installation names them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from apps.common import egress

_TEXT: Final = "text/plain; charset=utf-8"
_THERE_ALREADY: Final = 412


class SinkFailed(Exception):
    """A copy could not be left there; it is tried again later."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A checkpoint on its way: whose, which, and the signed note."""

    org: str
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
    """One file an org and month, only ever appended to: `<folder>/<org>/2027-01.txt`."""

    name = "file"
    is_local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, copy: Copy) -> None:
        path = self._folder / copy.org / f"{copy.month}.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, f"{copy.note}\n".encode())
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise SinkFailed(f"{path.name}: {error.strerror}") from error


class HttpSink:
    """A receiver on the network; an answer other than 2xx is none."""

    is_local = False

    def __init__(self, name: str, method: str, url: str, authorization: str) -> None:
        self.name, self._method, self._url = name, method, url.rstrip("/")
        self._authorization = authorization

    def put(self, copy: Copy) -> None:
        try:
            answer = egress.request(
                self._method,
                self._address(copy),
                scope=copy.schema,
                headers=self._headers(copy),
                content=copy.note.encode(),
                idempotency_key=f"{copy.org}-{copy.number}",
            )
        except (egress.EgressRefused, egress.EgressFailed) as error:
            raise SinkFailed(str(error)) from error
        if not (200 <= answer.status < 300 or self._was_there(answer.status)):
            raise SinkFailed(f"it answered {answer.status}")

    def _address(self, copy: Copy) -> str:
        """An object has an address of its own; a receiver has one for all."""
        return f"{self._url}/{copy.org}/{copy.number:012}.txt" if self._is_store else self._url

    def _headers(self, copy: Copy) -> Mapping[str, str]:
        """A store is asked to write each object once only (RFC 9110 §13.1.2)."""
        named = {"Mandate-Org": copy.org, "Mandate-Checkpoint": str(copy.number)}
        once = {"If-None-Match": "*"} if self._is_store else named
        asked = {"Authorization": self._authorization} if self._authorization else {}
        return {"Content-Type": _TEXT, **once, **asked}

    def _was_there(self, status: int) -> bool:
        return self._is_store and status == _THERE_ALREADY

    @property
    def _is_store(self) -> bool:
        return self._method == "PUT"


def configured_sinks() -> list[Sink]:
    """The places that this installation copies checkpoints to."""
    found: list[Sink] = []
    if settings.CHECKPOINT_FOLDER:
        found.append(FileSink(Path(settings.CHECKPOINT_FOLDER)))
    access = settings.CHECKPOINT_AUTHORIZATION
    for name, method, url in (
        ("webhook", "POST", settings.CHECKPOINT_WEBHOOK),
        ("objects", "PUT", settings.CHECKPOINT_OBJECTS),
    ):
        if url:
            found.append(HttpSink(name, method, url, access))
    return found
