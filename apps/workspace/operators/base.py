"""What both operators' sites have in common."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.common.actors import Actor, ActorType
from apps.common.ids import public_id
from apps.tenants import proofs
from apps.tenants.access import user_id_of


def operator(request: HttpRequest) -> Actor:
    """The operator as the logs name them."""
    return Actor(ActorType.OPERATOR, public_id("usr", user_id_of(request)), str(request.user))


def kept_fields(request: HttpRequest) -> dict[str, str]:
    """What was filled in on this very page before a proof was asked for."""
    kept = proofs.kept_form(request.session)
    if kept is None or kept.path != request.get_full_path():
        return {}
    return {name: values[-1] for name, values in kept.fields if values}


class OperatorSite(AdminSite):
    """A site that shows what was registered on it and nothing else.

    Not Django's default one: other packages put their tables there, to be written and with their
    secrets in sight.
    """

    site_title = site_header = "Mandate operators"
    index_template = app_index_template = "operators/index.html"
    final_catch_all_view = False

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """To the one place where a password is changed: it asks for a proof and tells by mail."""
        return redirect("account_change_password")

    password_change_done = password_change  # type: ignore[assignment]
