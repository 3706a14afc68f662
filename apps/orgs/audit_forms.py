"""The forms of the pages about the audit log and what it is signed with."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone

FOR_EVER: Final = ""
PERIODS: Final = (
    (FOR_EVER, "For ever"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("730", "2 years"),
    ("2555", "7 years"),
)
AREAS: Final = (
    ("", "Everything"),
    ("orgs.", "Organization, people, keys"),
    ("agents.", "Agents and their tools"),
    ("policies.", "Policies"),
    ("approvals.", "Approvals"),
    ("notify.", "Notices and channels"),
    ("runs.", "Runs"),
    ("trust.", "Signing keys, refusals, this log"),
    ("workspace.", "Operators"),
)


class _Day(forms.DateField):
    def __init__(self, label: str) -> None:
        widget = forms.DateInput(attrs={"type": "date", "class": "input fit"})
        super().__init__(label=label, required=False, widget=widget)


class AuditFilterForm(forms.Form):
    """What the list of the log is narrowed to; it stands in the address."""

    action = forms.CharField(label="What", required=False, max_length=100)
    actor = forms.CharField(label="Who", required=False, max_length=100)
    subject = forms.CharField(label="About", required=False, max_length=100)
    since = _Day("From")
    until = _Day("To")

    def found(self) -> dict[str, Any]:
        """The same for `selectors.list_events`: whole days of the reader, the last one included."""
        said = {**self.cleaned_data}
        since, until = said.pop("since"), said.pop("until")
        until = until + timedelta(days=1) if until and until < date.max else None
        return {**said, "since": _midnight(since), "until": _midnight(until)}


class RetentionForm(forms.Form):
    """For how long the log keeps what its entries say."""

    keep_days = forms.ChoiceField(
        label="Keep what entries say",
        choices=PERIODS,
        required=False,
        help_text="Older entries keep number, hash and place; what they said is gone for good.",
    )

    def __init__(self, *args: Any, present: int | None, **kwargs: Any) -> None:
        """A rule that was set by the API may be none of the periods: then it is one more."""
        super().__init__(*args, **kwargs)
        own = "" if present is None else str(present)
        self.initial = {"keep_days": own}
        if own not in dict(PERIODS):
            self.fields["keep_days"].choices = [*PERIODS, (own, f"{own} days")]  # type: ignore[attr-defined]

    def clean_keep_days(self) -> int | None:
        chosen = self.cleaned_data["keep_days"]
        return int(chosen) if chosen else None


class RevokeKeyForm(forms.Form):
    """Why a signing key is believed no more."""

    reason = forms.CharField(max_length=200, help_text="For the audit log.")


def _midnight(day: date | None) -> datetime | None:
    return timezone.make_aware(datetime.combine(day, time.min)) if day else None
