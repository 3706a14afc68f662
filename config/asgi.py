"""What uvicorn serves: Django behind one wrapper that starts every request without keys."""

from __future__ import annotations

import gc
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
os.environ.setdefault("MANDATE_PROCESS", "web")

import django

django.setup()

from django.conf import settings  # noqa: E402

from apps.common import telemetry  # noqa: E402
from apps.tenants import keys  # noqa: E402
from apps.tenants.middleware import ANY_HOST  # noqa: E402
from config import celery  # noqa: E402, F401
from config.handler import Handler, leave_ends_alone  # noqa: E402
from config.serving import refuse_contradictions  # noqa: E402

refuse_contradictions()
telemetry.configure()
if not settings.DEBUG:
    leave_ends_alone()
django_application = Handler()
# What was imported stays, so no collection looks through it again; and a request makes thousands of
# objects that it drops itself, so young ones are looked through every few requests (measured).
gc.freeze()
gc.set_threshold(20_000, 10, 10)
# Whoever asks how the process is gets an answer while all its other threads wait for something.
probes = {path: Handler(threads=2) for path in ANY_HOST}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one connection; the keys last exactly as long, a stream's last byte included."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    with keys.holding():
        handler = probes.get(scope["path"], django_application)
        await handler(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    """Say yes to start and stop: Django's own handler knows no lifespan."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
