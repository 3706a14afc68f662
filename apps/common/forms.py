"""Forms in the product's look, and services' refusals shown in them."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal

from django import forms
from django.forms.renderers import TemplatesSetting

from apps.common.errors import DomainError, Invalid, PreconditionFailed
from apps.common.json import read_typed
from apps.common.text import is_one_line

STALE: Final = (
    "This has changed since you opened it, and nothing was overwritten. "
    "Open it again to see the newer version."
)
# Conflicts that one field can mend.
FIELDS: Final = {
    "slug_in_use": "slug",
    "already_member": "email",
    "already_invited": "email",
    "capability_exists": "name",
    "grant_exists": "caller",
    "provider_name_in_use": "name",
    "domain_exists": "name",
    "too_many_domains": "name",
    "price_exists": "model",
    "view_name_in_use": "name",
    "role_name_in_use": "name",
}


class UiRenderer(TemplatesSetting):
    """Render each form and each field group from `templates/ui/`, in every app alike.

    `{{ form }}` is the summary of errors and all fields; `{{ form.name.as_field_group }}` is one
    field with its label, help and errors tied to it for assistive technology. Named by the
    FORM_RENDERER setting.
    """

    form_template_name = "ui/form.html"
    field_template_name = "ui/field.html"


class CodeInput(forms.Textarea):
    """Where code is typed: a text area, which scripts make an editor with numbers and colours."""

    template_name = "ui/code_input.html"

    def __init__(self, *, language: Literal["json", "rego"], rows: int = 12) -> None:
        attrs = {"rows": rows, "spellcheck": "false", "autocapitalize": "off", "class": "mono"}
        super().__init__(attrs=attrs)
        self.language = language

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return {**super().get_context(name, value, attrs), "language": self.language}


class CodeBoundField(forms.BoundField):
    """Tells the editor which line was refused, from the `line` of the first error that has one."""

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        found = super().build_widget_attrs(attrs, widget)
        for error in self.errors.as_data() if self.form.is_bound else ():
            if error.params and "line" in error.params:
                return {**found, "data-error-line": error.params["line"]}
        return found


class JsonObjectField(forms.CharField):
    """A JSON object in an editor; `otherwise` says what is wanted where it is another value."""

    empty_values = (None, "")
    bound_field_class = CodeBoundField
    kind: type = dict

    def __init__(self, *, otherwise: str, rows: int, **options: Any) -> None:
        super().__init__(widget=CodeInput(language="json", rows=rows), strip=False, **options)
        self.otherwise = otherwise

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, self.kind) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if not text.strip():
            return ""
        try:
            found = read_typed(text)
        except Invalid as error:
            raise forms.ValidationError(error.detail, params=_line_of(error.detail)) from error
        if not isinstance(found, self.kind):
            raise forms.ValidationError(self.otherwise)
        return found


def _line_of(said: str) -> dict[str, int]:
    """The line that a refusal of JSON names, if it names one."""
    found = re.search(r"at line (\d+)", said)
    return {"line": int(found[1])} if found else {}


class NameField(forms.CharField):
    """What somebody or something is called: mails, logs and other people's pages repeat it."""

    def validate(self, value: str) -> None:
        super().validate(value)
        if not is_one_line(value):
            raise forms.ValidationError("Use one line, without control characters.")


def add_refusal(form: forms.Form, error: DomainError) -> None:
    """Show a service's refusal where it belongs: at its field, or above the form.

    A dotted path such as `config.url` belongs to the field that its end names.
    """
    if isinstance(error, Invalid) and error.extra["errors"]:
        for path, messages in error.by_field.items():
            form.add_error(_field_of(form, path), messages)
        return
    if isinstance(error, PreconditionFailed):
        form.add_error(None, STALE)
        return
    said = error.detail or error.title
    form.add_error(_field_of(form, FIELDS.get(error.code, "")), said)


def _field_of(form: forms.Form, path: str) -> str | None:
    names = (path, path.rpartition(".")[2], path.partition(".")[0])
    return next((name for name in names if name in form.fields), None)
