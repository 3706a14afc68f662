"""The forms of an org's pages. They read and shape; what is allowed, services decide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms

from apps.common.forms import NameField
from apps.orgs.labels import LONGEST, MOST
from apps.orgs.ruled import FIXED
from apps.tenants.domains import HOST, MAIL, NAME_MAX

VALUE_MAX = 60


class _AskedOfService:
    """Takes what isn't offered too, for the service to refuse: so who asks for what they may not
    give is told why, and it goes on record.
    """

    def valid_value(self, value: str) -> bool:
        return len(value) <= VALUE_MAX and value.isprintable()


class OneOffered(_AskedOfService, forms.ChoiceField):
    """One of what is offered, as the service has the last word on."""


class SomeOffered(_AskedOfService, forms.MultipleChoiceField):
    """Some of what is offered, as the service has the last word on."""


class LabelsField(forms.CharField):
    """Labels as people type them, separated by commas."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=MOST * (LONGEST + 2), **options)

    def clean(self, value: Any) -> list[str]:
        return [label.strip() for label in super().clean(value).split(",") if label.strip()]


def _fix(field: forms.Field) -> None:
    """Show what policies go by to somebody who can't change it."""
    field.widget.attrs["readonly"] = True
    field.help_text = FIXED


class ProjectForm(forms.Form):
    """A new project."""

    name = forms.CharField(max_length=80)
    slug = forms.SlugField(
        max_length=40, required=False, help_text="Stands in addresses. Made from the name if empty."
    )
    tags = LabelsField(help_text="Separated by commas. Policies can ask for them.")


class ProjectEditForm(ProjectForm):
    """Changes to the version of a project that was read."""

    version = forms.CharField(widget=forms.HiddenInput)
    slug = None  # type: ignore[assignment]

    def fix_tags(self) -> None:
        _fix(self.fields["tags"])


class GroupsForm(forms.Form):
    """The groups of a member."""

    groups = LabelsField(help_text="Separated by commas. Policies can ask for them.")

    def fix(self) -> None:
        _fix(self.fields["groups"])


class InviteForm(forms.Form):
    """An address and the role that it gets."""

    email = forms.EmailField(
        label="Address",
        max_length=254,
        help_text="The link goes there by mail. It works once, for this address only.",
    )
    role = OneOffered(help_text="It can be changed later.")

    def __init__(self, *args: Any, roles: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = roles  # type: ignore[attr-defined]


class RoleForm(forms.Form):
    """A role of the org's own, and what it may: of that, what its maker may too."""

    name = NameField(max_length=60, help_text="As people will see it beside a member’s name.")
    description = forms.CharField(
        required=False, max_length=200, help_text="What it is for, in a sentence."
    )
    permissions = SomeOffered(error_messages={"required": "Choose at least one permission."})
    version = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, codes: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["permissions"].choices = [(code, code) for code in codes]  # type: ignore[attr-defined]

    def chosen(self) -> set[str]:
        """The permissions that are ticked when it is shown."""
        return set(self["permissions"].value() or ())


class DomainForm(forms.Form):
    """A host or a mail domain, as the page's two forms send it."""

    LABELS: ClassVar = {
        HOST: ("Host", "For example agents.your-company.com: a name that only this serves."),
        MAIL: ("Mail domain", "For example your-company.com: what stands behind the @."),
    }

    kind = forms.ChoiceField(choices=[(HOST, HOST), (MAIL, MAIL)], widget=forms.HiddenInput)
    name = forms.CharField(max_length=NAME_MAX)

    def __init__(self, data: Any = None, *, of_kind: str) -> None:
        """With the words of its kind, and ids that the other form doesn't have."""
        super().__init__(data, auto_id=f"{of_kind}_%s", initial={"kind": of_kind})
        self.of_kind = of_kind
        self.fields["name"].label, self.fields["name"].help_text = self.LABELS[of_kind]


class NameForm(forms.Form):
    """The organization's name."""

    name = NameField(max_length=80, help_text="As people know it. Addresses stay as they are.")


class CloseForm(forms.Form):
    """The organization's name, typed, because erasing can't be undone."""

    name = forms.CharField(label="Type the organization's name to confirm")

    def __init__(self, *args: Any, org_name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.org_name = org_name

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self.org_name:
            raise forms.ValidationError(f"Type “{self.org_name}” exactly.")
        return name
