"""Whether the engine is set up without contradictions, and whether it answers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from apps.common.health import DownError
from apps.policies.engine.asking import draft
from apps.policies.engine.door import get_engine
from apps.tenants import keys

_ALLOWS: Final = draft("package mandate\n\nallow := true\n")


@register("mandate")
def check_engine(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An engine must be named rightly, and be there: without one every policy denies."""
    found: list[CheckMessage] = []
    address = urlsplit(settings.OPA_URL)
    is_address = address.scheme in {"http", "https"} and address.hostname
    if settings.OPA_URL and (not is_address or address.query or address.username):
        found.append(
            Error(
                f"OPA_URL is no address of a server: {settings.OPA_URL!r}.",
                hint="Write it as http://opa:8181; a token goes into OPA_TOKEN.",
                id="mandate.E020",
            )
        )
    if settings.OPA_TOKEN and not settings.OPA_URL:
        found.append(
            Error(
                "OPA_TOKEN is set, but no server is named to show it to.",
                hint="Set OPA_URL, or take OPA_TOKEN away.",
                id="mandate.E021",
            )
        )
    if find_spec("regorus") is None:
        found.append(
            Error(
                "The package gordon-to-regorus is missing; it also reads texts for an OPA server.",
                hint="Install what requirements/base.txt names.",
                id="mandate.E022",
            )
        )
    return found


def ask_engine() -> None:
    """Have the smallest policy evaluated; raises DownError with the reason where it isn't."""
    with keys.holding():
        verdict = get_engine().evaluate([_ALLOWS], {})
    if verdict.result != "allow":
        raise DownError(verdict.opinions[0].flaw)
