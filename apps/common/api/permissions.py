"""Who may call what: every method of every view names the permission that it needs."""

from __future__ import annotations

from typing import Any, Final, Protocol

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.common.errors import PermissionDenied, Unauthenticated

SIGNED_IN: Final = ""
"""Needs no permission beyond being somebody."""


class Principal(Protocol):
    """What an authentication class must put into `request.auth`; without one it is None."""

    @property
    def permissions(self) -> frozenset[str]:
        """The codes of the role, cut down to the key's scopes."""

    @property
    def rate_limit_key(self) -> str:
        """Names the caller and its org, for limits are per org."""


class HasCode(BasePermission):
    """Let pass who has the code that the view's `required` names for this method.

    Closed by default: a method without an entry is refused, unless the view doesn't have the
    method at all, which is 405. Someone unknown is told so (401) before anything else.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if view.public:
            return True
        caller: Any = request.auth
        if caller is None:
            raise Unauthenticated
        method = "GET" if request.method == "HEAD" else request.method
        if method not in view.allowed_methods:
            return True
        code = view.required.get(method)
        if code != SIGNED_IN and code not in caller.permissions:
            raise PermissionDenied(_denial(code), permission=code)
        return True


def _denial(code: str | None) -> str:
    return f"This needs the permission {code}." if code else "Nobody may do this."
