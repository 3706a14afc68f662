"""Counts a response's body while it arrives, and unpacks it without ever holding more than allowed.

httpx unpacks a chunk whole before anyone can count, and any number of encodings one on another: 64
KiB of twice-packed gzip become gigabytes. So exactly one layer of gzip is accepted (the only
encoding we ask for, RFC 9110 §12.5.3), and zlib is told how much it may put out.
"""

from __future__ import annotations

import zlib

import httpx

from apps.common.egress.errors import EgressFailed, EgressTooLarge

_GZIP_WINDOW = zlib.MAX_WBITS | 16
_UNPACKED = ("content-encoding", "content-length")


class BodyMeter:
    """Feeds on raw chunks and gives back plain ones; `limit` (bytes) holds for either."""

    def __init__(
        self, headers: httpx.Headers, *, limit: int | None, bodiless: bool = False
    ) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise EgressFailed("The remote server used a content encoding that was not asked for.")
        self._limit = limit
        self._raw = self._plain = 0
        self._unpacker = zlib.decompressobj(_GZIP_WINDOW) if "gzip" in encoding else None
        if not bodiless and (length := headers.get("content-length", "")).isdecimal():
            self._check(int(length))

    def plain_headers(self, headers: httpx.Headers) -> httpx.Headers:
        """The headers as they are true of the unpacked body."""
        if self._unpacker is None:
            return headers
        kept = [(key, value) for key, value in headers.multi_items() if key not in _UNPACKED]
        return httpx.Headers(kept)

    def feed(self, chunk: bytes) -> bytes:
        self._raw += len(chunk)
        self._check(self._raw)
        return chunk if self._unpacker is None else self._unpack(chunk)

    def finish(self) -> None:
        """Refuses a body that was cut short."""
        if self._unpacker is not None and self._raw and not self._unpacker.eof:
            raise EgressFailed("The remote server's compressed answer is incomplete.")

    def _check(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise EgressTooLarge(f"The answer is larger than {self._limit} bytes.")

    def _unpack(self, chunk: bytes) -> bytes:
        parts = []
        while chunk:
            part = self._unpack_some(chunk)
            parts.append(part)
            self._plain += len(part)
            self._check(self._plain)
            chunk = self._rest()
        return b"".join(parts)

    def _unpack_some(self, chunk: bytes) -> bytes:
        if self._unpacker is None or self._unpacker.eof:
            self._unpacker = zlib.decompressobj(_GZIP_WINDOW)
        room = 0 if self._limit is None else self._limit - self._plain + 1
        try:
            return self._unpacker.decompress(chunk, room)
        except zlib.error as error:
            raise EgressFailed("The remote server's compressed answer is damaged.") from error

    def _rest(self) -> bytes:
        """What follows a finished gzip member: another member (RFC 1952 §2.2)."""
        return b"" if self._unpacker is None else self._unpacker.unused_data
