"""The apex's pages: who gets what, whole and in part, with scripts and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.tenants.models import Membership, Org, User
from apps.tenants.services import orgs
from apps.tenants.urls import urlpatterns
from config.urls import apex as urlconf
from tests.tenants.browsing import Browser, anonymous, is_page, is_part, signed_in

NONCE = "ab" * 32
# name: (answer to nobody, to a stranger, to a member of acme) for GET, and the same for POST
TABLE = {
    "landing": ((200, 302, 302), (405, 405, 405)),
    "home": ((302, 200, 200), (405, 405, 405)),
    "handover": ((302, 404, 302), (405, 405, 405)),
    "new_org": ((302, 200, 200), (302, 422, 422)),
    "profile": ((302, 200, 200), (302, 422, 422)),
    "security": ((302, 200, 200), (405, 405, 405)),
    "provisioning": ((302, 404, 200), (405, 405, 405)),
    "retry": ((405, 405, 405), (302, 404, 409)),
    "end_session": ((405, 405, 405), (302, 404, 404)),
    "dev_mail": ((404, 404, 404), (404, 404, 404)),
    "dev_mail_detail": ((404, 404, 404), (404, 404, 404)),
}
ARGS = {
    "provisioning": ["acme"],
    "retry": ["acme"],
    "end_session": [2**31 - 1],
    "dev_mail_detail": ["some.eml"],
}


def path_of(name: str) -> str:
    path = reverse(f"tenants:{name}", args=ARGS.get(name), urlconf=urlconf)
    return f"{path}?org=acme&nonce={NONCE}" if name == "handover" else path


@pytest.fixture
def owner(acme: Any) -> User:
    return User.objects.get(pk=acme.owner_id)


@pytest.fixture
def browser(owner: User) -> Browser:
    return signed_in(owner)


def test_every_page_has_its_row() -> None:
    assert {pattern.name for pattern in urlpatterns} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_page_answers_each_as_its_row_says(owner: User, other_org: Any, name: str) -> None:
    stranger = User.objects.get(pk=other_org.owner_id)
    tabs = anonymous(), signed_in(stranger), signed_in(owner)
    path, before = path_of(name), list(Org.objects.order_by("id").values())

    read = tuple(tab.get(path).status_code for tab in tabs)
    sent = tuple(tab.post(path).status_code for tab in tabs)

    assert (read, sent) == TABLE[name]
    assert list(Org.objects.order_by("id").values()) == before


@pytest.mark.parametrize("name", ["home", "security", "new_org", "provisioning", "handover"])
def test_a_page_sends_nobody_to_sign_in_and_back(acme: Any, name: str) -> None:
    answer = urlsplit(anonymous().get(path_of(name))["Location"])
    assert answer.path == "/account/login/"
    assert parse_qs(answer.query) == {"next": [path_of(name)]}


@pytest.mark.parametrize("name", ["home", "new_org", "provisioning"])
def test_a_page_is_whole_or_in_part(browser: Browser, acme: Any, name: str) -> None:
    if name == "provisioning":
        Org.objects.filter(id=acme.id).update(state="failed")
    assert is_page(browser.get(path_of(name)))
    assert is_part(browser.part(path_of(name)))


def test_the_landing_page_is_whole_or_in_part(db: None) -> None:
    assert is_page(anonymous().get("/")) and is_part(anonymous().part("/"))


def test_a_new_org_is_asked_for_without_scripts(browser: Browser, owner: User) -> None:
    answer = browser.post("/account/orgs/new/", {"name": "Initech Labs"})

    assert answer.status_code == 303
    assert answer["Location"] == "/account/orgs/initech-labs/"
    made = Org.objects.get(slug="initech-labs")
    assert (made.name, made.state, made.owner_id) == ("Initech Labs", "provisioning", owner.pk)
    assert Membership.objects.filter(org=made, user=owner).exists()
    page = browser.get(answer["Location"])
    assert b'hx-trigger="every 1s"' in page.content
    assert b'<meta http-equiv="refresh" content="1">' in page.content


@pytest.mark.parametrize(
    "data",
    [
        {"name": "", "slug": "kept-slug"},
        {"name": "Kept", "slug": "acme"},
        {"name": "Kept", "slug": "www"},
        {"name": "Kept", "slug": "No Slug"},
        {"name": "Kept", "slug": "ab"},
        {"name": "!!!", "slug": ""},
        {"name": "k" * 81, "slug": "kept-slug"},
    ],
)
def test_a_refused_org_keeps_what_was_typed(browser: Browser, data: dict[str, str]) -> None:
    before = Org.objects.count()
    for answer in (
        browser.post("/account/orgs/new/", data),
        browser.post("/account/orgs/new/", data, HX_Request="true"),
    ):
        assert answer.status_code == 422
        for typed in filter(None, data.values()):
            assert f'value="{typed}"'.encode() in answer.content
    assert is_part(answer) and Org.objects.count() == before


def test_an_empty_form_is_refused_too(browser: Browser) -> None:
    answer = browser.post("/account/orgs/new/")
    assert answer.status_code == 422 and b"This field is required" in answer.content


@pytest.mark.parametrize("path", ["/account/orgs/new/", "/account/orgs/acme/retry/"])
def test_a_form_needs_the_token_of_its_page(owner: User, path: str) -> None:
    Org.objects.filter(slug="acme").update(state="failed")
    tab, before = signed_in(owner, csrf=True), Org.objects.count()
    assert tab.post(path, {"name": "Initech"}).status_code == 403
    assert Org.objects.count() == before and Org.objects.get(slug="acme").state == "failed"
    token = str(tab.get("/account/orgs/new/").context["csrf_token"])
    answer = tab.post(path, {"name": "Initech", "csrfmiddlewaretoken": token})
    assert answer.status_code == 303


def test_a_failed_org_is_tried_again(browser: Browser, acme: Any) -> None:
    Org.objects.filter(id=acme.id).update(state="failed")
    assert b"Try again" in browser.get("/account/orgs/acme/").content
    answer = browser.post("/account/orgs/acme/retry/")
    assert (answer.status_code, answer["Location"]) == (303, "/account/orgs/acme/")
    assert Org.objects.get(id=acme.id).state == "provisioning"


def test_a_ready_org_is_opened_by_the_fragment(browser: Browser) -> None:
    answer = browser.part("/account/orgs/acme/")
    assert answer["HX-Redirect"] == "http://acme.localhost:8000"
    assert b"Acme is ready" in browser.get("/account/orgs/acme/").content


@pytest.mark.parametrize("nonce", ["", "00", "xyz"])
def test_no_ticket_without_a_nonce_that_can_be_read(browser: Browser, nonce: str) -> None:
    assert browser.get(f"/account/handover/?org=acme&nonce={nonce}").status_code == 404


def test_more_orgs_cost_no_more_queries(browser: Browser, owner: User) -> None:
    def queries(upto: int) -> int:
        for n in range(Membership.objects.filter(user=owner).count(), upto):
            orgs.request_org(
                name=f"Org {n}", slug=f"counted-{n}", owner_id=owner.pk, at=timezone.now()
            )
        with CaptureQueriesContext(connection) as seen:
            assert browser.get("/account/").status_code == 200
        return len(seen)

    queries(1)
    assert queries(2) == queries(12) <= 9


def test_development_mail_is_shown_only_with_debug(db: None, settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_FILE_PATH = str(tmp_path)
    text = "Subject: Hello\nTo: pat@x.example\nContent-Type: text/plain\n\nhttp://localhost/x\n"
    (tmp_path / "one.eml").write_text(text)
    (tmp_path.parent / "outside.eml").write_text(text)
    assert anonymous().get("/dev/mail/one.eml/").status_code == 404

    settings.DEBUG = True
    tab = anonymous()
    listing, mail = tab.get("/dev/mail/"), tab.get("/dev/mail/one.eml/")
    assert is_page(listing) and b"Hello" in listing.content
    assert is_page(mail) and b'href="http://localhost/x"' in mail.content
    for name in ("two.eml", "..%2Foutside.eml"):
        assert tab.get(f"/dev/mail/{name}/").status_code == 404
