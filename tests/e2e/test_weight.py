"""What a first visit of a page costs the line."""

from __future__ import annotations

import gzip
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, Response

from tests.e2e.person import Person
from tests.e2e.product import Product
from tests.e2e.test_pages import WORKSPACE

pytestmark = pytest.mark.e2e

MOST_BYTES = 60 * 1024
# Swagger UI, whole and from its own wheel: the reference of the API, for who comes to read it.
OF_ANOTHER = {"org-api-docs"}
SETTLING_MS = 250
"""For the parts that a page asks for by itself, once it is there."""
TRIES = 3


def test_a_page_weighs_at_most_60_kb(product: Product, owner: Person) -> None:
    owner.sign_in("acme")
    session = owner.context.new_cdp_session(owner.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    weights = {
        name: weigh(owner.page, f"{product.org('acme')}{path}")
        for name, path in WORKSPACE.items()
        if name not in OF_ANOTHER
    }

    heaviest = sorted(weights, key=lambda name: -weights[name])[:3]
    told = ", ".join(f"{name} {weights[name] / 1024:.1f} KB" for name in heaviest)
    print(f"\n{len(weights)} pages, the heaviest, gzipped: {told}")
    assert min(weights.values()) > 10_000, "what is weighed is not the whole of a page"
    assert {name: weight for name, weight in weights.items() if weight > MOST_BYTES} == {}


def weigh(page: Page, url: str) -> int:
    """The bytes of all that an empty cache has to fetch, gzipped; without fonts, of which we have
    none. The browser may drop a body before it is read: then the page is loaded again.
    """
    for _ in range(TRIES - 1):
        with suppress(Error):
            return _weigh(page, url)
    return _weigh(page, url)


def _weigh(page: Page, url: str) -> int:
    answers: list[Response] = []

    def take(answer: Response) -> None:
        answers.append(answer)

    page.on("response", take)
    try:
        page.goto(url)
        page.wait_for_timeout(SETTLING_MS)
    finally:
        page.remove_listener("response", take)
    return sum(len(gzip.compress(answer.body(), 6)) for answer in answers if is_whole(answer))


def is_whole(answer: Response) -> bool:
    is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
    return 200 <= answer.status < 500 and not 300 <= answer.status < 400 and not is_stream
