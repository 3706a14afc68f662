"""What an outgoing request can end in. None of the texts names an address that a name resolved to.

Otherwise whoever may enter a URL could read the internal DNS through our error messages; the
operator finds the address in the log.
"""

from __future__ import annotations

from typing import Any

from apps.common.errors import DomainError


class EgressRefused(DomainError):
    """The request was not sent: where it leads, or how it is written, is not allowed."""

    code = "egress_refused"
    title = "This address may not be called"
    status = 422


class EgressFailed(DomainError):
    """The request was allowed, and the other side did not answer as it should."""

    code = "egress_failed"
    title = "The remote server did not answer properly"
    status = 502


class EgressUnreachable(EgressFailed):
    """No answer was had: no such name, no connection, a bad certificate, a broken reply."""

    code = "egress_unreachable"
    title = "The remote server could not be reached"


class EgressTooLarge(EgressFailed):
    """The body exceeds the cap, as sent or after decompression; nothing of it is kept."""

    code = "egress_too_large"
    title = "The remote server sent too much"


class EgressTimeout(EgressFailed):
    """The time for the whole request ran out."""

    code = "egress_timeout"
    title = "The remote server took too long"
    status = 504


class _Later(EgressFailed):
    def __init__(self, detail: str, *, retry_after: int, **extra: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extra)


class EgressSuspended(_Later):
    """The host failed so often that it is left alone; `retry_after` is in whole seconds."""

    code = "egress_suspended"
    title = "The remote server is failing and is left alone for a while"
    status = 503


class EgressThrottled(_Later):
    """The host was called too often; `retry_after` is in whole seconds."""

    code = "egress_throttled"
    title = "The remote server is being called too often"
    status = 429
