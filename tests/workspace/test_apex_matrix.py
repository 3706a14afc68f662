"""Who may read which page of the apex: account pages of allauth, the operators' site, shared pages.

This product's own are in tests/tenants/test_pages.py; tests/workspace/test_page_tables.py sees that
none is missing. What a page is like whole and without scripts is tried for all that a member
reads.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from apps.tenants.models import User
from config.urls import apex as urlconf
from tests.markup import elements
from tests.orgs.test_views_three_ways import dead
from tests.tenants.browsing import Browser, anonymous, is_page, signed_in
from tests.workspace.operators import make_operator

EVERYBODY, SIGNED_IN, OPERATORS = (200, 200, 200), (302, 200, 200), (302, 302, 200)
STRANGERS, NOBODY, SENT_ON = (200, 302, 302), (404, 404, 404), (302, 302, 302)
WITH_A_FACTOR = (302, 404, 404)
PROVED = SENT_ON
"""Nobody to the sign-in, everybody else to a proof: tests/tenants/test_proofs.py goes on."""
# name: what a GET answers to nobody, to a member of acme, to an operator
TABLE = {
    "status": EVERYBODY,
    "gallery": (404, 404, 200),
    "orgs_apex:invitation": NOBODY,
    "orgs_apex:reopen": (405, 405, 405),
    "account_login": STRANGERS,
    "account_signup": STRANGERS,
    "account_inactive": EVERYBODY,
    "account_confirm_email": EVERYBODY,
    "account_email_verification_sent": EVERYBODY,
    "account_reset_password": EVERYBODY,
    "account_reset_password_done": EVERYBODY,
    "account_reset_password_from_key": EVERYBODY,
    "account_reset_password_from_key_done": EVERYBODY,
    "account_change_password": SIGNED_IN,
    "account_email": SIGNED_IN,
    "account_logout": SIGNED_IN,
    "account_reauthenticate": SIGNED_IN,
    "usersessions_list": SIGNED_IN,
    "account_set_password": SENT_ON,
    "account_confirm_login_code": SENT_ON,
    "mfa_index": SENT_ON,
    "mfa_list_webauthn": SENT_ON,
    "mfa_login_webauthn": SENT_ON,
    "mfa_authenticate": SENT_ON,
    "mfa_reauthenticate": SENT_ON,
    "mfa_reauthenticate_webauthn": SENT_ON,
    "mfa_activate_totp": PROVED,
    "mfa_add_webauthn": PROVED,
    "mfa_edit_webauthn": PROVED,
    "mfa_remove_webauthn": PROVED,
    "mfa_generate_recovery_codes": PROVED,
    "mfa_deactivate_totp": WITH_A_FACTOR,
    "mfa_view_recovery_codes": WITH_A_FACTOR,
    "mfa_download_recovery_codes": WITH_A_FACTOR,
    "operators:system": OPERATORS,
    "operators:plan": OPERATORS,
    "operators:org": OPERATORS,
    "operators:org_page": SENT_ON,
    "operators:impersonate": SENT_ON,
    "admin:index": OPERATORS,
    "admin:app_list": OPERATORS,
    "admin:jsi18n": OPERATORS,
    "admin:login": (302, 403, 302),
    "admin:logout": (302, 302, 405),
    "admin:autocomplete": (302, 302, 403),
    "admin:password_change": SENT_ON,
    "admin:password_change_done": SENT_ON,
    "admin:view_on_site": (302, 302, 422),
}
ARGS: dict[str, list[Any]] = {
    "orgs_apex:invitation": ["none"],
    "orgs_apex:reopen": ["acme"],
    "account_confirm_email": ["none"],
    "account_reset_password_from_key": ["1", "none"],
    "mfa_edit_webauthn": [1],
    "mfa_remove_webauthn": [1],
    "operators:plan": ["acme"],
    "operators:org": ["acme"],
    "operators:org_page": ["acme", "agents/agent/"],
    "operators:impersonate": ["acme"],
    "admin:app_list": ["tenants"],
    "admin:view_on_site": ["1", "1"],
}
READ = [name for name, row in TABLE.items() if row in (EVERYBODY, SIGNED_IN)]


def path_of(name: str) -> str:
    return reverse(name, args=ARGS.get(name), urlconf=urlconf)


@pytest.fixture
def member(acme: Any) -> Browser:
    return signed_in(User.objects.get(pk=acme.owner_id))


@pytest.mark.parametrize("name", TABLE)
def test_a_page_answers_each_as_its_row_says(member: Browser, name: str) -> None:
    tabs = anonymous(), member, signed_in(make_operator())
    assert tuple(tab.get(path_of(name)).status_code for tab in tabs) == TABLE[name]


@pytest.mark.parametrize("name", READ)
def test_a_page_is_whole_and_works_without_scripts(member: Browser, name: str) -> None:
    path = path_of(name)
    for answer in (member.get(path), member.get(path, HX_Request="true", HX_Boosted="true")):
        assert answer.status_code == 200 and is_page(answer)
    found = elements(member.get(path).content.decode())
    assert [*dead(found, path, urlconf="config.urls.apex")] == []
