"""`/v1` of runs: invoke an agent, and read what became of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.selectors import get_agent
from apps.common.ids import parse_id
from apps.common.openapi import page_of
from apps.common.pagination import NEWEST_FIRST, Keyset
from apps.orgs.api.authentication import still_may
from apps.orgs.api.base import OrgView
from apps.orgs.api.idempotency import REPLAYED, key_of
from apps.orgs.denials import needed
from apps.orgs.selectors import get_project
from apps.orgs.services.idempotency import check_key
from apps.runs import selectors, streams
from apps.runs.api import examples
from apps.runs.api import serializers as s
from apps.runs.errors import RUN
from apps.runs.models import Run
from apps.runs.reading import READ, shown_to, told_event
from apps.runs.services.control import cancel_run
from apps.runs.services.invoke import Ask, invoke

IN_ORDER: Final = Keyset(("attempt", "ordinal", "id"), descending=False)
BY_TIME: Final = Keyset(("at", "id"), descending=False)
JSON: Final = JSONRenderer.media_type
EVENTS: Final = (
    "Server-Sent Events. `status`, `step`, `log` and `delta` each have an `id` that counts from 1; "
    "`end` has the run object and closes the stream. Lines that begin with a colon only say that "
    "the stream lives."
)


class EventRenderer(BaseRenderer):
    """What `Accept` may ask for; a stream renders itself."""

    media_type = streams.CONTENT_TYPE
    format = "events"
    charset = None


class InvokeView(OrgView):
    """Have an agent do something. The run itself remembers the Idempotency-Key."""

    required = {"POST": "agents.invoke"}
    keeps_keys = True
    renderer_classes = (JSONRenderer, EventRenderer)

    @extend_schema(
        operation_id="agents_invoke",
        tags=["runs"],
        request={"application/json": s.INVOKE_BODY},
        responses={
            (200, JSON): OpenApiResponse(
                s.RunRead, description="The run is over; see its `status`. Or its events."
            ),
            (200, streams.CONTENT_TYPE): OpenApiResponse(s.EVENT, description=EVENTS),
            (202, JSON): OpenApiResponse(
                s.RunRead, description="It is queued, under way, or waits for a person."
            ),
            **examples.REFUSALS,
        },
        examples=examples.INVOKE,
    )
    def post(self, request: Request, agent: str) -> Any:
        """Run one tool of an agent, now or in the background.

        With `Accept: text/event-stream` it is run in the background, whatever `mode` says, and
        the answer is its events, as `GET /v1/runs/{run}/events` gives them.
        """
        key = key_of(request)
        ask = Ask(
            agent=agent,
            key=check_key(key) if key is not None else None,
            **s.read_invocation(self.body()),
        )
        if isinstance(request.accepted_renderer, EventRenderer):
            ask = replace(ask, mode=Run.Mode.ASYNC)
            started = invoke(ask, caller=self.by, at=timezone.now())
            return _events(self, request, started.run, "agents.invoke")
        answer = invoke(ask, caller=self.by, at=timezone.now())
        return self.write(
            s.run_object(shown_to(self.by, answer.run) if answer.replayed else answer.run),
            status=200 if answer.run.is_closed else 202,
            headers={REPLAYED: "true"} if answer.replayed else {},
        )


class RunsView(OrgView):
    required = {"GET": "runs.view"}
    filters = s.RunFilter
    list_keyset = NEWEST_FIRST
    list_heavy = ("input", "output")

    @extend_schema(
        operation_id="runs_list",
        tags=["runs"],
        parameters=[s.RunFilter],
        responses=page_of(s.RunRead),
    )
    def get(self, request: Request) -> Response:
        """Runs of every agent, the newest first."""
        rows = selectors.list_runs(**_filters(self, self.read_query(s.RunFilter)))
        return self.answer_page(s.RunRead, rows, keyset=NEWEST_FIRST)


class RunView(OrgView):
    required = {"GET": "runs.view"}

    @extend_schema(
        operation_id="runs_get", tags=["runs"], responses=s.RunRead, examples=examples.RUN
    )
    def get(self, request: Request, run: str) -> Response:
        found = selectors.get_run(parse_id(RUN, run))
        return Response(s.run_object(shown_to(self.by, found)))


class RunCancelView(OrgView):
    required = {"POST": "runs.cancel"}

    @extend_schema(
        operation_id="runs_cancel",
        tags=["runs"],
        request=None,
        responses={200: s.RunRead},
        examples=examples.CANCELLED,
    )
    def post(self, request: Request, run: str) -> Response:
        """End an open run and every run below it; what they were doing is discarded."""
        ended = cancel_run(run_id=parse_id(RUN, run), actor=self.by.actor, at=timezone.now())
        return Response(s.run_object(shown_to(self.by, ended)))


class RunEventsView(OrgView):
    required = {"GET": "runs.view"}
    renderer_classes = (EventRenderer,)
    http_method_names = ["get"]

    @extend_schema(
        operation_id="runs_events",
        tags=["runs"],
        parameters=[
            OpenApiParameter(
                streams.LAST_ID,
                {"type": "integer", "minimum": 0, "maximum": streams.SEQ_MAX},
                OpenApiParameter.HEADER,
                description="The id of the last event that you have; the stream goes on after it.",
            )
        ],
        responses={(200, streams.CONTENT_TYPE): OpenApiResponse(s.EVENT, description=EVENTS)},
        examples=examples.EVENTS,
    )
    def get(self, request: Request, run: str) -> HttpResponseBase:
        """Follow a run: Server-Sent Events, from its first to its end.

        A stream may end before the run does: ask again with the last `id`. Nothing is lost and
        nothing comes twice, whichever process answers.
        """
        found = selectors.get_run(parse_id(RUN, run))
        return _events(self, request, found, "runs.view")


class RunStepsView(OrgView):
    required = {"GET": "runs.view"}
    list_keyset = IN_ORDER
    list_heavy = ("input", "output")

    @extend_schema(operation_id="runs_steps", tags=["runs"], responses=page_of(s.StepRead))
    def get(self, request: Request, run: str) -> Response:
        """What the run did beyond computing, attempt by attempt."""
        rows = selectors.list_steps(_existing(run))
        return self.answer_page(s.StepRead, rows, keyset=IN_ORDER)


class RunLogsView(OrgView):
    required = {"GET": "runs.view"}
    list_keyset = BY_TIME
    list_heavy = ("fields",)

    @extend_schema(operation_id="runs_logs", tags=["runs"], responses=page_of(s.LogRead))
    def get(self, request: Request, run: str) -> Response:
        """What the run wrote while it worked, the oldest line first. Needs `data.read` besides."""
        if not self.by.may(READ):
            raise needed(READ)
        rows = selectors.list_logs(_existing(run))
        return self.answer_page(s.LogRead, rows, keyset=BY_TIME)


def _events(view: OrgView, request: Request, run: selectors.RunView, code: str) -> HttpResponseBase:
    """A run's events, as long as the key may what `code` says, and what it may read of them."""
    by = view.by
    codes = (code, READ) if by.may(READ) else (code,)
    return streams.stream_run(
        request._request,
        run,
        principal=view.by.rate_limit_key,
        may=still_may(request, *codes),
        told=lambda ended: s.run_object(shown_to(by, ended)),
        tells=partial(told_event, by, run),
    )


def _existing(run: str) -> Any:
    """The id of a run that is there; raises NotFound."""
    return selectors.get_run(parse_id(RUN, run)).id


def _filters(view: OrgView, wanted: dict[str, Any]) -> dict[str, Any]:
    """A query's words as the selector takes them; raises Invalid for a name that is nobody's."""
    plain = ("status", "since", "until", "caller", "session_id")
    found: dict[str, Any] = {name: wanted[name] for name in plain if name in wanted}
    for name, find in (("project", get_project), ("agent", get_agent)):
        if name in wanted:
            found[f"{name}_id"] = view.named(name, partial(find, wanted[name])).id
    if "root" in wanted:
        found["root_id"] = view.named("root", partial(parse_id, RUN, wanted["root"]))
    return found
