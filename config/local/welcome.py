"""What `make run` prints once the product is served."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from config.processes import ROOT

DEMO_ORGS = ("acme", "globex")
DEMO_ROLES = ("owner", "admin", "member", "viewer")
DEMO_PASSWORD = "mandate-demo"  # noqa: S105 - printed on purpose, exists while DEBUG only
CURL = (
    'curl -H "Authorization: Bearer $({prefix}.venv/bin/python manage.py apikey'
    ' --org acme --user owner@acme.example)" -H "Content-Type: application/json"'
    ' -d \'{{"input": {{"text": "hello"}}}}\' {url}/v1/agents/echo/invoke'
)


def text(instance: Mapping[str, str], settings: str) -> str:
    """The URLs; in dev also the demo orgs, their logins and one line to try the API with."""
    url = instance["PUBLIC_URL"]
    lines = ["", f"Mandate is ready: {url}"]
    if settings.endswith(".dev"):
        lines += _demo(url, instance)
    return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def _demo(url: str, instance: Mapping[str, str]) -> list[str]:
    parts = urlsplit(url)
    orgs = ", ".join(f"{parts.scheme}://{slug}.{parts.netloc}" for slug in DEMO_ORGS)
    logins = ", ".join(f"{role}@acme.example" for role in DEMO_ROLES)
    home = Path(instance["MANDATE_HOME"])
    prefix = "" if home == ROOT / ".mandate" else f"MANDATE_HOME={shlex.quote(str(home))} "
    return [
        f"Demo orgs:        {orgs}",
        f"Logins:           {logins} (password {DEMO_PASSWORD})",
        f"Mail:             {url}/dev/mail/",
        "",
        "Have an agent do something:",
        f"  {CURL.format(prefix=prefix, url=url)}",
    ]
