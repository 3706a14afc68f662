"""Forms in the product's look: named by the FORM_RENDERER setting."""

from __future__ import annotations

from django.forms.renderers import TemplatesSetting


class UiRenderer(TemplatesSetting):
    """Render each form and each field group from `templates/ui/`, in every app alike.

    `{{ form }}` is the summary of errors and all fields; `{{ form.name.as_field_group }}` is one
    field with its label, help and errors tied to it for assistive technology.
    """

    form_template_name = "ui/form.html"
    field_template_name = "ui/field.html"
