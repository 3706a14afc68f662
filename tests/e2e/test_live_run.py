"""A run's page while the run is under way."""

from __future__ import annotations

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.person import Person
from tests.e2e.product import Product
from tests.proof.outside import receiving

pytestmark = pytest.mark.e2e

# The page also asks every five seconds by itself. Without that, only its stream is left.
NO_POLLING = """
const real = window.setTimeout;
window.setTimeout = (work, after, ...rest) => after >= 5000 ? 0 : real(work, after, ...rest);
"""
# What the starter policy lets through without asking a person.
HARMLESS = {
    "name": "invoke",
    "annotations": {"read_only": True, "destructive": False, "open_world": False},
}


def test_the_end_of_a_run_comes_to_its_open_page(
    product: Product, owner: Person, tmp_path: Path
) -> None:
    # Given a run that waits for somebody outside
    owner.sign_in("acme")
    key = owner.create_key("acme", f"Key {uuid.uuid4().hex[:6]}")
    slug = f"w{uuid.uuid4().hex[:8]}"
    with receiving(tmp_path) as outside:
        url = f"{outside.url}?gate_1={slug}"
        body = {"name": slug, "runtime": "http", "config": {"url": url}, "capabilities": [HARMLESS]}
        _post(product, key, "/v1/agents", body)
        run = _post(product, key, f"/v1/agents/{slug}/invoke", {"input": {}, "mode": "async"})
        # When somebody has its page open, and it ends
        owner.page.add_init_script(NO_POLLING)
        with owner.page.expect_request(lambda request: request.url.endswith("/events/")):
            owner.go(f"{product.org('acme')}/runs/{run['id']}/")
        status = owner.page.locator("#run-status")
        expect(status).to_have_text("Running")
        owner.page.evaluate("window.isTheSame = true")
        outside.open(slug)
        # Then the page shows it, and is still the same page
        expect(status).to_have_text("Succeeded")
        expect(owner.page.get_by_role("button", name="Cancel run")).to_have_count(0)
        assert owner.page.evaluate("window.isTheSame") is True


def _post(product: Product, key: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the scheme is written here
        f"http://127.0.0.1:{product.port}{path}",
        data=json.dumps(body).encode(),
        headers={
            "Host": f"localhost:{product.port}",
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.load(answer)
