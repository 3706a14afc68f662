"""The base of every view under /v1: serializer, service, serializer, and nothing else.

    class ProjectsView(ApiView):
        required = {"GET": "projects.view", "POST": "projects.edit"}

        def post(self, request: Request) -> Response:
            data = self.read(ProjectWrite)
            project = create_project(**data, actor=request.auth.actor, at=timezone.now())
            return self.answer(ProjectRead, project, status=201)

Errors are raised, never answered: `apps.common.problem` turns them into problem+json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from apps.common import etag
from apps.common.api.answering import MEDIA_TYPE, Written
from apps.common.api.permissions import HasCode
from apps.common.errors import BadRequest, Invalid, RateLimited
from apps.common.etag import Precondition
from apps.common.headers import put
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate, parse_limit
from apps.common.ratelimit import Policy, Verdict, default_limiter

PostGuard = Callable[[Request, Callable[[], Response]], Response]
"""Runs a POST's handler, or answers in its place: how a higher app makes POST idempotent."""

_TAKES_JSON = frozenset({"*/*", "application/json", "application/json, */*"})
_FIRST = ("Vary", "Allow")
_post_guards: list[PostGuard] = []


def guard_posts(guard: PostGuard) -> None:
    """Put every POST under /v1 behind `guard`; called once, when its app is ready.

    The guard sees a request that is authenticated, permitted and counted, and the handler's
    Response before it is rendered; an error passes it as the exception that it is.
    """
    if guard not in _post_guards:
        _post_guards.append(guard)


class ApiView(APIView):
    """Authenticates, counts, permits, runs; see the module for how a view looks.

    `required` names a permission code per method (`SIGNED_IN` for any principal); a view that
    anybody may call says `public`. `versioned` views answer with an ETag and honour If-Match;
    with `if_match_required` a change without one is 428. `list_keyset` is the order of a list that
    GET answers page by page, `list_heavy` those JSON columns of it that may be large.
    """

    required: ClassVar[Mapping[str, str]] = {}
    public: ClassVar[bool] = False
    versioned: ClassVar[bool] = False
    if_match_required: ClassVar[bool] = False
    list_keyset: ClassVar[Keyset | None] = None
    list_heavy: ClassVar[tuple[str, ...]] = ()
    permission_classes = (HasCode,)
    http_method_names = [*("get", "head", "post", "put", "patch", "delete")]

    verdict: Verdict | None = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Tell the middleware that this view asks for credentials itself."""
        view: Any = super().as_view(**initkwargs)
        view.open_to_all = True
        return view

    def check_permissions(self, request: Request) -> None:
        """Count first, judge second: a flood of forbidden calls is a flood."""
        self.count(request)
        super().check_permissions(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After all checks, put the guards around a POST; the instance lives for one request.

        The checks are DRF's, but for those that no view here has: versions, suffixes, throttles.
        """
        self.format_kwarg = None
        negotiated = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = negotiated
        request.version, request.versioning_scheme = None, None
        self.perform_authentication(request)
        self.check_permissions(request)
        if request.method == "POST" and (handler := getattr(self, "post", None)):
            self.post = _guarded(handler)

    def perform_authentication(self, request: Request) -> None:
        """As reading `request.user` does, which first looks everywhere whether it was done."""
        request._authenticate()  # type: ignore[attr-defined]

    @property
    def allowed_methods(self) -> list[str]:
        """The methods that the view has: as DRF finds them, once a class."""
        kind: Any = type(self)
        return _methods_of(kind)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        """Say what is left of the rate limit, on refusals too."""
        if isinstance(response, Written):  # which has no such headers yet
            put(response, {name: self.headers[name] for name in _FIRST if name in self.headers})
        else:
            response = super().finalize_response(request, response, *args, **kwargs)
        if self.verdict:
            put(response, self.verdict.headers)
        return response  # type: ignore[no-any-return]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """There is one renderer: only who names other types must be told that there is."""
        if request._request.META.get("HTTP_ACCEPT", "*/*") in _TAKES_JSON:
            renderer = self.get_renderers()[0]
            return renderer, renderer.media_type
        return super().perform_content_negotiation(request, force)

    def count(self, request: Request) -> None:
        """Spend one request of the caller's limit; raises RateLimited when there is none left."""
        caller: Any = request.auth
        if caller is not None:
            policy = Policy.parse("default", settings.API_RATE_LIMIT)
            identity = caller.rate_limit_key
        else:
            policy = Policy.parse("anonymous", settings.API_RATE_LIMIT_ANONYMOUS)
            identity = request._request.META.get("REMOTE_ADDR", "")
        self.verdict = default_limiter().spend(policy, identity)
        if self.verdict and not self.verdict.allowed:
            raise RateLimited(
                f"{policy.quota} requests in {policy.window} seconds are allowed.",
                retry_after=self.verdict.reset,
            )

    def body(self) -> Any:
        """`request.data`, for operations that are busier than others and read it once: a body that
        says it is JSON, and no more than that, is read without asking which parser could.
        """
        asked: Any = self.request._request
        length: str = asked.META.get("CONTENT_LENGTH") or ""
        if asked.META.get("CONTENT_TYPE") == MEDIA_TYPE and length.lstrip("0").isdigit():
            return self.parser_classes[0]().parse(asked)
        return self.request.data

    def read(self, serializer: type[BaseSerializer[Any]], **options: Any) -> Any:
        """Validate the body; raises Invalid with every field's errors."""
        bound = serializer(data=self.request.data, context={"request": self.request}, **options)
        bound.is_valid(raise_exception=True)
        return bound.validated_data

    def read_query(self, serializer: type[BaseSerializer[Any]]) -> Any:
        """Validate the query; its parameters are single values, one given twice is refused."""
        query = self.request.query_params
        if doubled := [name for name in query if len(query.getlist(name)) > 1]:
            raise Invalid.of(doubled[0], "Give this parameter once.")
        bound = serializer(data=query.dict(), context={"request": self.request})
        bound.is_valid(raise_exception=True)
        return bound.validated_data

    def answer(
        self,
        serializer: type[BaseSerializer[Any]],
        instance: Any,
        *,
        status: int = 200,
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Render one object; with a version (`etag_of`) a reader who has it gets 304."""
        extra = {**(headers or {}), **({"ETag": version} if version else {})}
        wanted = self.request.headers.get("If-None-Match")
        if version and self.request.method in {"GET", "HEAD"} and etag.is_fresh(wanted, version):
            return Response(status=304, headers=extra)
        rendered = serializer(instance, context={"request": self.request}).data
        return Response(rendered, status=status, headers=extra)

    def write(
        self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Answer what is JSON as it stands; for operations that are busier than others."""
        if self.request.accepted_media_type == MEDIA_TYPE:
            return Written(data, status=status, headers=headers)
        return Response(data, status=status, headers=headers)

    def answer_page(
        self,
        serializer: type[BaseSerializer[Any]],
        rows: QuerySet[Any],
        *,
        keyset: Keyset | None = None,
    ) -> Response:
        """Render the page of a list that `cursor` and `limit` ask for, in the view's order."""
        order = keyset or self.list_keyset or NEWEST_FIRST
        query = self.request.query_params
        cursor = query.get("cursor")
        if cursor == "":
            raise BadRequest("The cursor is empty.", parameter="cursor")
        page = paginate(
            rows,
            keyset=order,
            limit=parse_limit(query.get("limit")),
            after=cursor,
            heavy=self.list_heavy,
        )
        items: list[Model] = page.items
        rendered = serializer(items, many=True, context={"request": self.request}).data
        return Response({"results": rendered, "next": page.next})

    def nothing(self) -> Response:
        """Done, and nothing to say."""
        return Response(status=204)

    def precondition(self) -> Precondition:
        """What the caller believes the version to be; the service checks it under its lock."""
        header = self.request.headers.get("If-Match")
        return Precondition.read(header, required=self.if_match_required)


@lru_cache(maxsize=1024)
def _methods_of(view: Any) -> list[str]:
    """A view that has GET has HEAD, which Django adds to each instance."""
    has_head = hasattr(view, "get")
    names = view.http_method_names
    return [n.upper() for n in names if hasattr(view, n) or (n == "head" and has_head)]


def _guarded(handler: Callable[..., Response]) -> Callable[..., Response]:
    def post(request: Request, *args: Any, **kwargs: Any) -> Response:
        def run() -> Response:
            return handler(request, *args, **kwargs)

        for guard in reversed(_post_guards):
            run = _behind(guard, request, run)
        return run()

    return post


def _behind(
    guard: PostGuard, request: Request, run: Callable[[], Response]
) -> Callable[[], Response]:
    return lambda: guard(request, run)
