"""Who may what, said in words."""

from __future__ import annotations

from django import template

from apps.orgs import selectors
from apps.orgs.denials import ROLES_NAMED, listed

register = template.Library()


@register.simple_tag
def roles_with(*codes: str) -> str:
    """“Owner, Admin or Night shift”: the roles that have all of these permissions; one query."""
    return listed([role.name for role in selectors.list_roles_with(*codes)[:ROLES_NAMED]], "or")
