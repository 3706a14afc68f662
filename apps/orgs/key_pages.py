"""What every page that makes and lists API keys needs, in whichever app."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.common.errors import DomainError
from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.forms import SomeOffered
from apps.orgs.models import ApiKey
from apps.orgs.pages import org_of, principal_of, show_refusal
from apps.orgs.permissions import ALL_SCOPES, MATRIX, NOT_FOR_AGENTS
from apps.orgs.principals import Principal
from apps.orgs.services import keys
from apps.tenants import proofs

LIFETIMES: Final = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never"))
SHOWN: Final = 200
SOON: Final = timedelta(days=7)


class KeyForm(forms.Form):
    """A new API key, of one's own or of an agent."""

    name = forms.CharField(max_length=80, help_text="What will use it, such as “Nightly import”.")
    scopes = SomeOffered(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all that your role allows.",
    )
    lifetime = forms.ChoiceField(label="Expires", choices=LIFETIMES, required=False, initial="90")

    def __init__(self, *args: Any, by: Principal, as_agent: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        barred = NOT_FOR_AGENTS if as_agent else frozenset()
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (code, text)
            for code, (text, _) in MATRIX.items()
            if by.may(code) and code not in barred
        ]

    def expires_at(self, *, at: datetime) -> datetime | None:
        days = self.cleaned_data["lifetime"]
        return at + timedelta(days=int(days)) if days else None


def make_key(
    request: HttpRequest, form: KeyForm, *, agent: str | None = None, at: datetime
) -> keys.NewKey | None:
    """The key that a valid form asks for; None if it was refused, which the form then says.

    Raises ProofNeeded.
    """
    proofs.require(request, "Create key", at=at)
    try:
        return keys.create_key(
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"] or None,
            expires_at=form.expires_at(at=at),
            agent=agent,
            by=principal_of(request),
            at=at,
        )
    except DomainError as error:
        show_refusal(request, form, error)
        return None


def show_key_once(
    request: HttpRequest, made: keys.NewKey, template: str, context: dict[str, Any]
) -> HttpResponse:
    """The only page that ever holds the token; never stored, by nobody."""
    key = made.key
    shown = {
        "key": {
            "name": key.name,
            "prefix": key.prefix,
            "scopes": scopes_of(key),
            "expires_at": key.expires_at,
            "owner": key.member.label,
            "agent": agent_of(key),
        },
        "token": made.token,
        "command": f'curl -H "Authorization: Bearer {made.token}" {org_of(request).url}/v1/me',
    }
    response = render(request, template, {**context, **shown})
    response["Cache-Control"] = "no-store"
    return response


def key_row(key: ApiKey, by: Principal, now: datetime) -> dict[str, Any]:
    """A key as a list shows it."""
    status = key.status_at(now)
    if status == "active" and key.ends_at and key.ends_at - now <= SOON:
        status = "expiring"
    return {
        "id": public_id(selectors.KEY, key.id),
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.member.label,
        "agent": agent_of(key),
        "scopes": scopes_of(key),
        "last_used_at": key.last_used_at,
        "expires_at": key.ends_at,
        "status": status,
        "can_rotate": key.member_id == by.member_id and key.status_at(now) == "active",
        "can_manage": key.member_id == by.member_id or by.may("keys.manage"),
    }


def agent_of(key: ApiKey) -> str:
    """The slug of the agent that the key acts as; "" for a member's own."""
    return key.agent.slug if key.agent else ""


def scopes_of(key: ApiKey) -> list[str]:
    """The scopes that narrow a key; none if nothing does."""
    scopes: list[str] = key.scopes
    return [] if ALL_SCOPES in scopes else scopes
