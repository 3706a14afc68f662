"""A small API on the base classes: what every app under /v1 gets from `apps.common`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common import errors, health, metrics, openapi, problem
from apps.common.api.permissions import SIGNED_IN
from apps.common.api.views import ApiView
from apps.common.etag import etag_of
from apps.common.pagination import NEWEST_FIRST

handler400 = problem.bad_request
handler403 = problem.permission_denied
handler404 = problem.page_not_found
handler500 = problem.server_error


@dataclass
class Door:
    name: str = "front"
    tags: list[str] = field(default_factory=list)
    version: int = 7


@dataclass(frozen=True)
class Key:
    permissions: frozenset[str]
    rate_limit_key: str


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[None, Key] | None:
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            return None
        name, _, codes = header.removeprefix("Bearer ").partition(":")
        return None, Key(frozenset(codes.split(",")), f"acme:{name}")


class KeyScheme(OpenApiAuthenticationExtension):
    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class DoorBody(serializers.Serializer):
    name = serializers.CharField(max_length=20)
    tags = serializers.ListField(child=serializers.CharField(max_length=3), required=False)
    extra = serializers.JSONField(required=False)


class DoorView(ApiView):
    """A door."""

    authentication_classes = (KeyAuthentication,)
    required = {"GET": "doors.view", "PATCH": "doors.edit"}
    versioned = True

    @extend_schema(responses=DoorBody)
    def get(self, request: Request, name: str) -> Response:
        door = Door(name)
        return self.answer(DoorBody, door, version=etag_of(door.version))

    @extend_schema(request=DoorBody, responses=DoorBody)
    def patch(self, request: Request, name: str) -> Response:
        door = Door(name)
        self.precondition().check(etag_of(door.version))
        return self.answer(
            DoorBody, Door(self.read(DoorBody)["name"], version=8), version=etag_of(8)
        )

    def delete(self, request: Request, name: str) -> Response:
        return self.nothing()


class DoorsView(ApiView):
    authentication_classes = (KeyAuthentication,)
    required = {"GET": SIGNED_IN, "POST": "doors.edit"}
    list_keyset = NEWEST_FIRST

    @extend_schema(responses=openapi.page_of(DoorBody))
    def get(self, request: Request) -> Response:
        return Response({"results": [], "next": None})

    @extend_schema(
        request=DoorBody,
        responses={201: DoorBody},
        examples=[openapi.example("A door", {"name": "front"}, request=True)],
    )
    def post(self, request: Request) -> Response:
        return self.answer(DoorBody, Door(**self.read(DoorBody)), status=201)


class OpenView(ApiView):
    public = True

    @extend_schema(responses={200: None})
    def get(self, request: Request) -> Response:
        return Response({"ok": True})


RAISED: dict[str, Any] = {
    "conflict": lambda: errors.Conflict("The name is taken.", holder="prj_1"),
    "limited": lambda: errors.RateLimited(retry_after=12),
    "no-such-row": lambda: Http404("No Secret matches the given query."),
    "database": lambda: OperationalError("connection to 10.0.0.7 refused, password=hunter2"),
    "bug": lambda: ZeroDivisionError("secret internals"),
}


class RaisingView(ApiView):
    public = True

    @extend_schema(exclude=True)
    def get(self, request: Request, kind: str) -> Response:
        raise RAISED[kind]()


def page(request: HttpRequest, kind: str) -> HttpResponse:
    raise RAISED[kind]()


def fine(request: HttpRequest, token: str = "") -> HttpResponse:
    return HttpResponse("fine")


urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics_view),
    path("page/<kind>", page),
    path("invite/<token>", fine),
    path("v1/schema", openapi.schema_view),
    path("v1/docs", openapi.docs_view),
    path("v1/open", OpenView.as_view()),
    path("v1/plain/<kind>", page),
    path("v1/raise/<kind>", RaisingView.as_view()),
    path("v1/doors", DoorsView.as_view()),
    path("v1/doors/<str:name>", DoorView.as_view()),
]
