"""Who may what, said in words."""

from __future__ import annotations

from django import template

from apps.orgs import selectors
from apps.orgs.denials import ROLES_NAMED, listed

register = template.Library()


@register.simple_tag(takes_context=True)
def roles_with(context: template.Context, *codes: str) -> str:
    """“Owner, Admin or Night shift”: the roles that have all of these permissions; one query for
    a page, however often it says so.
    """
    request = context.get("request")
    said: dict[tuple[str, ...], str] = vars(request).setdefault("roles_with", {}) if request else {}
    if codes not in said:
        roles = selectors.list_roles_with(*codes)[:ROLES_NAMED]
        said[codes] = listed([role.name for role in roles], "or")
    return said[codes]
