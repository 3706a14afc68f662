"""An answer while it arrives: metered, timed, and closed by whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx

from apps.common.egress.deadline import Deadline
from apps.common.egress.errors import EgressTimeout, EgressUnreachable
from apps.common.egress.transport import PinnedTransport


class EgressStream:
    """The parts of one answer, unpacked, as they come; what they fail with is ours.

    Closing it closes the connection, so that the other side notices and stops. To be used in a
    `with` block, or closed by hand.
    """

    def __init__(
        self, transport: PinnedTransport, response: httpx.Response, deadline: Deadline
    ) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._transport = transport
        self._response = response
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        """Give each part once; raises EgressFailed or a kind of it when no more can come."""
        with failures_told(self._deadline):
            yield from self._response.iter_raw()

    def close(self) -> None:
        try:
            self._response.close()
        finally:
            self._transport.close()

    def __enter__(self) -> EgressStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_stream(
    transport: PinnedTransport, request: httpx.Request, deadline: Deadline
) -> EgressStream:
    """Send one request and give its answer as soon as the headers are there."""
    try:
        with failures_told(deadline):
            response = transport.handle_request(request)
    except BaseException:
        transport.close()
        raise
    return EgressStream(transport, response, deadline)


@contextmanager
def failures_told(deadline: Deadline) -> Iterator[None]:
    """Turns httpx's and httpcore's failures into ours; leaves refusals as they are."""
    try:
        yield
    except (httpx.TransportError, httpcore.NetworkError, httpcore.TimeoutException) as error:
        if deadline.left() <= 0:
            raise EgressTimeout("The remote server did not answer in time.") from error
        raise EgressUnreachable(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    """Never the library's own text: it may quote addresses, and is of no use to most readers."""
    if isinstance(error, httpx.ConnectError | httpcore.ConnectError):
        return "No connection: the name, the port or the certificate is not as it should be."
    if isinstance(error, httpx.TimeoutException | httpcore.TimeoutException):
        return "The remote server did not accept the connection in time."
    return "The connection broke before the whole answer was there."
