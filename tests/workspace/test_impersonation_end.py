"""An operator's look ends: at the button, at its limit, and with whatever it hangs on."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.adapter import get_adapter
from django.test import Client
from django.utils import timezone

from apps.common.ids import public_id
from apps.tenants import keys
from apps.tenants.models import Org, Session, User
from tests.orgs.conftest import join, owner_of
from tests.tenants.browsing import Browser, anonymous, as_member, signed_in, user_of
from tests.workspace.looking_as import (
    ask_url,
    form_for,
    is_out,
    look_as,
    session_of,
    verbs,
)
from tests.workspace.operators import make_operator


def test_the_button_ends_it_for_good_and_the_apex_stays_signed_in(acme: Any) -> None:
    user = make_operator()
    browser = look_as(acme, owner_of(acme), user)
    key = session_of(browser).pk

    answer = browser.post("/impersonation/")

    assert (answer.status_code, answer["Location"]) == (303, "/impersonation/")
    assert verbs("acme") == verbs("system") == ["started", "ended"]
    assert b"The look is over" in browser.get("/impersonation/").content
    assert is_out(browser) and not Session.objects.filter(pk=key).exists()
    assert Session.objects.filter(user=user, org=None).exists()
    browser.post("/impersonation/")
    assert verbs("acme") == ["started", "ended"]


def test_signing_out_on_the_orgs_host_ends_the_operators_sessions(acme: Any) -> None:
    user = make_operator()
    browser = look_as(acme, owner_of(acme), user)
    assert browser.post("/logout").status_code == 303
    assert is_out(browser) and not Session.objects.filter(user=user).exists()
    assert verbs("acme") == verbs("system") == ["started", "ended"]


def test_signing_out_on_one_host_puts_the_end_of_looks_on_others_on_record(
    acme: Any, other_org: Any
) -> None:
    user = make_operator()
    apex, browsers = signed_in(user), []
    for org in (acme, other_org):
        there = anonymous(org)
        with keys.holding(org.schema, org.id):
            member = owner_of(org)
        way = urlsplit(apex.post(ask_url(org, apex, there), form_for(member))["Location"])
        there.get(f"{way.path}?{way.query}")
        browsers.append(there)

    assert browsers[0].post("/logout").status_code == 303

    assert all(is_out(browser) for browser in browsers)
    assert verbs("acme") == verbs("globex") == ["started", "ended"]
    assert verbs("system") == ["started", "started", "ended", "ended"]


def test_signing_out_everywhere_else_ends_it_on_record(acme: Any) -> None:
    user = make_operator()
    there, here = look_as(acme, owner_of(acme), user), signed_in(user)
    assert here.get("/account/sessions/").status_code == 200 and not is_out(there)

    assert here.post("/account/sessions/").status_code == 302

    assert is_out(there) and here.get("/account/sessions/").status_code == 200
    assert verbs("acme") == verbs("system") == ["started", "ended"]


def test_a_new_password_of_the_operator_ends_what_the_old_one_opened(acme: Any) -> None:
    """Whoever had the old one may look no longer, in whichever browser."""
    user = make_operator()
    stolen = look_as(acme, owner_of(acme), user)
    other = look_as(acme, join(acme, "viewer"), make_operator())
    assert stolen.get("/settings/").status_code == 200

    get_adapter().set_password(user, "a-new-and-longer-one")

    assert is_out(stolen) and not Session.objects.filter(impersonator=user).exists()
    assert verbs("acme") == verbs("system") == ["started", "started", "ended"]
    assert other.get("/settings/").status_code == 200


def test_it_ends_at_its_limit_and_is_not_extended_by_use(acme: Any) -> None:
    browser = look_as(acme, owner_of(acme), minutes="15")
    until = session_of(browser).expire_date
    assert browser.get("/settings/").status_code == 200
    assert browser.post("/settings/", {"name": "x"}).status_code == 403
    assert session_of(browser).expire_date == until

    Session.objects.filter(pk=session_of(browser).pk).update(expire_date=timezone.now())

    assert is_out(browser)
    assert browser.post("/settings/", {"name": "x"}).status_code == 401
    assert Org.objects.get(id=acme.id).name == "Acme"


def test_it_ends_with_the_operators_sign_in(acme: Any) -> None:
    user, member = make_operator(), owner_of(acme)
    apex, there = signed_in(user), anonymous(acme)
    way = urlsplit(apex.post(ask_url(acme, apex, there), form_for(member))["Location"])
    there.get(f"{way.path}?{way.query}")
    assert there.get("/settings/").status_code == 200
    assert apex.post("/account/logout/").status_code == 302
    assert is_out(there)
    assert verbs("acme") == verbs("system") == ["started", "ended"]


@pytest.mark.parametrize(
    ("whose", "fields"),
    [
        ("operator", {"is_staff": False}),
        ("operator", {"is_active": False}),
        ("member", {"is_active": False}),
        ("member", {"is_staff": True}),
        ("member", {"is_superuser": True}),
    ],
)
def test_it_ends_when_either_is_no_longer_who_they_were(
    acme: Any, whose: str, fields: dict[str, bool]
) -> None:
    user, member = make_operator(), owner_of(acme)
    browser = look_as(acme, member, user)
    assert browser.get("/settings/").status_code == 200
    pk = user.pk if whose == "operator" else user_of(member).pk
    User.objects.filter(pk=pk).update(**fields)
    assert is_out(browser)


def test_it_ends_when_the_org_is_suspended_or_the_member_goes(acme: Any) -> None:
    member = join(acme, "member")
    browser = look_as(acme, member)
    Org.objects.filter(id=acme.id).update(state="suspended")
    assert browser.get("/settings/").status_code == 403
    assert browser.post("/settings/", {"name": "x"}).status_code == 403
    assert Org.objects.get(id=acme.id).name == "Acme"
    Org.objects.filter(id=acme.id).update(state="active")
    assert browser.get("/settings/").status_code == 200  # as for the member, within its time
    owner = as_member(acme, owner_of(acme))
    owner.post(f"/settings/members/{public_id('mem', member.member_id)}/remove/")
    assert is_out(browser)


def test_coming_in_as_oneself_ends_it_on_record(acme: Any) -> None:
    user, member = make_operator(), owner_of(acme)
    browser = look_as(acme, member, user)
    assert verbs("acme") == ["started"]
    # Nothing that the operator has proved counts for the member.
    assert not {"_mandate_proved_at", "_mandate_mfa_at"} & set(session_of(browser).get_decoded())
    # And the session opens no page of the member's account, on the apex or here.
    apex = Browser(Client(), "localhost:8000")
    apex.client.cookies = browser.client.cookies
    assert apex.get("/account/security/")["Location"].startswith("/account/login/")
