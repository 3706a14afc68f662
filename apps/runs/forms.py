"""The forms of the pages of runs: the filter of the list, and the console that starts one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone

from apps.common.forms import JsonObjectField
from apps.common.ids import uuid7
from apps.runs.models import (
    COMMENT_MAX,
    NAME_MAX,
    SESSION,
    SESSION_MAX,
    SESSION_RULE,
    Rating,
    Run,
)
from apps.runs.states import RunStatus

ALL: Final = "all"
CUSTOM: Final = "custom"
WORDS_MAX: Final = 80
# The times that are counted back from now: name in the address → (words, length).
RANGES: Final = {
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
LOOK_BACK: Final = timedelta(days=30)
"""How far back words are searched where no time is given: no index answers them."""


class RunFilterForm(forms.Form):
    """What of the runs a list shows; every field is a part of its address.

    Days count where a time between two days is meant: `range` says so, or isn't there at all.
    """

    q = forms.CharField(required=False, max_length=WORDS_MAX)
    status = forms.ChoiceField(
        required=False, choices=[("", "Any status"), *((s.value, s.label) for s in RunStatus)]
    )
    agent = forms.CharField(required=False, max_length=40)
    caller = forms.CharField(required=False, max_length=40)
    session_id = forms.CharField(required=False, max_length=SESSION_MAX, label="Session")
    level = forms.ChoiceField(
        required=False, choices=[("", "Calls from outside"), (ALL, "Calls between agents too")]
    )
    range = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any time"),
            *((name, label) for name, (label, _) in RANGES.items()),
            (CUSTOM, "Between two days"),
        ],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("from", "to"):
            self.fields[name] = forms.DateField(required=False)

    def clean(self) -> dict[str, Any]:
        """Drop what doesn't count: a field that is hidden keeps what was typed into it."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        span, is_said = found.get("range", ""), "range" in self.data
        if span in RANGES or (is_said and span != CUSTOM):
            found["from"] = found["to"] = None
        elif found.get("from") or found.get("to"):
            found["range"] = CUSTOM
        elif span == CUSTOM:
            found["range"] = ""
        return found

    def query(self) -> dict[str, str]:
        """What counts of a filter that can be read, as it stands in an address."""
        return {name: str(value).strip() for name, value in self.cleaned_data.items() if value}

    def since(self, now: datetime) -> datetime | None:
        """When the time that is meant begins."""
        if span := RANGES.get(self.cleaned_data["range"]):
            return now - span[1]
        return _midnight(self.cleaned_data["from"])

    def until(self) -> datetime | None:
        """The end of the last day, which counts too."""
        day = self.cleaned_data["to"]
        return _midnight(day + timedelta(days=1)) if day else None


class ViewForm(forms.Form):
    """What a saved view is called, and who sees it."""

    name = forms.CharField(max_length=NAME_MAX, label="Name")
    is_shared = forms.BooleanField(
        required=False,
        label="Share it with everybody",
        help_text="Whoever may see runs finds it above the list.",
    )

    def __init__(self, *args: Any, may_share: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        if not may_share:
            del self.fields["is_shared"]


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
