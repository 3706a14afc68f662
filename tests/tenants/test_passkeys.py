"""Passkeys on the apex: added, named, used, removed; recovery codes; and what is on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client

from apps.tenants import apex_log
from apps.tenants.models import Session, User
from tests.tenants.authenticator import Device
from tests.tenants.browsing import APEX, APEX_HOST, Browser, is_page
from tests.tenants.test_apex_log import events

pytestmark = pytest.mark.usefixtures("committed")

ADD = "/account/2fa/webauthn/add/"
LOGIN = "/account/2fa/webauthn/login/"


@pytest.fixture
def user(throwaway_org: Callable[[], Any]) -> User:
    return User.objects.get(email=f"owner@{throwaway_org().slug}.example")


def browser() -> Browser:
    return Browser(Client(), APEX_HOST)


def by_password(user: User) -> Browser:
    """Signed in, and proved anew."""
    tab = browser()
    tab.post("/account/login/", {"login": user.email, "password": "mandate-demo"})
    tab.post("/account/reauthenticate/", {"password": "mandate-demo"})
    return tab


def add(tab: Browser, device: Device, name: str = "Laptop") -> Any:
    options = tab.get(ADD).context["js_data"]["creation_options"]
    form = {"name": name, "passwordless": "on", "credential": device.create(options)}
    return tab.post(ADD, form)


def sign_in(tab: Browser, device: Device, **form: str) -> Any:
    options = tab.get(LOGIN, Accept="application/json").json()["request_options"]
    return tab.post(LOGIN, {"credential": device.get(options), **form})


def is_in(tab: Browser) -> bool:
    return bool(tab.get("/account/security/").status_code == 200)


def log(user: User) -> list[str]:
    return [action.removeprefix("tenants.") for action, _ in events(f"usr_{user.pk.hex}")]


def test_a_passkey_is_added_shown_renamed_and_removed(user: User) -> None:
    tab = by_password(user)

    answer = add(tab, Device())

    assert (answer.status_code, answer["Location"]) == (302, "/account/2fa/recovery-codes/")
    key = Authenticator.objects.get(user=user, type="webauthn")
    page = tab.get("/account/security/").content.decode()
    assert "Laptop" in page and f"/account/2fa/webauthn/keys/{key.pk}/remove/" in page
    assert log(user) == ["authenticator.added", "authenticator.added"]
    assert [m.subject for m in mail.outbox if user.email in m.to] == ["A passkey was added"]

    tab.post(f"/account/2fa/webauthn/keys/{key.pk}/edit/", {"name": "Blue key"})
    assert "Blue key" in tab.get("/account/security/").content.decode()
    assert tab.post(f"/account/2fa/webauthn/keys/{key.pk}/remove/").status_code == 302
    assert not Authenticator.objects.filter(user=user).exists()
    assert log(user)[2:] == ["authenticator.removed", "authenticator.removed"]
    assert mail.outbox[-1].subject == "A passkey was removed"


def test_a_passkey_signs_in_alone_and_leads_where_one_wanted_to_go(user: User) -> None:
    device = Device()
    add(by_password(user), device)
    tab = browser()

    answer = sign_in(tab, device, next="/account/sessions/")

    assert (answer.status_code, answer["Location"]) == (302, "/account/sessions/")
    assert is_in(tab)
    session = Session.objects.get(session_key=tab.client.session.session_key)
    assert session.via == "passkey" and session.mfa_at is not None


@pytest.mark.parametrize("fault", ["org's origin", "other key", "other account", "garbage", "off"])
def test_a_passkey_that_is_not_good_signs_nobody_in(
    user: User, throwaway_org: Callable[[], Any], fault: str
) -> None:
    device, tab = Device(), browser()
    add(by_password(user), device)
    if fault == "org's origin":
        device.origin = "http://acme.localhost:8000"
    elif fault == "other key":
        device.key = Device().key
    elif fault == "other account":
        other = User.objects.get(email=f"owner@{throwaway_org().slug}.example")
        stolen = Device()
        add(by_password(other), stolen)
        device.user = stolen.user
    elif fault == "off":
        User.objects.filter(pk=user.pk).update(is_active=False)

    if fault == "garbage":
        tab.get(LOGIN, Accept="application/json")
        answer = tab.post(LOGIN, {"credential": '{"id": 1}', "next": "/account/email/"})
    else:
        answer = sign_in(tab, device, next="/account/email/")

    assert answer.status_code == 302 and not is_in(tab)
    if fault != "off":
        assert answer["Location"] == "/account/login/?next=%2Faccount%2Femail%2F"


@pytest.mark.parametrize("fault", ["org's origin", "garbage", "replayed"])
def test_a_passkey_that_is_not_good_is_not_added(user: User, fault: str) -> None:
    tab, device = by_password(user), Device()
    options = tab.get(ADD).context["js_data"]["creation_options"]
    if fault == "org's origin":
        device.origin = "http://acme.localhost:8000"
    credential = "[1]" if fault == "garbage" else device.create(options)
    if fault == "replayed":
        tab.get(ADD)

    answer = tab.post(ADD, {"name": "Bad", "passwordless": "on", "credential": credential})

    assert answer.status_code == 200 and is_page(answer)
    assert answer.context["form"].errors and b"Incorrect code." in answer.content
    assert not Authenticator.objects.filter(user=user).exists() and log(user) == []


def test_a_factor_that_cannot_be_recorded_is_not_added(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("the log is down")

    tab = by_password(user)
    with monkeypatch.context() as patch:
        patch.setattr(apex_log, "_writers", [broken])
        with pytest.raises(RuntimeError):
            add(tab, Device())
    assert not Authenticator.objects.filter(user=user).exists()
    assert add(tab, Device()).status_code == 302
    assert Authenticator.objects.filter(user=user, type="webauthn").count() == 1


def test_who_has_a_passkey_is_asked_for_it_after_the_password(user: User) -> None:
    device, tab = Device(), browser()
    add(by_password(user), device)

    tab.post("/account/login/", {"login": user.email, "password": "mandate-demo"})

    assert not is_in(tab)
    page = tab.get("/account/2fa/authenticate/")
    assert b"Use a passkey" in page.content
    options = page.context["js_data"]["request_options"]
    assert tab.post("/account/2fa/authenticate/", {"credential": device.get(options)})
    assert is_in(tab)


def test_recovery_codes_are_shown_once_and_work_once(user: User) -> None:
    tab = by_password(user)
    add(tab, Device())

    page = tab.get("/account/2fa/recovery-codes/")

    codes = page.context["unused_codes"]
    assert len(set(codes)) == 10 and all(code.isdigit() for code in codes)
    assert f"data:text/plain;charset=utf-8,{codes[0]}%0A".encode() in page.content
    assert "no-store" in page["Cache-Control"]
    again = tab.get("/account/2fa/recovery-codes/")
    assert again.status_code == 200 and codes[0].encode() not in again.content
    assert tab.get("/account/2fa/recovery-codes/download/").status_code == 403

    assert [_by_code(user, codes[0]) for _ in range(2)] == [True, False]
    assert b"9 left" in tab.get("/account/security/").content


def _by_code(user: User, code: str) -> bool:
    tab = browser()
    tab.post("/account/login/", {"login": user.email, "password": "mandate-demo"})
    tab.post("/account/2fa/authenticate/", {"code": code})
    return is_in(tab)


def test_the_password_alone_takes_no_factor_off(user: User) -> None:
    device, tab = Device(), browser()
    add(by_password(user), device)
    key = Authenticator.objects.get(user=user, type="webauthn")
    remove = f"/account/2fa/webauthn/keys/{key.pk}/remove/"
    sign_in(tab, device)

    tab.post("/account/reauthenticate/", {"password": "mandate-demo"})
    asked = tab.post(remove)
    assert asked["Location"].startswith("/account/2fa/webauthn/reauthenticate/")
    assert Authenticator.objects.filter(pk=key.pk).exists()

    page = tab.get("/account/2fa/webauthn/reauthenticate/")
    credential = device.get(page.context["js_data"]["request_options"])
    tab.post("/account/2fa/webauthn/reauthenticate/", {"credential": credential})
    assert tab.post(remove).status_code == 302
    assert not Authenticator.objects.filter(pk=key.pk).exists()


def test_nobody_touches_another_persons_passkey(
    user: User, throwaway_org: Callable[[], Any]
) -> None:
    add(by_password(user), Device())
    key = Authenticator.objects.get(user=user, type="webauthn")
    stranger = by_password(User.objects.get(email=f"owner@{throwaway_org().slug}.example"))
    for verb in ("edit", "remove"):
        path = f"/account/2fa/webauthn/keys/{key.pk}/{verb}/"
        assert stranger.post(path, {"name": "Mine"}).status_code == 404
    key.refresh_from_db()
    assert key.wrap().name == "Laptop"


def test_the_security_page_is_for_who_is_signed_in(user: User) -> None:
    assert browser().get("/account/security/")["Location"].startswith("/account/login/")
    page = by_password(user).get("/account/security/")
    assert is_page(page) and b"No passkey yet" in page.content
    for old in ("/account/2fa/", "/account/2fa/webauthn/"):
        assert browser().client.get(old, **APEX)["Location"] == "/account/security/"
