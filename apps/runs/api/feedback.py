"""`/v1/runs/{run}/feedback`: what callers think of a run."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.ids import parse_id
from apps.common.openapi import example, problems
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import Strict, Text
from apps.runs import selectors
from apps.runs.api.serializers import CallerRead
from apps.runs.errors import RUN, OwnWork
from apps.runs.models import COMMENT_MAX, Rating
from apps.runs.services.feedback import give_feedback, take_feedback_back

LATEST: Final = 50
_GIVEN: Final = {
    "rating": "down",
    "comment": "It left out the refund.",
    "by": {"type": "user", "id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11", "label": "Ada Osei"},
    "created_at": "2027-01-31T12:00:00Z",
    "updated_at": "2027-01-31T12:00:00Z",
}


class FeedbackWrite(Strict):
    rating = serializers.ChoiceField(choices=Rating.choices)
    comment = Text(required=False, allow_blank=True, default="", max_length=COMMENT_MAX)


class FeedbackRead(serializers.Serializer[Any]):
    rating = serializers.ChoiceField(choices=Rating.choices)
    comment = serializers.CharField()
    by: Any = CallerRead(source="author")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class FeedbackOfRunRead(serializers.Serializer[Any]):
    """All that is thought of a run: how many for and against, yours, and the latest."""

    up = serializers.IntegerField()
    down = serializers.IntegerField()
    own: Any = FeedbackRead(allow_null=True)
    latest: Any = FeedbackRead(many=True, help_text=f"The latest {LATEST}, the newest first.")


class RunFeedbackView(OrgView):
    required = {"GET": "runs.view", "PUT": "agents.invoke", "DELETE": "agents.invoke"}

    @extend_schema(operation_id="runs_feedback", tags=["runs"], responses=FeedbackOfRunRead)
    def get(self, request: Request, run: str) -> Response:
        """What is thought of a run."""
        found = selectors.get_run(parse_id(RUN, run))
        principal = self.by.actor.principal
        return self.answer(
            FeedbackOfRunRead,
            selectors.get_feedback(found.id, principal=principal, limit=LATEST),
        )

    @extend_schema(
        operation_id="runs_feedback_give",
        tags=["runs"],
        request=FeedbackWrite,
        responses={
            200: FeedbackRead,
            **problems("/v1/runs/{run}/feedback", OwnWork("This run is the agent’s own work.")),
        },
        examples=[
            example(
                "Thumbs down",
                {"rating": "down", "comment": "It left out the refund."},
                request=True,
            ),
            example("As it is kept", _GIVEN),
        ],
    )
    def put(self, request: Request, run: str) -> Response:
        """Say what you think of a run, in the place of what you said before. An agent's own key
        says nothing of runs of that agent.
        """
        said = self.read(FeedbackWrite)
        given = give_feedback(
            run_id=parse_id(RUN, run), **said, actor=self.by.actor, at=timezone.now()
        )
        return self.answer(FeedbackRead, given)

    @extend_schema(operation_id="runs_feedback_take_back", tags=["runs"])
    def delete(self, request: Request, run: str) -> Response:
        """Take your own back."""
        take_feedback_back(run_id=parse_id(RUN, run), actor=self.by.actor, at=timezone.now())
        return self.nothing()
