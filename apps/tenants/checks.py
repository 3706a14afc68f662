"""Settings that contradict each other stop a process before it serves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

SERVING = frozenset({"web", "worker", "beat"})
LEAST_SECRET = 40


@register("mandate")
def check_owner_login(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A process that serves must not be able to change what guards the rows."""
    if settings.PROCESS in SERVING and "owner" in settings.DATABASES:
        return [
            Error(
                f"The process “{settings.PROCESS}” knows the owner's database login.",
                hint="Set DATABASE_OWNER_URL for the provisioner and one-shot commands only.",
                id="mandate.E001",
            )
        ]
    return []


@register("mandate")
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Production has no debugging, no secret that anybody could know, and TLS."""
    if not settings.PRODUCTION:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG or settings.DEMO:
        found.append(Error("DEBUG or DEMO is on in production.", id="mandate.E002"))
    weak = len(settings.SECRET_KEY) < LEAST_SECRET or len(set(settings.SECRET_KEY)) < 10
    if weak or "insecure" in settings.SECRET_KEY or "change" in settings.SECRET_KEY.lower():
        found.append(
            Error(
                "SECRET_KEY is a default or too easy to guess.",
                hint=f"Use at least {LEAST_SECRET} random characters.",
                id="mandate.E003",
            )
        )
    if len(set(settings.MANDATE_KEK)) < 8 or bytes(range(32)) == settings.MANDATE_KEK:
        found.append(
            Error("MANDATE_KEK is a default.", hint="Use 32 random bytes.", id="mandate.E004")
        )
    if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        found.append(
            Error(
                "Mail would be written to files, reset links included.",
                hint="Set EMAIL_HOST.",
                id="mandate.E006",
            )
        )
    if not settings.PUBLIC_URL.startswith("https://"):
        found.append(Error("PUBLIC_URL must be an https address in production.", id="mandate.E005"))
    return found
