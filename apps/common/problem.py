"""Answers to what went wrong: problem+json under /v1 (RFC 9457), a page or a partial elsewhere.

Everything that can go wrong is first made a `DomainError`, ours or the framework's, so there is
one list of codes. What has no meaning to a client stays a 500 without a word about its cause.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.core import exceptions as django_errors
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import select_template
from django.utils.html import format_html
from django.utils.text import slugify
from django_fsm import ConcurrentTransition, TransitionNotAllowed
from rest_framework import exceptions as drf_errors

from apps.common import errors
from apps.common.errors import DomainError, FieldError

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:mandate:problem:"
API_PREFIX: Final = "/v1/"
CHALLENGE: Final = 'Bearer realm="mandate"'


class MethodNotAllowed(DomainError):
    code = "method_not_allowed"
    title = "This method is not allowed here"
    status = 405


class NotAcceptable(DomainError):
    code = "not_acceptable"
    title = "Nothing of what you accept can be given"
    status = 406


class TooLarge(DomainError):
    code = "too_large"
    title = "The request body is too large"
    status = 413


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    title = "The request body must be JSON"
    status = 415


class ServerError(DomainError):
    code = "server_error"
    title = "Something went wrong on our side"
    status = 500


_BY_STATUS: Final[dict[int, type[DomainError]]] = {
    kind.status: kind
    for kind in (
        errors.BadRequest,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.NotFound,
        MethodNotAllowed,
        NotAcceptable,
        errors.Conflict,
        errors.PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        errors.PreconditionRequired,
        ServerError,
        errors.Unavailable,
    )
}

_FRAMEWORK: Final[list[tuple[type[Exception], type[DomainError]]]] = [
    (Http404, errors.NotFound),
    (django_errors.PermissionDenied, errors.PermissionDenied),
    (django_errors.RequestDataTooBig, TooLarge),
    (django_errors.SuspiciousOperation, errors.BadRequest),
    (TransitionNotAllowed, errors.Conflict),
    (ConcurrentTransition, errors.Conflict),
    (OperationalError, errors.Unavailable),
    (InterfaceError, errors.Unavailable),
]


def as_domain_error(error: BaseException) -> DomainError | None:
    """Translate an exception into one of ours; None if it means nothing to a client.

    The texts of framework errors are dropped: they name models, hosts and fields.
    """
    if isinstance(error, DomainError):
        return error
    if isinstance(error, drf_errors.APIException):
        return _from_drf(error)
    if isinstance(error, django_errors.ValidationError):
        return errors.Invalid(errors=list(_django_field_errors(error)))
    return next((ours() for theirs, ours in _FRAMEWORK if isinstance(error, theirs)), None)


def from_status(status: int) -> DomainError:
    """Give an answer that has only a status the rest of a problem."""
    if kind := _BY_STATUS.get(status):
        return kind()
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    code = slugify(phrase).replace("-", "_")
    members = {"code": code, "title": phrase, "status": status}
    unnamed: type[DomainError] = type("StatusError", (DomainError,), members)
    return unnamed()


def document(error: DomainError, request: HttpRequest) -> dict[str, Any]:
    """Write the problem details object; the members of RFC 9457 can't be overwritten by `extra`."""
    return {
        **error.extra,
        "type": f"{TYPE_PREFIX}{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "code": error.code,
        "instance": request.path,
        "request_id": getattr(request, "id", None),
    }


def respond(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Answer an error in the form that its asker reads; middleware may call it too."""
    answer = as_json(request, error) if is_api(request) else as_page(request, error)
    for name, value in _headers(error).items():
        answer[name] = value
    return answer


def is_api(request: HttpRequest) -> bool:
    """Whether a program is asking."""
    return f"{request.path}/".startswith(API_PREFIX)


def as_json(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The problem as a document; never kept by a cache, for it is about one request."""
    answer = JsonResponse(
        document(error, request),
        status=error.status,
        content_type=CONTENT_TYPE,
        encoder=DjangoJSONEncoder,
    )
    answer["Cache-Control"] = "no-store"
    return answer


def as_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The problem as a page, or for htmx as its part `problem`, which it puts into `#problem`.

    A 5xx page is rendered without the request, for a context processor may need the very thing
    that is down.
    """
    htmx: Any = getattr(request, "htmx", None)
    partial = bool(htmx) and not htmx.boosted
    pages = [f"errors/{error.code}.html", f"{error.status}.html", "error.html"]
    names = ["error.html#problem"] if partial else pages
    told = document(error, request)
    context = {"problem": told, "impersonation": getattr(request, "impersonation", None)}
    try:
        template = select_template(names)
        html = template.render(context, request if error.status < 500 else None)
    except TemplateDoesNotExist:
        html = format_html('<p role="alert">{}</p>', told["detail"])
    answer = HttpResponse(html, status=error.status)
    answer["Vary"] = "HX-Request"
    if partial:
        answer["HX-Retarget"], answer["HX-Reswap"] = "#problem", "innerHTML"
    return answer


def drf_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """DRF's `EXCEPTION_HANDLER`: what it can't name goes on as a 500, logged by Django."""
    ours = as_domain_error(error)
    return None if ours is None else respond(context["request"]._request, ours)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler400`."""
    return respond(request, as_domain_error(exception) or errors.BadRequest())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler403`."""
    return respond(request, errors.PermissionDenied())


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404`."""
    return respond(request, errors.NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: says that it is our fault and under which id to ask, and nothing else.

    What a middleware meets never passes ErrorMiddleware, so a database that is down is told apart
    here: it is 503 wherever it was missed.
    """
    error = sys.exception()
    ours = as_domain_error(error) if error else None
    return respond(request, ours if isinstance(ours, errors.Unavailable) else ServerError())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """`CSRF_FAILURE_VIEW`."""
    return respond(request, errors.PermissionDenied("Reload the page and try again."))


def must_be_rewritten(request: HttpRequest, answer: HttpResponseBase) -> bool:
    """Whether an error was answered past this module: by the framework, or its debug pages."""
    if answer.status_code < 400:
        return False
    if is_api(request):
        return answer.headers.get("Content-Type", "").split(";")[0] != CONTENT_TYPE
    unrouted = getattr(request, "resolver_match", None) is None
    return settings.DEBUG and answer.status_code == 404 and unrouted


def _headers(error: DomainError) -> dict[str, str]:
    if "retry_after" in error.extra:
        return {"Retry-After": str(error.extra["retry_after"])}
    if error.status == 401:
        return {"WWW-Authenticate": CHALLENGE}
    return {}


def _from_drf(error: drf_errors.APIException) -> DomainError:
    if isinstance(error, drf_errors.ValidationError):
        return errors.Invalid(errors=list(_drf_field_errors(error.detail)))
    if isinstance(error, drf_errors.NotAuthenticated | drf_errors.AuthenticationFailed):
        return errors.Unauthenticated()
    if isinstance(error, drf_errors.Throttled):
        return errors.RateLimited(retry_after=int(getattr(error, "wait", None) or 1))
    ours = from_status(error.status_code)
    if isinstance(error, drf_errors.ParseError):
        ours.detail = str(error.detail)
    return ours


def _drf_field_errors(detail: Any, path: tuple[str, ...] = ()) -> Iterator[FieldError]:
    """Flatten DRF's nested errors into dotted paths: `items.0.name`."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            step = () if key == "non_field_errors" else (str(key),)
            yield from _drf_field_errors(value, (*path, *step))
    elif isinstance(detail, list):
        nested = any(isinstance(item, dict | list) for item in detail)
        for index, item in enumerate(detail):
            yield from _drf_field_errors(item, (*path, str(index)) if nested else path)
    else:
        yield FieldError(field=".".join(path), message=str(detail))


def _django_field_errors(error: django_errors.ValidationError) -> Iterator[FieldError]:
    if not hasattr(error, "error_dict"):
        yield from (FieldError(field="", message=message) for message in error.messages)
        return
    for field, messages in error.message_dict.items():
        name = "" if field == django_errors.NON_FIELD_ERRORS else field
        yield from (FieldError(field=name, message=message) for message in messages)
