"""Asks the web process whether it is ready: for the supervisor and for a container's healthcheck.

Standard library only, so that a check every few seconds costs milliseconds.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from config.defaults import shared


def why_not_ready(environ: Mapping[str, str], *, timeout: float = 2) -> str:
    """Empty when `/readyz` answers 200 under the apex's name, else what is known about why not."""
    port = int(shared("PORT", environ))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        host = urlsplit(environ.get("PUBLIC_URL", "")).netloc or f"localhost:{port}"
        connection.request("GET", "/readyz", headers={"Host": host})
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace")
        return "" if response.status == 200 else f"/readyz answers {response.status} {body}"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port} ({error})"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(why_not_ready(os.environ) or 0)
