"""The forms of the pages of runs: the filter of the list, and the console that starts one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone

from apps.common.forms import JsonObjectField
from apps.common.ids import uuid7
from apps.runs.models import COMMENT_MAX, SESSION, SESSION_MAX, SESSION_RULE, Rating, Run
from apps.runs.states import RunStatus

ALL: Final = "all"
SHOWN: Final = [status for status in RunStatus if status != RunStatus.AWAITING_APPROVAL]


class RunFilterForm(forms.Form):
    """What of the runs a list shows; every field is a part of its address."""

    q = forms.CharField(required=False, max_length=80)
    status = forms.ChoiceField(
        required=False, choices=[("", "Any status"), *((s.value, s.label) for s in SHOWN)]
    )
    agent = forms.CharField(required=False, max_length=40)
    caller = forms.CharField(required=False, max_length=40)
    session_id = forms.CharField(required=False, max_length=SESSION_MAX, label="Session")
    level = forms.ChoiceField(
        required=False, choices=[("", "Calls from outside"), (ALL, "Calls between agents too")]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("from", "to"):
            self.fields[name] = forms.DateField(required=False)

    def since(self) -> datetime | None:
        return _midnight(self.cleaned_data["from"])

    def until(self) -> datetime | None:
        """The end of the last day, which counts too."""
        day = self.cleaned_data["to"]
        return _midnight(day + timedelta(days=1)) if day else None


def _midnight(day: Any) -> datetime | None:
    if day is None:
        return None
    zone = timezone.get_current_timezone() or UTC
    return datetime.combine(day, time.min, tzinfo=zone)


class ConsoleForm(forms.Form):
    """One invocation by hand. `nonce` makes two presses of one button one run."""

    tool = forms.CharField(widget=forms.HiddenInput, max_length=64)
    project = forms.CharField(widget=forms.HiddenInput, max_length=40, required=False)
    nonce = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)
    input = JsonObjectField(
        label="Input",
        rows=12,
        otherwise='A tool takes an object, such as {"text": "hello"}.',
        help_text="A JSON object.",
    )
    session_id = forms.RegexField(
        rf"\A{SESSION.pattern}\Z",
        label="Session",
        required=False,
        max_length=SESSION_MAX,
        error_messages={"invalid": SESSION_RULE},
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )
    mode = forms.ChoiceField(
        choices=[(Run.Mode.SYNC, "Wait for the result"), (Run.Mode.ASYNC, "In the background")],
        label="How",
    )

    def tell_turns(self, turns: int) -> None:
        """Say what a session means to an agent that is given so many earlier turns."""
        given = f"the last {turns} of yours" if turns else "none of the earlier ones"
        told = f"Runs with the same session are a conversation. This agent is given {given}."
        self.fields["session_id"].help_text = told


class FeedbackForm(forms.Form):
    """What one thinks of a run."""

    rating = forms.ChoiceField(
        choices=Rating.choices, widget=forms.RadioSelect, label="Was it good?"
    )
    comment = forms.CharField(
        required=False, max_length=COMMENT_MAX, widget=forms.Textarea({"rows": 3})
    )


def new_nonce() -> str:
    return uuid7().hex
