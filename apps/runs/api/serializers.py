"""How runs, their steps and their logs are written as JSON, and how an invocation is read."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from apps.approvals.selectors import APPROVAL
from apps.common.errors import FieldError, Invalid
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.schemas import compile_schema, find_errors
from apps.orgs.api.fields import Moment, PublicId
from apps.runs.errors import DECISION, RUN
from apps.runs.models import SESSION_MAX, SESSION_RULE, Run, Step
from apps.runs.reading import READ, bare_step, shown_to
from apps.runs.selectors import RunView, view_of
from apps.runs.states import RunStatus, StepStatus

STEP: Final = "stp"
Read = serializers.Serializer[Any]

EVENT: Final[Object] = {
    "type": "object",
    "description": "One event of the stream; `data` is a JSON object as text.",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["status", "step", "log", "delta", "end"]},
        "data": {"type": "string"},
    },
    "required": ["event", "data"],
}
SESSION_PATTERN: Final = "^[A-Za-z0-9._:-]+$"
INVOKE_BODY: Final[Object] = {
    "type": "object",
    "properties": {
        "tool": {
            "type": "string",
            "maxLength": 64,
            "description": "May be left out where the agent has one tool.",
        },
        "input": {
            "type": "object",
            "description": "What the tool's input schema asks for.",
        },
        "project": {
            "type": "string",
            "maxLength": 40,
            "description": "Slug or id of the project it counts for; the agent's if left out.",
        },
        "session_id": {
            "type": "string",
            "pattern": SESSION_PATTERN,
            "maxLength": SESSION_MAX,
            "description": "Your own name for a conversation; an agent may be given what you asked "
            "it under that name before.",
        },
        "mode": {
            "enum": ["sync", "async"],
            "default": "sync",
            "description": "sync waits for the run's end; async answers 202 at once.",
        },
    },
    "required": ["input"],
    "additionalProperties": False,
}
_invoke_body = compile_schema(INVOKE_BODY)


def read_invocation(data: Any) -> Object:
    """Check an invocation's body; raises Invalid, naming each field."""
    if errors := find_errors(_invoke_body, data, root=""):
        raise Invalid(errors=[_in_words(error) for error in errors])
    body: Object = data
    return body


def _in_words(error: FieldError) -> FieldError:
    """A pattern would tell nobody what to write instead."""
    return {**error, "message": SESSION_RULE} if error["field"] == "session_id" else error


class CallerRead(Read):
    type = serializers.CharField()
    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class FailureRead(Read):
    """Why a run or step didn't succeed."""

    code = serializers.CharField()
    message = serializers.CharField(required=False)


class UsageRead(Read):
    """What a run asked of language models, in all of its attempts; their price is its cost."""

    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()


class RunManifestRead(Read):
    """The manifest that a run ran under."""

    version = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 of its canonical form, in hex.")


class RunRead(Read):
    """A run; `reason` says in a word why it was denied, cancelled or ended."""

    id = PublicId(RUN)
    title = serializers.CharField()
    agent = serializers.CharField()
    tool = serializers.CharField()
    project = serializers.CharField()
    caller: Any = CallerRead()
    status = serializers.ChoiceField(choices=RunStatus.choices)
    reason = serializers.CharField(allow_null=True)
    mode = serializers.ChoiceField(choices=Run.Mode.choices)
    environment = serializers.ChoiceField(choices=Run.Environment.choices)
    session_id = serializers.CharField(
        allow_null=True, help_text="The conversation that it belongs to; a child's is its parent's."
    )
    input = serializers.JSONField()
    output = serializers.JSONField()
    error: Any = FailureRead(allow_null=True)
    cost_micros = serializers.IntegerField()
    usage: Any = UsageRead(allow_null=True)
    parent: Any = serializers.CharField(allow_null=True)
    root: Any = serializers.CharField()
    children = serializers.ListField(child=serializers.CharField())
    manifest = RunManifestRead()
    decision_id = serializers.CharField(
        allow_null=True, help_text="What policies said when it was asked for; null if none counts."
    )
    approval_id = serializers.CharField(
        allow_null=True, help_text="What a person was asked last, or is being asked."
    )
    attempt = serializers.IntegerField(help_text="How often its execution began.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)
    withheld = serializers.CharField(
        required=False,
        help_text="The permission that you lack, where something was left out: title, input, "
        "output and the error's message.",
    )

    def to_representation(self, instance: Run) -> Object:
        """Written out, for it stands in every invocation's answer."""
        return run_object(shown_to(self.context["request"].auth, view_of(instance)))


def run_object(run: RunView) -> Object:
    """The run object of the API."""
    return {
        "id": public_id(RUN, run.id),
        "title": run.title,
        "agent": run.agent,
        "tool": run.tool,
        "project": run.project,
        "caller": run.caller.as_json(),
        "status": run.status,
        "reason": run.reason or None,
        "mode": run.mode,
        "environment": run.environment,
        "session_id": run.session_id,
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "cost_micros": run.cost_micros,
        "usage": run.usage,
        "parent": public_id(RUN, run.parent_id) if run.parent_id else None,
        "root": public_id(RUN, run.root_id),
        "children": [public_id(RUN, child) for child in run.children],
        "manifest": {"version": run.manifest_version, "digest": run.manifest_digest},
        "decision_id": public_id(DECISION, run.decision_id) if run.decision_id else None,
        "approval_id": public_id(APPROVAL, run.approval_id) if run.approval_id else None,
        "attempt": run.attempt,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration.total_seconds() * 1000 if run.duration is not None else None,
        **({"withheld": READ} if run.withheld else {}),
    }


class RunFilter(Read):
    project = serializers.CharField(required=False, max_length=40, help_text="Slug or id.")
    agent = serializers.CharField(required=False, max_length=40, help_text="Slug or id.")
    status = serializers.ChoiceField(required=False, choices=RunStatus.choices)
    since = Moment(required=False, help_text="Created then or later.")
    until = Moment(required=False, help_text="Created before then.")
    caller = serializers.CharField(
        required=False, max_length=40, help_text="The caller's id: key_…, mem_… or agt_…."
    )
    root: Any = serializers.CharField(
        required=False, max_length=40, help_text="A root run's id: it and all below it."
    )
    session_id = serializers.CharField(
        required=False, max_length=SESSION_MAX, help_text="The runs of one conversation."
    )


class StepRead(Read):
    id = PublicId(STEP)
    attempt = serializers.IntegerField()
    ordinal = serializers.IntegerField()
    kind = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=StepStatus.choices)
    input = serializers.JSONField()
    output = serializers.JSONField()
    error: Any = FailureRead(allow_null=True)
    child = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    withheld = serializers.CharField(
        required=False, help_text="The permission that you lack to read what is null here."
    )

    def to_representation(self, instance: Step) -> Object:
        if self.context["request"].auth.may(READ):
            whole: Object = super().to_representation(instance)
            return whole
        return {**super().to_representation(bare_step(instance)), "withheld": READ}

    def get_child(self, step: Any) -> str | None:
        """The run of the called agent."""
        return public_id(RUN, step.child_id) if step.child_id else None


class LogRead(Read):
    at = serializers.DateTimeField()
    attempt = serializers.IntegerField()
    level = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.JSONField()  # type: ignore[assignment]
