"""The pages of domains: what they show, refuse and do, with htmx and without."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.orgs.models import OrgDomain
from apps.orgs.services import domains
from apps.tenants.gateways import dns
from apps.tenants.models import Org
from tests.orgs.conftest import AT
from tests.orgs.domains import FakeResolver, look, verified_domain
from tests.tenants.browsing import Browser, as_member, is_page, is_part

HOST = "agents.customer.example"
PAGE = "/settings/domains/"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    fake = FakeResolver()
    monkeypatch.setattr(dns, "resolver", lambda: fake)
    return fake


def url_of(domain: OrgDomain, rest: str = "") -> str:
    return f"{PAGE}dom_{domain.id.hex}/{rest}"


def add(owner: Any, name: str = HOST, kind: str = "host") -> OrgDomain:
    return domains.add_domain(kind=kind, name=name, by=owner, at=AT)


def test_a_host_is_added_proved_chosen_and_removed_without_scripts(
    browser: Browser, org: Any, resolver: FakeResolver, django_capture_on_commit_callbacks: Any
) -> None:
    page = browser.get(PAGE)
    assert page.status_code == 200 and is_page(page) and b"acme.localhost" in page.content

    added = browser.post(PAGE, {"kind": "host", "name": "Agents.Customer.example"})
    domain = OrgDomain.objects.get()
    assert (added.status_code, added["Location"]) == (303, url_of(domain))
    html = browser.get(url_of(domain)).content.decode()
    assert f"_mandate-challenge.{HOST}" in html and domain.record_value in html
    assert "Not checked yet" in html and "Where links lead" not in html

    resolver.publish(domain)
    with django_capture_on_commit_callbacks():  # the worker is slow
        asked = browser.post(url_of(domain, "check/"))
    assert (asked.status_code, asked["Location"]) == (303, url_of(domain))
    waiting = browser.get(url_of(domain)).content.decode()
    assert 'http-equiv="refresh"' in waiting and 'hx-trigger="every 2s"' in waiting
    domains.check_domain(domain_id=domain.id, at=timezone.now())
    done = browser.get(url_of(domain)).content.decode()
    assert "The record was found." in done and "http-equiv" not in done and "every 2s" not in done

    chosen = browser.post(url_of(domain, "primary/"), {"primary": "on"})
    assert (chosen.status_code, Org.objects.get(id=org.id).host) == (303, HOST)
    assert browser.get(PAGE).content.decode().count("Links lead here") == 1
    assert browser.post(url_of(domain, "primary/"), {"primary": "off"}).status_code == 303
    assert Org.objects.get(id=org.id).host == ""
    removed = browser.post(url_of(domain, "remove/"))
    assert (removed.status_code, removed["Location"]) == (303, PAGE)
    assert not OrgDomain.objects.exists()


def test_the_poll_gets_the_part_that_changes(
    browser: Browser, owner: Any, resolver: FakeResolver
) -> None:
    domain = add(owner)
    domains.ask_check(domain_id=domain.id, by=owner, at=AT)
    part = browser.part(url_of(domain))
    assert part.status_code == 200 and is_part(part)
    assert b"every 2s" in part.content and b"Records to publish" not in part.content
    assert is_page(browser.get(url_of(domain)))

    look(domain, resolver, at=AT)

    part = browser.part(url_of(domain))
    assert b"every 2s" not in part.content and b"There is no such record yet" in part.content


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("host", "single", "Give a whole name"),
        ("host", "acme.localhost", "belongs to Mandate"),
        ("host", "https://a.example", "without https://"),
        ("mail", "gmail.com", "Everybody can have an address"),
        ("host", "taken.customer.example", "on your list already"),
        ("host", "", "This field is required"),
    ],
)
def test_a_refused_name_is_explained_and_changes_nothing(
    browser: Browser, owner: Any, events: Any, kind: str, name: str, said: str
) -> None:
    add(owner, "taken.customer.example")
    before = len(events())

    answer = browser.post(PAGE, {"kind": kind, "name": name})

    html = answer.content.decode()
    assert answer.status_code == 422 and is_page(answer)
    assert said in html and f'id="{kind}_name_error"' in html
    assert html.count("data-error-summary") == 1
    assert ">Host</label>" in html and ">Mail domain</label>" in html
    assert OrgDomain.objects.count() == 1 and len(events()) == before


def test_adding_and_choosing_need_a_fresh_proof(org: Any, owner: Any, events: Any) -> None:
    domain = verified_domain(HOST, by=owner)
    stale = as_member(org, owner, proved_at=timezone.now() - timedelta(hours=1))
    before = len(events())

    for path, data in (
        (PAGE, {"kind": "host", "name": "evil.customer.example"}),
        (url_of(domain, "primary/"), {"primary": "on"}),
    ):
        answer = stale.post(path, data)
        assert (answer.status_code, answer["Location"]) == (303, "/confirm/")
    assert OrgDomain.objects.count() == 1 and Org.objects.get(id=org.id).host == ""
    assert len(events()) == before
    fresh = as_member(org, owner)
    assert fresh.post(url_of(domain, "primary/"), {"primary": "on"}).status_code == 303
    assert Org.objects.get(id=org.id).host == HOST


def test_the_page_says_what_has_ended_and_what_is_about_to(
    browser: Browser, owner: Any, resolver: FakeResolver
) -> None:
    domain = verified_domain(HOST, by=owner, at=AT)
    assert b'class="banner' not in browser.get(PAGE).content
    look(domain, resolver, at=AT + timedelta(days=1))
    for url in (PAGE, url_of(domain)):
        html = browser.get(url).content.decode()
        assert "banner warn" in html and "the record is gone" in html
    look(domain, resolver, at=AT + timedelta(days=5))
    for url in (PAGE, url_of(domain)):
        html = browser.get(url).content.decode()
        assert "banner bad" in html and "no longer counts" in html


def test_too_many_checks_are_refused_as_such(browser: Browser, owner: Any, settings: Any) -> None:
    settings.DOMAIN_CHECK_RATE = "1/10minutes"
    domain = add(owner)
    for _ in range(2):
        answer = browser.post(url_of(domain, "check/"))
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    assert "may take an hour" in answer.content.decode()


def test_invitations_to_other_domains_are_marked(browser: Browser, owner: Any) -> None:
    def invite(email: str) -> str:
        browser.post("/settings/invitations/", {"email": email, "role": "viewer"})
        return browser.get("/settings/members/").content.decode()

    mark = "Outside your domains"
    assert mark not in invite("before@elsewhere.example")  # no domain is proved: nothing to say
    verified_domain("customer.example", by=owner, kind="mail")
    assert browser.get("/settings/members/").content.decode().count(mark) == 1
    inside = invite("pat@Customer.example")
    assert inside.count(mark) == 1 and "on its way to pat@Customer.example." in inside
    outside = invite("pat@other.example")
    assert outside.count(mark) == 2 and "outside your mail domains" in outside
