"""The forms of the apex: signing up, and naming an org."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from apps.common.errors import DomainError
from apps.common.forms import NameField
from apps.common.text import make_slug
from apps.tenants import zones
from apps.tenants.models import Org, User
from apps.tenants.services.orgs import check_slug


class SignupForm(forms.Form):
    """What allauth's sign-up asks besides address and password; an invited person names no org."""

    name = NameField(
        label="Your name",
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    organization = NameField(
        label="Organization",
        max_length=80,
        required=False,
        help_text=(
            "Made for you as soon as your address is verified. Leave it empty if you were invited."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ("name", "email", "password1", "organization")

    def clean_organization(self) -> str:
        name: str = self.cleaned_data["organization"].strip()
        if name:
            _check_name(name)
        return name

    def signup(self, request: HttpRequest, user: User) -> None:
        """Keep what the new user said, until the address is verified."""
        user.name = self.cleaned_data["name"].strip()
        user.org_wish = self.cleaned_data["organization"]
        user.save(update_fields=["name", "org_wish"])


class ProfileForm(forms.Form):
    """What one says of oneself."""

    name = NameField(
        label="Your name",
        max_length=120,
        help_text="As your organizations show it. It changes in all of them.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=zones.choices,
        help_text="Times on pages are written in it. Logs and signatures stay in UTC.",
    )


class OrgForm(forms.Form):
    """A new organization and its address."""

    name = NameField(label="Name", max_length=80)
    slug = forms.CharField(
        label="Address",
        max_length=40,
        required=False,
        help_text="Lower-case letters, digits and hyphens. It can't be changed later.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("name"):
            data["slug"] = data.get("slug") or make_slug(data["name"], fallback="")
            try:
                check_slug(data["slug"])
            except DomainError as error:
                self.add_error("slug", str(error))
            else:
                if Org.objects.filter(slug=data["slug"]).exists():
                    self.add_error("slug", f"“{data['slug']}” is taken. Choose another address.")
        return data


def _check_name(name: str) -> None:
    if not make_slug(name, fallback=""):
        raise forms.ValidationError("Use a name with at least one letter.")
