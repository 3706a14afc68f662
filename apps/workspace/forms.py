"""What an operator is asked before they may look into an org."""

from __future__ import annotations

from datetime import timedelta

from django import forms

from apps.tenants.models import Plan
from apps.workspace.services.inspections import REASON_MAX


class InspectionForm(forms.Form):
    """Why, and for how long."""

    reason = forms.CharField(
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="It stands in the organization's audit log. Name the ticket, if there is one.",
    )
    minutes = forms.TypedChoiceField(
        label="For how long",
        choices=[(15, "15 minutes"), (30, "30 minutes"), (60, "60 minutes")],
        coerce=int,
        initial=30,
    )

    @property
    def duration(self) -> timedelta:
        return timedelta(minutes=self.cleaned_data["minutes"])


class PlanForm(forms.Form):
    """Which plan, and why."""

    plan = forms.ModelChoiceField(Plan.objects.order_by("name"), empty_label=None)
    reason = forms.CharField(
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="It stands in the organization's audit log.",
    )


class ImpersonationForm(InspectionForm):
    """Through whose eyes, besides."""

    email = forms.EmailField(
        label="Member’s address",
        max_length=254,
        help_text="An active member, and no operator. You see what their role lets them see.",
    )
    field_order = ("email", "reason", "minutes")
