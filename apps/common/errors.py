"""The errors that a service may raise, and all that an interface needs to answer them.

A `DomainError` knows its stable `code`, its `title` and its HTTP `status`, but nothing of
requests: services raise it, one handler (`apps.common.problem`) turns it into problem+json or a
page. So no view needs a try/except ladder, and JSON and HTML can't answer differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypedDict


class FieldError(TypedDict):
    """One thing wrong with one field; `field` is a dotted path, "" means the body as a whole."""

    field: str
    message: str


class DomainError(Exception):
    """Refuses an operation for a reason that its caller may know.

    `detail` is a sentence for a person and `extra` becomes members of the problem document (RFC
    9457 §3.2), so neither may ever hold a secret or another tenant's data.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request could not be carried out"
    status: ClassVar[int] = 400

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra: dict[str, Any] = extra


class BadRequest(DomainError):
    """The request can't be read at all: not JSON, a broken cursor, a header out of its grammar."""

    code = "bad_request"
    title = "The request is malformed"
    status = 400


class Unauthenticated(DomainError):
    """Nobody is signed in, or the key is no good; never says which of the two."""

    code = "unauthenticated"
    title = "Valid credentials are required"
    status = 401


class PermissionDenied(DomainError):
    """The principal is known and may not do this."""

    code = "permission_denied"
    title = "You may not do this"
    status = 403


class NotFound(DomainError):
    """There is no such thing here; another tenant's object is answered in the same words."""

    code = "not_found"
    title = "Not found"
    status = 404


class Conflict(DomainError):
    """The request contradicts the present state: a name taken, a transition not allowed."""

    code = "conflict"
    title = "The request conflicts with the present state"
    status = 409


class PreconditionFailed(DomainError):
    """The version named by If-Match is not the present one (RFC 9110 §15.5.13)."""

    code = "precondition_failed"
    title = "The resource has changed since it was read"
    status = 412


class Invalid(DomainError):
    """The request was read but its values won't do; `errors` says which and why."""

    code = "invalid"
    title = "Some values are not valid"
    status = 422

    def __init__(
        self, detail: str = "", *, errors: Iterable[FieldError] = (), **extra: Any
    ) -> None:
        super().__init__(detail, errors=list(errors), **extra)

    @classmethod
    def of(cls, field: str, message: str) -> Invalid:
        """The commonest case: one field, one reason."""
        return cls(message, errors=[FieldError(field=field, message=message)])

    @property
    def by_field(self) -> Mapping[str, list[str]]:
        """The same errors as Django's forms want them, so a form can show a service's refusal."""
        grouped: dict[str, list[str]] = {}
        for error in self.extra["errors"]:
            grouped.setdefault(error["field"], []).append(error["message"])
        return grouped


class PreconditionRequired(DomainError):
    """A change must say which version was read: no If-Match was sent (RFC 6585 §3)."""

    code = "precondition_required"
    title = "An If-Match header is required"
    status = 428


class RateLimited(DomainError):
    """Too many requests; `retry_after` is in whole seconds (RFC 6585 §4)."""

    code = "rate_limited"
    title = "Too many requests"
    status = 429

    def __init__(self, detail: str = "", *, retry_after: int, **extra: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extra)


class Unavailable(DomainError):
    """A part that the request needs is down; the same request may succeed later."""

    code = "unavailable"
    title = "The service is not available right now"
    status = 503
