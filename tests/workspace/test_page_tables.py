"""Every page that the URLconfs have is looked at in a browser and is in the tables of who may.

Nothing here starts a browser: the names of what is served are held against the names in the tables
of tests/e2e (looked at), and of what roles, whole and part are tried with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.urls import URLPattern, get_resolver

from tests.e2e import (
    test_account_pages,
    test_admin,
    test_approvals,
    test_notices,
    test_pages,
    test_passkeys,
    test_policies,
)
from tests.e2e.looking import APEX, FOUND, ORG, name_of
from tests.orgs import test_views_three_ways as three_ways
from tests.orgs.test_views_matrix import OPEN, STREAMS, TABLE
from tests.tenants import test_pages as apex_pages
from tests.workspace import test_apex_matrix as apex_matrix

CLAIM: Final = (
    *(test_account_pages, test_admin, test_approvals, test_notices, test_passkeys),
    test_policies,
)
"""Whose tests name the pages that they find (`finds`), by being imported."""
ONLY_FORMS: Final = {name for name, row in TABLE.items() if not row.get}
# name: why there is no page to look at
NO_PAGE_OF_AN_ORG: Final = {
    "None": "what probes ask",
    "login": "sends the browser to the apex",
    "logout": "takes a form and sends on",
    "jwks": "the public keys, for programs",
    "runs:events": "a stream, for the page of a run",
    "runs:export": "a file",
    "orgs:audit_file": "a file",
}
NO_PAGE_OF_THE_APEX: Final = {
    "None": "what probes ask",
    "tenants:handover": "sends the browser to an org's host",
    "tenants:retry": "takes a form and sends on",
    "tenants:end_session": "takes a form and sends on",
    "orgs_apex:reopen": "takes a form and sends on",
    "mfa_index": "sends on to the page on security",
    "mfa_list_webauthn": "sends on to the page on security",
    "mfa_login_webauthn": "what a script asks before a passkey is used",
    "mfa_download_recovery_codes": "not there: codes are shown once, and a link there keeps them",
    "account_confirm_login_code": "sign-in by a mailed code is off: sends on",
    "account_set_password": "who has a password is sent on to changing it, and everybody has one",
    "admin:login": "sends on to the sign-in of everybody",
    "admin:logout": "takes a form and sends on",
    "admin:password_change": "sends on to the account's own page",
    "admin:password_change_done": "sends on to the account's own page",
    "admin:autocomplete": "refused: no field of a form there searches",
    "admin:None": "a row's address without its page: sends on to it",
    "admin:jsi18n": "a script",
    "admin:view_on_site": "leads to a row's page on a site, and no row has one",
}
# end of a name on the operators' site: why one page of this kind stands for the others
ONE_STANDS_FOR_ALL: Final = {
    "_add": "only a plan can be added; elsewhere the page is refused",
    "_delete": "nothing can be deleted: the page is refused",
    "_history": "one template, without anything of the row's kind",
    "_change": "one template; what differs is in the rows of three kinds that are looked at",
}


def test_each_page_of_an_org_is_looked_at_in_a_browser() -> None:
    served = names(ORG) - ONLY_FORMS - set(NO_PAGE_OF_AN_ORG)
    assert served - looked_at(ORG, test_pages.WORKSPACE) == set()
    assert set(NO_PAGE_OF_AN_ORG) - names(ORG) == set()


def test_each_page_of_the_apex_is_looked_at_in_a_browser() -> None:
    tables = (test_pages.STRANGER, test_pages.ACCOUNT, test_pages.PROVED)
    served = names(APEX) - set(NO_PAGE_OF_THE_APEX)
    unseen = served - looked_at(APEX, *tables)
    assert {name for name in unseen if not stood_for(name)} == set()
    assert set(NO_PAGE_OF_THE_APEX) - names(APEX) == set()


def test_what_a_test_claims_to_find_is_served() -> None:
    assert CLAIM and FOUND - names(ORG) - names(APEX) == set()


def test_each_page_of_an_org_has_its_role_and_its_three_ways() -> None:
    shared = {"None", "status", "api:docs"}
    assert names(ORG) - shared == set(TABLE) | OPEN
    assert set(three_ways.DOCUMENTS) == set(TABLE) - ONLY_FORMS - STREAMS


def test_each_page_of_the_apex_has_its_role() -> None:
    tables = {f"tenants:{name}" for name in apex_pages.TABLE} | set(apex_matrix.TABLE)
    served = names(APEX) - {"None", "admin:None", "api:docs"}
    of_models = {name for name in served if name.startswith("admin:tenants_")}
    assert served - of_models - tables == set()


def test_a_page_that_is_in_no_table_is_told() -> None:
    """The control: without its row a page is missed."""
    kept = {name: path for name, path in test_pages.WORKSPACE.items() if path != "/agents/"}
    kept = {name: path for name, path in kept.items() if not path.startswith("/agents/?")}
    assert names(ORG) - ONLY_FORMS - set(NO_PAGE_OF_AN_ORG) - looked_at(ORG, kept) == {
        "agents:agents"
    }


def names(urlconf: str) -> set[str]:
    """What a kind of host serves to browsers: all of it but the API, whose one page is its docs."""
    found = dict(walk(get_resolver(urlconf).url_patterns))
    return {name for name, path in found.items() if not path.startswith("v1/")} | {"api:docs"}


def walk(patterns: Iterable[Any], space: str = "", path: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield f"{space}{pattern.name}", here
        else:
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from walk(pattern.url_patterns, inner, here)


def looked_at(urlconf: str, *tables: dict[str, str]) -> set[str]:
    """The names of the pages in these tables, and of those that tests find."""
    origin = "http://localhost" if urlconf == APEX else "http://acme.localhost"
    return {name_of(f"{origin}{path}") for table in tables for path in table.values()} | FOUND


def stood_for(name: str) -> bool:
    """Whether another page of the operators' site shows all that this one could."""
    ends = [end for end in ONE_STANDS_FOR_ALL if name.endswith(end)]
    if not name.startswith("admin:tenants_") or not ends:
        return False
    alike = {found for found in FOUND if found.endswith(ends[0])}
    return bool(alike) or ends[0] == "_delete"
