"""The API's page in a real browser: drawn whole, and nothing that the strict policy had to stop."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.core.handlers.wsgi import WSGIHandler
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.e2e

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def url(sample: None, settings: Any) -> Iterator[str]:
    settings.MIDDLEWARE = [
        "apps.common.middleware.RequestMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        *settings.MIDDLEWARE[1:],
    ]
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    server = make_server("127.0.0.1", 0, WSGIHandler(), server_class=Server, handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_page_shows_and_tries_every_operation_under_the_strict_policy(url: str) -> None:
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{url}/v1/docs")
        page.wait_for_selector(".opblock")
        assert page.locator(".opblock").count() == 6
        page.locator(".opblock-get", has_text="/v1/open").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.wait_for_selector(".live-responses-table")
        assert '"ok": true' in page.locator(".live-responses-table").inner_text()
        browser.close()
    assert said == []
