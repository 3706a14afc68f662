"""The doors of an org's host: which views open to whom, and who holds the second key there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase

from apps.tenants import keys, selectors

View = TypeVar("View", bound=Callable[..., Any])


def open_to_all(view: View) -> View:
    """Let a view of an org's host answer without a member; no row of the org is unlocked for it."""
    view.open_to_all = True  # type: ignore[attr-defined]
    return view


def public_document(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A document that the org publishes to everybody: both keys are held, from the host's org."""

    @functools.wraps(view)
    def with_keys(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        remembered = getattr(request, "org", None)
        org = selectors.get_org(remembered.id) if remembered else None
        if org is None or not org.is_active:
            raise Http404
        with keys.holding(org.schema, org.id):
            return view(request, *args, **kwargs)

    return open_to_all(with_keys)


def user_id_of(request: HttpRequest) -> UUID:
    """Whoever is signed in; only code behind a sign-in may call it."""
    user_id: UUID = request.user.pk  # type: ignore[assignment]
    return user_id
