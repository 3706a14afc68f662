"""The forms of approvals' pages. They read and shape; what is allowed, services decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django import forms

from apps.approvals.services.rules import QUORUM_MAX
from apps.approvals.services.voting import COMMENT_MAX

Choices = Sequence[tuple[str, str]]
HOUR: Final = 60
DAY: Final = 24 * HOUR
UNITS: Final = ((DAY, "day"), (HOUR, "hour"), (1, "minute"))
WAITS: Final = (
    (15, "15 minutes"),
    (HOUR, "1 hour"),
    (4 * HOUR, "4 hours"),
    (DAY, "24 hours"),
    (3 * DAY, "3 days"),
    (7 * DAY, "7 days"),
)


def words_of_wait(minutes: int) -> str:
    """How long, for people."""
    if known := dict(WAITS).get(minutes):
        return known
    size, name = next(unit for unit in UNITS if minutes % unit[0] == 0)
    number = minutes // size
    return f"{number} {name}{'' if number == 1 else 's'}"


class CommentForm(forms.Form):
    """What somebody says to their vote."""

    comment = forms.CharField(
        required=False,
        max_length=COMMENT_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Stays on record, and who asked reads it.",
    )


class GlassForm(forms.Form):
    """Why somebody approves alone."""

    reason = forms.CharField(
        label="What is the emergency?",
        max_length=COMMENT_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class RuleTermsForm(forms.Form):
    """How many must approve, of which role, within which time."""

    quorum = forms.IntegerField(
        label="How many must approve", min_value=1, max_value=QUORUM_MAX, initial=1
    )
    role = forms.ChoiceField(label="Who", required=False)
    timeout_minutes = forms.TypedChoiceField(
        label="Waits for",
        coerce=int,
        initial=DAY,
        help_text="Without an answer by then the answer is no.",
    )

    def __init__(self, *args: Any, roles: Choices, waits: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["role"].choices = [("", "Anybody who may decide approvals"), *roles]
        known = {minutes for minutes, _ in WAITS}
        own = [(waits, words_of_wait(waits))] if waits and waits not in known else []
        fields["timeout_minutes"].choices = [*WAITS, *own]


class RuleForm(RuleTermsForm):
    """A new rule: what it is for, and its terms."""

    subject_type = forms.ChoiceField(label="What is asked", required=False)
    agent = forms.ChoiceField(required=False)
    tool = forms.CharField(
        required=False, max_length=64, help_text="The name of one of the agent’s tools."
    )
    project = forms.ChoiceField(
        required=False, help_text="Instead of an agent: whatever happens in that project."
    )
    field_order = ["subject_type", "agent", "tool", "project", "quorum", "role", "timeout_minutes"]

    def __init__(
        self, *args: Any, kinds: Choices, agents: Choices, projects: Choices, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["subject_type"].choices = [("", "Anything"), *kinds]
        fields["agent"].choices = [("", "Any agent"), *agents]
        fields["project"].choices = [("", "Any project"), *projects]
