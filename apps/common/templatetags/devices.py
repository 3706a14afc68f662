"""Browsers, as a list of sign-ins names them."""

from __future__ import annotations

from django import template

from apps.common import devices

register = template.Library()


@register.filter
def device(user_agent: str) -> str:
    """`Firefox on Windows`, of what the browser calls itself."""
    return devices.name_of(user_agent)


@register.filter
def device_icon(user_agent: str) -> str:
    return "smartphone" if devices.is_handheld(user_agent) else "monitor"
