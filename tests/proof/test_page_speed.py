"""What a page costs in an org that has done a lot: printed, for whoever reads decides."""

from __future__ import annotations

import gzip
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pytest

from tests.proof.client import Client
from tests.proof.instance import OWNER, Instance

pytestmark = pytest.mark.proof

RUNS: Final = 10_000
ROUNDS: Final = 25
PAGES: Final = (
    "/",
    "/?range=30d",
    "/agents/",
    "/agents/concierge/",
    "/agents/echo/runs/",
    "/runs/",
    "/runs/?level=all",
    "/runs/?agent=echo",
    "/runs/?status=failed",
    "/runs/?q=parcel",
    "/runs/?project=support",
    "/projects/",
    "/settings/members/",
    "/settings/keys/",
)
# Signs the owner in as the doors of both hosts would, and prints the cookie.
SIGN_IN: Final = f"""
from django.conf import settings
from apps.tenants.models import Org, User
from tests.tenants.browsing import signed_in
browser = signed_in(User.objects.get(email="{OWNER}"), Org.objects.get(slug="acme"))
print(f"{{settings.SESSION_COOKIE_NAME}}={{browser.client.cookies[settings.SESSION_COOKIE_NAME].value}}")
"""


@dataclass(frozen=True)
class Browser:
    """A signed-in browser that asks for one page after the other over one connection."""

    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def get(self, path: str) -> tuple[float, bytes]:
        """The seconds that a page took, and what it is."""
        begun = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - begun
        assert answer.status == 200, (path, answer.status)
        return took, content


def test_pages_of_an_org_with_ten_thousand_runs(instance: Instance, client: Client) -> None:
    work(client)
    browser = sign_in(instance)
    times: dict[str, list[float]] = {page: [] for page in PAGES}
    sizes = {}
    for page in PAGES * (1 + ROUNDS):  # taking turns, so that what disturbs one disturbs all
        took, content = browser.get(page)
        times[page].append(took)
        sizes[page] = len(gzip.compress(content))
    with instance.database() as database:
        found = database.execute("select count(*) as runs from runs").fetchone()
    print(f"\n{found} in the org; p50 and p95 of {ROUNDS} each, in ms, and KB of gzipped HTML")
    for page, taken in times.items():
        ordered = sorted(taken[1:])
        p50, p95 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.95))
        print(f"{page:28} {p50:6.1f} {p95:6.1f} {sizes[page] / 1024:6.1f}")


def work(client: Client) -> None:
    """Have the demo agents do the runs, really."""

    def one(number: int) -> int:
        if number % 10 == 0:
            return client.invoke("calculator", {"expression": f"{number} / 0"}).status
        return client.invoke("echo", {"text": f"My parcel has number {number}."}).status

    with ThreadPoolExecutor(8) as crowd:
        assert set(crowd.map(one, range(RUNS))) == {200}


def sign_in(instance: Instance) -> Browser:
    cookie = instance.manage("shell", "--no-imports", "-c", SIGN_IN).splitlines()[-1]
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=60)
    return Browser(connection, {"Host": f"acme.localhost:{instance.port}", "Cookie": cookie})
