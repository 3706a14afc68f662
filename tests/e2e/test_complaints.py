"""What a browser dislikes is heard: each kind of complaint is made once, and is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.looking import each_look
from tests.e2e.person import Person
from tests.e2e.product import Product

pytestmark = pytest.mark.e2e


@pytest.fixture
def unwatched(product: Product, chromium: Browser) -> Iterator[Person]:
    """Somebody whose complaints are the test's own: nobody asks for them at its end."""
    context = chromium.new_context()
    yield Person(product, context, "nobody@stranger.example")
    context.close()


def heard(person: Person, spoiling: str) -> str:
    """What is complained about once this was done to a page that was quiet before."""
    person.go(f"{person.product.apex}/")
    assert person.complaints == []
    person.page.evaluate(spoiling)
    person.page.wait_for_timeout(300)
    return " · ".join(person.complaints)


@pytest.mark.parametrize(
    ("spoiling", "directive"),
    [
        ("() => document.body.setAttribute('style', 'color: red')", "style-src-attr"),
        (
            "() => { const e = document.createElement('style'); e.textContent = 'p {}';"
            " document.head.append(e); }",
            "style-src-elem",
        ),
        (
            "() => { const e = document.createElement('script'); e.textContent = 'window.x = 1';"
            " document.head.append(e); }",
            "script-src-elem",
        ),
        ("() => document.body.setAttribute('onclick', 'x()')", "script-src-attr"),
        ("() => void fetch('http://127.0.0.1:9/').catch(() => {})", "connect-src"),
    ],
)
def test_what_the_policy_forbids_is_heard(unwatched: Person, spoiling: str, directive: str) -> None:
    assert f"policy: {directive} forbids" in heard(unwatched, spoiling)
    assert unwatched.page.evaluate("window.x") is None


@pytest.mark.parametrize(
    ("spoiling", "fault"),
    [
        ("() => document.querySelector('main').append(document.createElement('input'))", "label: "),
        ("() => { document.querySelector('h1').style.color = '#222' }", "color-contrast: "),
        ("() => { document.body.style.minWidth = '4000px' }", "sideways overflow of "),
        ("() => document.querySelector('main').append(document.createElement('h1'))", "2 h1"),
    ],
)
def test_what_is_wrong_with_a_page_is_seen(unwatched: Person, spoiling: str, fault: str) -> None:
    page = unwatched.go(f"{unwatched.product.apex}/")
    assert each_look(page, "spoiled") == []
    page.evaluate(spoiling)
    assert f"spoiled 390 dark: {fault}" in " · ".join(each_look(page, "spoiled"))


def test_an_error_of_a_script_is_heard(unwatched: Person) -> None:
    assert "spoiled" in heard(unwatched, "() => void setTimeout(() => { throw Error('spoiled') })")


def test_a_missing_file_is_heard(unwatched: Person) -> None:
    missing = "() => { document.body.append(new Image()); document.images[0].src = '/static/no' }"
    assert f"404 {unwatched.product.apex}/static/no" in heard(unwatched, missing)


def test_a_page_that_asks_another_host_is_heard(unwatched: Person) -> None:
    """No policy stops a page from leading elsewhere; the look at each request sees it."""
    complaints = heard(unwatched, "() => { location = 'http://127.0.0.1:9/' }")
    assert "asks 127.0.0.1:9" in complaints


def test_what_is_the_products_own_is_told_from_all_else(product: Product) -> None:
    own = (product.apex, product.org("acme"), "data:image/png;base64,", "about:blank")
    assert [url for url in own if not product.serves(url)] == []
    port = product.port
    others = ("http://localhost/", f"http://localhost.evil.example:{port}/", "https://x.example/")
    others += (f"http://127.0.0.1:{port}/", f"http://evillocalhost:{port}/")
    assert [url for url in others if product.serves(url)] == []
