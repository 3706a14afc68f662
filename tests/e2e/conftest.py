"""One product and one Chromium for all browser tests; a fresh context for each person."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e import office as offices
from tests.e2e import product as products
from tests.e2e.office import Office
from tests.e2e.person import DEMO_PASSWORD, PASSWORD, Person
from tests.e2e.product import PASSED_ON, ROOT, Product

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NewPerson = Callable[..., Person]

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The product, in a folder that only its owner may enter; nothing of it outlives the tests."""
    folder = Path(tempfile.mkdtemp(prefix="mandate-e2e-"))
    folder.chmod(0o700)
    running = products.start(folder / "home")
    try:
        assert running.leftovers(), "the search for processes finds none while it runs"
        yield running
    finally:
        running.stop()
        left = running.leftovers()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium: install one, or name it in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_person(product: Product, chromium: Browser) -> Iterator[NewPerson]:
    """Makes people; at the end no browser of theirs may have complained."""
    people: list[Person] = []

    def make(email: str = "", *, password: str = PASSWORD, **options: Any) -> Person:
        address = email or f"p{uuid.uuid4().hex[:10]}@stranger.example"
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900}, reduced_motion="reduce", **options
        )
        people.append(Person(product, context, address, password=password))
        return people[-1]

    yield make
    complaints = [complaint for person in people for complaint in person.complaints]
    for person in people:
        person.context.close()
    assert complaints == []


@pytest.fixture
def owner(new_person: NewPerson) -> Person:
    """The demo org's owner, before signing in."""
    return new_person("owner@acme.example", password=DEMO_PASSWORD)


@pytest.fixture
def operator(product: Product, new_person: NewPerson) -> Person:
    """Somebody who runs the product, signed in on the apex: made by the command, as docs say."""
    person = new_person(f"op-{uuid.uuid4().hex[:8]}@mandate.example")
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environ |= {"MANDATE_HOME": str(product.home), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    command = [sys.executable, str(ROOT / "manage.py"), "createsuperuser", "--noinput"]
    subprocess.run([*command, "--email", person.email], env=environ, check=True)  # noqa: S603
    person.go(f"{product.apex}/account/login/")
    person.give_password()
    person.has_heading("Confirm your address")
    person.open_mail("Confirm your address")
    person.follow_link()
    person.confirm()
    return person


@pytest.fixture
def new_slug() -> str:
    return f"org-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def demo_keys(product: Product) -> dict[str, str]:
    return offices.make_keys(product)


@pytest.fixture
def office(product: Product, demo_keys: dict[str, str]) -> Iterator[Office]:
    """The demo org with what a test makes of rules in it; none of them holds afterwards."""
    made = Office(product, demo_keys)
    yield made
    made.put_away()


@pytest.fixture
def admin(new_person: NewPerson) -> Person:
    return new_person("admin@acme.example", password=DEMO_PASSWORD)


@pytest.fixture
def member(new_person: NewPerson) -> Person:
    return new_person("member@acme.example", password=DEMO_PASSWORD)
