"""The forms of the pages of runs: the filter of the list, and the console that starts one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, Never

from django import forms
from django.utils import timezone

from apps.common.ids import uuid7
from apps.common.json import Object
from apps.runs.models import Run
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
    input = forms.CharField(
        label="Input",
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "class": "mono"}),
        help_text="A JSON object.",
        strip=False,
    )
    mode = forms.ChoiceField(
        choices=[(Run.Mode.SYNC, "Wait for the result"), (Run.Mode.ASYNC, "In the background")],
        label="How",
    )

    def clean_input(self) -> Object:
        return read_object(self.cleaned_data["input"])


def new_nonce() -> str:
    return uuid7().hex


def read_object(text: str) -> Object:
    """Read what somebody typed as a JSON object; says where it isn't one."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise forms.ValidationError(
            f"This is no JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise forms.ValidationError("This can't be held as JSON.") from error
    if not isinstance(value, dict):
        raise forms.ValidationError('A tool takes an object, such as {"text": "hello"}.')
    return value


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
