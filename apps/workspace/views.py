"""The gallery of components."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="As people know it.", max_length=80)
    reason = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    mode = forms.ChoiceField(choices=[("mock", "Mock"), ("emulated", "Emulated")])
    scopes = forms.MultipleChoiceField(
        choices=[("read", "Read projects"), ("write", "Change projects")],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None means all that your role allows.",
    )
    notify = forms.BooleanField(label="Tell me when it is done", required=False)


ROWS: list[dict[str, Any]] = [
    {"name": "support-triage", "state": "running", "amount": 41220},
    {"name": "invoice-matcher", "state": "succeeded", "amount": 112403},
    {"name": "refund-runner", "state": "denied", "amount": None},
]


@require_GET
def gallery(request: HttpRequest) -> HttpResponse:
    """Show each component once; to everybody while DEBUG is on, otherwise to operators."""
    if not (settings.DEBUG or getattr(request.user, "is_staff", False)):
        raise Http404
    return render(request, "workspace/gallery.html", _samples())


def _samples() -> dict[str, Any]:
    now = timezone.now()
    return {
        "form": SampleForm(initial={"name": "Support"}, prefix="good"),
        "bad_form": SampleForm(data={"bad-mode": "other"}, prefix="bad"),
        "now": now,
        "earlier": now - timedelta(hours=3),
        "rows": [{**row, "digest": f"sha256:{'9f2cb71e' * 8}"} for row in ROWS],
    }
