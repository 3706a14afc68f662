"""The API's description, OpenAPI 3.1: what every operation shares is said here, once.

A view says what is its own (`extend_schema` with request, responses, examples); from its class
attributes follow the rest: credentials, paging, ETags, idempotency, limits, and every error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, lru_cache
from hashlib import sha256
from inspect import cleandoc
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from apps.common import etag
from apps.common.errors import (
    BadRequest,
    Conflict,
    DomainError,
    Invalid,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from apps.common.pagination import DEFAULT_LIMIT, MAX_LIMIT
from apps.common.problem import (
    API_PREFIX,
    CONTENT_TYPE,
    TYPE_PREFIX,
    MethodNotAllowed,
    NotAcceptable,
    ServerError,
    TooLarge,
    UnsupportedMediaType,
)

_ALWAYS: Final = (
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RateLimited,
    ServerError,
    Unavailable,
)
_WITH_CREDENTIALS: Final = (Unauthenticated, PermissionDenied)
_WITH_BODY: Final = (Conflict, TooLarge, UnsupportedMediaType, Invalid)
_ALL: Final[tuple[type[DomainError], ...]] = (
    *_ALWAYS,
    *_WITH_CREDENTIALS,
    *_WITH_BODY,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
)
_CHANGES: Final = frozenset({"PUT", "PATCH", "DELETE"})

_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "Names this request in our logs; yours if you sent a well-formed one.",
        "schema": {"type": "string"},
    },
    "traceparent": {
        "description": "The span of this request (W3C Trace Context).",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of the limit, and the seconds until there is more.",
        "schema": {"type": "string", "examples": ['"default";r=599;t=60']},
    },
    "RateLimit-Policy": {
        "description": "The limit: quota and window in seconds.",
        "schema": {"type": "string", "examples": ['"default";q=600;w=60']},
    },
    "ETag": {"description": "The version of this resource.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}
_EVERYWHERE: Final = ("X-Request-Id", "traceparent", "RateLimit", "RateLimit-Policy")

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "instance", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "The kind, stable; for programs.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "This case, for people."},
        "code": {"type": "string", "description": "The last part of the type."},
        "instance": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "description": 'Which fields are wrong, with dotted paths; "" is the whole body.',
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "retry_after": {"type": "integer", "description": "Seconds."},
        "permission": {"type": "string", "description": "The permission that is missing."},
        "allows": {"type": "string", "description": "What that permission allows, in words."},
        "missing_in": {
            "enum": ["role", "scopes", "agent", "host"],
            "description": "What lacks it: the member's role, the key's scopes, any agent's key, "
            "or this host.",
        },
        "granted_by_roles": {
            "type": "array",
            "description": "The slugs of the roles that have it.",
            "items": {"type": "string"},
        },
        "ask": {
            "type": "array",
            "description": "Some of the members who can give such a role, by name.",
            "items": {"type": "string"},
        },
        "reason": {"type": "string", "description": "Why a run was refused; for programs."},
        "run": {
            "type": "string",
            "description": "The run that has the refusal on record, or is still at work.",
        },
        "parameter": {"type": "string", "description": "The parameter that can't be read."},
    },
    "additionalProperties": True,
}

_IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that you read; 412 if someone has changed the resource since.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: Final[dict[str, Any]] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that you have; 304 if it is still the present one.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeat a call safely: the same key and body give the same answer and have no "
    "second effect. Another body: 422. Still in flight: 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_PAGING: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "cursor",
        "in": "query",
        "description": "`next` of the page before; leave out for the first page.",
        "schema": {"type": "string"},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "Rows on a page, at most: large ones make it shorter, so `next` alone tells "
        "whether there are more.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
)


class ApiSchema(AutoSchema):
    """Describes a view by what its class says about itself."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """The view's own description, completed."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        operation["parameters"] = [*operation.get("parameters", []), *self._shared_parameters()]
        if not operation["parameters"]:
            del operation["parameters"]
        if self.view_says("public"):
            operation["security"] = [{}]
        self._complete(operation["responses"], has_body="requestBody" in operation)
        return operation

    def get_description(self) -> str:  # type: ignore[override]
        """The handler's own words or its view's, never those of the base class."""
        handler = getattr(self.view, self.method.lower(), None)
        return cleandoc(getattr(handler, "__doc__", None) or type(self.view).__doc__ or "")

    def get_operation_id(self) -> str:
        """A page of a list and one of its rows need two names."""
        name: str = super().get_operation_id()
        listed = self.method == "GET" and self.view_says("list_keyset")
        return f"{name.removesuffix('_retrieve')}_list" if listed else name

    def get_response_serializers(self) -> Any:
        """What a view doesn't say about DELETE is the usual: done, and nothing to say."""
        return {204: None} if self.method == "DELETE" else super().get_response_serializers()

    def view_says(self, name: str) -> Any:
        return getattr(self.view, name, None)

    def _shared_parameters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if self.method == "POST":
            found.append(_IDEMPOTENCY_KEY)
        if self.method == "GET" and self.view_says("list_keyset"):
            found.extend(_PAGING)
        if self.view_says("versioned"):
            found.extend([_IF_NONE_MATCH] if self.method == "GET" else [])
            required = bool(self.view_says("if_match_required"))
            found.extend([{**_IF_MATCH, "required": required}] if self.method in _CHANGES else [])
        return found

    def _complete(self, responses: dict[str, Any], *, has_body: bool) -> None:
        versioned = bool(self.view_says("versioned"))
        names = (*_EVERYWHERE, "ETag") if versioned and self.method != "DELETE" else _EVERYWHERE
        for response in responses.values():
            response.setdefault("headers", {}).update(_header_refs(names))
        if versioned and self.method == "GET":
            responses["304"] = {"description": "You have it.", "headers": _header_refs(names)}
        for kind in self._errors(has_body=has_body):
            responses.setdefault(
                str(kind.status), {"$ref": f"#/components/responses/{kind.__name__}"}
            )

    def _errors(self, *, has_body: bool) -> list[type[DomainError]]:
        kinds: list[type[DomainError]] = [*_ALWAYS]
        kinds += [] if self.view_says("public") else _WITH_CREDENTIALS
        kinds += _WITH_BODY if has_body or self.method != "GET" else [Invalid]
        kinds += [NotFound] if "{" in self.path else []
        if self.view_says("versioned") and self.method in _CHANGES:
            kinds.append(PreconditionFailed)
            kinds += [PreconditionRequired] if self.view_says("if_match_required") else []
        return kinds


@cache
def page_of(serializer: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The serializer of a page of these: for `extend_schema(responses=page_of(ProjectRead))`."""
    name = f"{serializer.__name__}Page"
    fields = {
        "results": serializer(many=True),
        "next": serializers.CharField(
            allow_null=True, help_text="The cursor of the next page; null on the last."
        ),
    }
    return type(name, (serializers.Serializer,), fields)


def example(name: str, value: Any, *, request: bool = False, status: int = 200) -> OpenApiExample:
    """An example of a body: of the answer with this status, or of the request."""
    if request:
        return OpenApiExample(name, value=value, request_only=True)
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status)])


def problems(path: str, *errors: DomainError) -> dict[tuple[int, str], OpenApiResponse]:
    """What may go wrong with one operation in its own way, each told by an example: for
    `extend_schema(responses={200: …, **problems(…)})`.
    """
    by_status = {error.status: [e for e in errors if e.status == error.status] for error in errors}
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            {"$ref": "#/components/schemas/Problem"},
            description=", or: ".join(error.title for error in same),
            examples=[OpenApiExample(e.title, value=_example_of(e, path)) for e in same],
        )
        for status, same in by_status.items()
    }


def lend_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: show with each answer what another one of the same kind shows, so that
    an example is written once; a page of a kind shows one of it.
    """
    answers = [*_answers(result)]
    known: dict[str, Any] = {}
    for answer in answers:
        for shown in answer.get("examples", {}).values():
            known.setdefault(answer["schema"].get("$ref", ""), shown["value"])
    pages = {f"{kind}Page": {"results": [value], "next": None} for kind, value in known.items()}
    for answer in answers:
        kind = answer.get("schema", {}).get("$ref")
        if "examples" not in answer and kind in (lent := known | pages):
            answer["examples"] = {"Example": {"value": lent[kind]}}
    return result


def _answers(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What each operation answers where all is well, in each media type."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    yield from response.get("content", {}).values()


def query(name: str, description: str, **options: Any) -> OpenApiParameter:
    """A query parameter, for `extend_schema(parameters=[…])`."""
    return OpenApiParameter(name, description=description, location="query", **options)


def only_api(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Preprocessing hook: describe /v1 and nothing else that happens to be made with DRF."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(API_PREFIX)]


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: what the operations refer to."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["headers"] = _HEADERS
    components["responses"] = {kind.__name__: _response(kind) for kind in _ALL}
    result["servers"] = [
        {"url": "/", "description": "This host; on the apex the org is the key's."}
    ]
    return result


@lru_cache(maxsize=4)
def _document(urlconf: str) -> tuple[bytes, str]:
    """Made once: URLs don't change while the process lives, and making it takes a while."""
    generator: Any = SchemaGenerator
    schema = generator(urlconf=urlconf).get_schema(request=None, public=True)
    body = json.dumps(schema, ensure_ascii=False).encode()
    return body, etag.etag_of(1, sha256(body).hexdigest()[:16])


@require_safe
def schema_view(request: HttpRequest) -> HttpResponse:
    """`/v1/schema`: open to all; the same on every host, for it names no tenant."""
    body, version = _document(getattr(request, "urlconf", None) or settings.ROOT_URLCONF)
    headers = {"ETag": version, "Cache-Control": "public, max-age=60"}
    if etag.is_fresh(request.headers.get("If-None-Match"), version):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(body, content_type="application/json", headers=headers)


@require_safe
def docs_view(request: HttpRequest) -> HttpResponse:
    """`/v1/docs`: the description as a page, from our own files and under the strict policy.

    It is rendered without the request: it shows nothing of the asker, and asks no database.
    """
    return HttpResponse(get_template("common/api_docs.html").render())


schema_view.open_to_all = docs_view.open_to_all = True  # type: ignore[attr-defined]


def _header_refs(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _response(kind: type[DomainError]) -> dict[str, Any]:
    names = {401: ("WWW-Authenticate",), 429: ("Retry-After",)}.get(kind.status, ())
    return {
        "description": kind.title,
        "headers": _header_refs((*_EVERYWHERE, *names)),
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": _example_of(_typical(kind)),
            }
        },
    }


def _typical(kind: type[DomainError]) -> DomainError:
    """An error of this kind as it mostly is."""
    if kind is Invalid:
        return Invalid.of("name", "This field is required.")
    if kind is RateLimited:
        return RateLimited(retry_after=12)
    if kind is PermissionDenied:
        return kind(
            "This needs the permission projects.edit: change and archive projects. Roles with it: "
            "Owner, Admin and Member; the key’s owner is Viewer. Ada Osei can change that.",
            permission="projects.edit",
            allows="Change and archive projects",
            missing_in="role",
            granted_by_roles=["owner", "admin", "member"],
            ask=["Ada Osei"],
        )
    return kind()


def _example_of(error: DomainError, path: str = "/v1/projects") -> dict[str, Any]:
    return {
        "type": f"{TYPE_PREFIX}{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "code": error.code,
        "instance": path,
        "request_id": "0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e11",
        **error.extra,
    }
