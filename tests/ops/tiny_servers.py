"""The supervisor over real uvicorn and Celery, started by the product's own commands and flags.

Only the applications are small ones: an ASGI one that answers every path (`/stream` without end)
and a Celery one with a task that sleeps.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from celery import Celery  # noqa: E402

from config import processes  # noqa: E402

app = Celery("tiny", broker=os.environ.get("REDIS_URL"))
app.conf.update(task_default_queue="default", broker_connection_retry_on_startup=True)


@app.task(name="tiny.sleep")
def sleep(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"ok"})


def ours(make):
    """The product's command with the small application in place of the real one."""
    here = "tests.ops.tiny_servers"
    names = {"config.asgi:application": f"{here}:application", "config.celery": here}
    return lambda environ: [names.get(part, part) for part in make(environ)]


COMMANDS = {name: ours(make) for name, make in processes.COMMANDS.items()}
COMMANDS["setup"] = lambda environ: [sys.executable, "-c", "print('migrated')"]

if __name__ == "__main__":
    from config.local.home import Home
    from config.local.supervisor import serve

    sys.exit(serve(Home.of(), os.environ, COMMANDS))
