"""One stream of lines from many processes: `web         | …`.

Everything goes to a log file in the home. Standard output gets the same lines as long as somebody
reads it: a full pipe must never stop the supervisor, so lines that nobody takes are counted and
dropped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Iterator, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

WIDTH = 11
# A pipe that `select` calls writable takes PIPE_BUF bytes at once (pipe(7)); more goes in parts.
PIPE_BUF = 4096
PATIENCE_SECONDS = 0.2


class Console:
    """Writes prefixed lines to a file descriptor and to `log`."""

    def __init__(self, log: Path, *, fd: int = 1) -> None:
        self.fd = fd
        self.dropped = 0
        self.closed = False
        self.logger = logging.Logger("mandate.run")
        self.logger.addHandler(RotatingFileHandler(log, maxBytes=20_000_000, backupCount=1))

    def say(self, name: str, text: str) -> None:
        """One line, or several, of one process."""
        self._put([f"{name:<{WIDTH}} | {line}" for line in text.splitlines() or [""]])

    def print(self, text: str) -> None:
        """Text without a prefix, such as what people copy from."""
        self._put([text])

    def _put(self, texts: Sequence[str]) -> None:
        """All of it to the log in one piece, and as few as go whole to whoever reads."""
        self.logger.info("%s", "\n".join(texts))
        for data, lines in _pieces(texts):
            self._print(data, lines)

    def _print(self, data: bytes, lines: int) -> None:
        if self.closed or not self._is_read():
            self.dropped += lines
            return
        if self.dropped:
            note = f"{'run':<{WIDTH}} | … {self.dropped} lines went to the log file only\n"
            data, self.dropped = note.encode() + data, 0
        with contextlib.suppress(BlockingIOError):
            self._write(data)

    def _is_read(self) -> bool:
        """Whether a write would not block; waits a moment unless the reader is known to be slow."""
        patience = 0 if self.dropped else PATIENCE_SECONDS
        return bool(select.select([], [self.fd], [], patience)[1])

    def _write(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), PIPE_BUF):
                if start and not self._is_read():
                    self.dropped += 1
                    return
                os.write(self.fd, data[start : start + PIPE_BUF])
        except BrokenPipeError:
            self.closed = True


def _pieces(texts: Sequence[str]) -> Iterator[tuple[bytes, int]]:
    """The texts joined into pieces that a pipe takes at once, and of how many each is."""
    piece, count = b"", 0
    for text in texts:
        data = f"{text}\n".encode()
        if count and len(piece) + len(data) > PIPE_BUF:
            yield piece, count
            piece, count = b"", 0
        piece, count = piece + data, count + 1
    yield piece, count
