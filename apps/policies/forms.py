"""What people type about policies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone

from apps.common.forms import CodeBoundField, CodeInput, JsonObjectField, NameField
from apps.policies.errors import RegoInvalid
from apps.policies.models import KEEP_INPUTS_MAX, DefaultAnswer, Scope
from apps.policies.services.backtesting import DAYS_MAX
from apps.policies.services.policies import NAME_MAX, PURPOSE_MAX

Choices = Iterable[tuple[str, str]]
DAYS: Final = 7


class RegoField(forms.CharField):
    """Rego in an editor, kept with its line breaks and spaces."""

    bound_field_class = CodeBoundField

    def __init__(self, *, rows: int, **options: Any) -> None:
        super().__init__(widget=CodeInput(language="rego", rows=rows), strip=False, **options)


class PolicyForm(forms.Form):
    """What a version of a policy says."""

    name = NameField(max_length=NAME_MAX)
    purpose = NameField(
        max_length=PURPOSE_MAX, required=False, help_text="In a sentence, for who reads the list."
    )
    rego_text = RegoField(label="Policy", rows=22, help_text="Rego v1, package mandate.")
    tests = RegoField(
        rows=10,
        required=False,
        help_text="Package mandate_test; each rule that begins with test_ is one.",
    )


class EditForm(PolicyForm):
    """The next version of a policy, of the version that was read, and a call to try it on."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    document = JsonObjectField(
        label="Call to try it on",
        rows=22,
        required=False,
        otherwise="A call is an object.",
        help_text="What the policy reads as input.",
    )

    def says(self) -> dict[str, str]:
        """What the version says, as the services take it."""
        data = self.cleaned_data
        return {name: data[name] for name in ("name", "purpose", "rego_text", "tests")}


class AttachForm(forms.Form):
    """Another place where a policy counts."""

    place = forms.ChoiceField(label="Attach to", help_text="It counts for every call within that.")

    def __init__(self, *args: Any, places: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["place"].choices = places  # type: ignore[attr-defined]

    def chosen(self) -> tuple[str, str]:
        """The scope and what it names."""
        scope, _, name = self.cleaned_data["place"].partition(":")
        return scope, name


FIRST: Final = date(2000, 1, 1)
"""Nothing is older; and the first day of all begins, in UTC, before time does."""


class DaysForm(forms.Form):
    """The days that the log of decisions is narrowed to; they stand in the address."""

    since = forms.DateField(required=False)
    until = forms.DateField(required=False)

    def found(self) -> dict[str, datetime]:
        """Whole days of the reader, the last one included, as `list_decisions` takes them."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        since = max(since, FIRST) if since else None
        after = until + timedelta(days=1) if until and until < date.max else None
        days = {"since": since, "until": after}
        midnight = {name: datetime.combine(day, time.min) for name, day in days.items() if day}
        return {name: timezone.make_aware(at) for name, at in midnight.items()}


class BacktestForm(forms.Form):
    """How far to look back."""

    days = forms.IntegerField(
        label="Days to look back", min_value=1, max_value=DAYS_MAX, initial=DAYS
    )


class SettingsForm(forms.Form):
    """What holds for all policies."""

    default_answer = forms.ChoiceField(
        label="A call that no policy is attached to", choices=DefaultAnswer.choices
    )
    keep_inputs_days = forms.IntegerField(
        label="Days that documents of decisions are kept",
        min_value=1,
        max_value=KEEP_INPUTS_MAX,
        help_text="The decisions themselves, with their reasons and digests, stay.",
    )
    two_person = forms.BooleanField(
        label="A change of what decides needs a second person",
        required=False,
        help_text="To activate, attach, detach or retire what decides, and to change the answer "
        "above. Who asks for it can’t be who approves it. Two people also end this.",
    )


def add_flaws(form: forms.Form, error: RegoInvalid) -> None:
    """Show each flaw of a text below its editor, which marks the line."""
    for flaw in error.extra["errors"]:
        said = f"Line {flaw['line']}, column {flaw['column']}: {flaw['message']}"
        form.add_error(flaw["field"], forms.ValidationError(said, params={"line": flaw["line"]}))


def place_choices(projects: Choices, agents: Iterable[Any]) -> list[Any]:
    """Everything that a policy may be attached to, in groups."""
    found: list[Any] = [(f"{Scope.ORG}:", "The whole organization")]
    found.append(("Projects", [(f"{Scope.PROJECT}:{slug}", name) for slug, name in projects]))
    listed = list(agents)
    found.append(("Agents", [(f"{Scope.AGENT}:{one.slug}", one.name) for one in listed]))
    tools = [
        (f"{Scope.TOOL}:{one.slug}/{tool}", f"{one.name}: {tool}")
        for one in listed
        for tool in one.tools
    ]
    found.append(("Tools", tools))
    return [entry for entry in found if entry[1]]
