"""Every component once, in both themes: for eyes, and for the tests of accessibility."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.common.forms import CodeInput, JsonObjectField

THEMES: Final = ("light", "dark")
# A file `gallery/_<kind>.html` of each kind; one whose file isn't there has no section.
KINDS: Final = {
    "atoms": "Words and actions",
    "blocks": "Blocks",
    "charts": "Charts",
    "tables": "Tables and lists",
    "forms": "Forms",
    "code": "Code",
    "overlays": "What lies over the page",
}
ROWS: Final[list[dict[str, Any]]] = [
    {"name": "support-triage", "state": "running", "amount": 41220},
    {"name": "invoice-matcher", "state": "succeeded", "amount": 112403},
    {"name": "refund-runner", "state": "denied", "amount": None},
]
REGO: Final = """# Refunds up to 100 dollars need nobody.
package policies.refunds

default allow := false

allow if {
    input.tool == "refund"
    input.arguments.cents <= 10000
}"""
OLDER: Final = {
    "agent": "refund-desk",
    "timeout_seconds": 30,
    "capabilities": [{"name": "refund", "read_only": False}],
}
NEWER: Final = {
    "agent": "refund-desk",
    "timeout_seconds": 60,
    "purpose": "Pays back what was paid twice.",
    "capabilities": [{"name": "refund", "read_only": False}],
}


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


class CodeForm(forms.Form):
    """Where code is typed, in each language."""

    input = JsonObjectField(label="Input", rows=5, otherwise="Give an object.")
    rule = forms.CharField(label="Rule", widget=CodeInput(language="rego", rows=9))


class ShortForm(forms.Form):
    """What fits into a card of its own."""

    email = forms.EmailField(label="Address")


@require_GET
def gallery(request: HttpRequest) -> HttpResponse:
    """Show each component once; to everybody while DEBUG is on, otherwise to operators."""
    if not (settings.DEBUG or getattr(request.user, "is_staff", False)):
        raise Http404
    now = timezone.now()
    context = {
        "kinds": [
            {"name": name, "label": label, "template": _template_of(name)}
            for name, label in KINDS.items()
            if _is_there(_template_of(name))
        ],
        "looks": [_samples(theme, now) for theme in THEMES],
        "shell": {"nav": [], "projects": []},
    }
    return render(request, "workspace/gallery.html", context)


def _template_of(kind: str) -> str:
    return f"workspace/gallery/_{kind}.html"


def _is_there(name: str) -> bool:
    try:
        get_template(name)
    except TemplateDoesNotExist:
        return False
    return True


def _samples(theme: str, now: datetime) -> dict[str, Any]:
    """What the components are shown with, under ids of their own in each theme."""
    written = {"input": '{\n  "order": "A-1042",\n  "urgent": true\n}', "rule": REGO}
    return {
        "theme": theme,
        "label": theme.capitalize(),
        "form": SampleForm(initial={"name": "Support"}, prefix=f"{theme}-good"),
        "bad_form": SampleForm(data={f"{theme}-bad-mode": "other"}, prefix=f"{theme}-bad"),
        "short_form": ShortForm(prefix=f"{theme}-short"),
        "asked_form": ShortForm(prefix=f"{theme}-asked"),
        "code_form": CodeForm(initial=written, prefix=f"{theme}-code"),
        "bad_code": CodeForm(
            data={f"{theme}-wrong-input": '{\n  "order": \n}'}, prefix=f"{theme}-wrong"
        )["input"],
        "now": now,
        "earlier": now - timedelta(hours=3),
        "rows": [{**row, "digest": f"sha256:{'9f2cb71e' * 8}"} for row in ROWS],
        "rego": REGO,
        "older": OLDER,
        "newer": NEWER,
        "steps": ["Kind", "Details", "Check"],
    }
