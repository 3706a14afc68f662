"""Every page and every operation asks for its permissions, whatever role somebody has.

What each needs is found out by asking: a role that may nothing is given what each refusal names,
one permission after the other, until the door opens. So no list of codes can be wrong with the
code; the tables of roles (test_views_matrix.py, test_matrix.py) are held against what was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Final

import pytest
from django.urls import get_resolver

from apps.common.api.permissions import HasCode
from apps.common.errors import PermissionDenied
from apps.orgs import selectors
from apps.orgs.models import Permission, Role, RolePermission
from apps.orgs.permissions import MATRIX, codes_of
from apps.tenants import keys
from tests.orgs.conftest import ROLES, Api, join, owner_of, token_for
from tests.orgs.test_matrix import TABLE as OPERATIONS
from tests.orgs.test_matrix import URLCONFS, World, address, served
from tests.orgs.test_views_matrix import CASES, REFS, TABLE, data_of, furnish, url_of
from tests.orgs.test_views_project import undone
from tests.tenants.browsing import as_member, user_of

# What any member may open, and why that is no hole.
FOR_EVERY_MEMBER: Final = {
    ("workspace:overview", "GET"): "each card asks for its own permission (test_overview.py)",
    ("workspace:search", "GET"): "each kind of thing asks for its own permission",
    ("confirm", "GET"): "asks for a proof and shows what the same person sent",
    ("orgs:keys", "GET"): "one's own keys; others' by keys.manage",
    ("orgs:key_revoke", "POST"): "one's own key can always be stopped; others' by keys.manage",
}


class Probe:
    """A member whose role is what a test says."""

    def __init__(self, org: Any) -> None:
        self.org = org
        with keys.holding(org.schema, org.id):
            self.role = Role.objects.create(slug="probe", name="Probe", rank=10)
            self.permissions = dict(Permission.objects.values_list("code", "id"))
        self.who = join(org, "probe")

    def hold(self, codes: Iterable[str]) -> None:
        with keys.holding(self.org.schema, self.org.id):
            RolePermission.objects.filter(role=self.role).delete()
            RolePermission.objects.bulk_create(
                RolePermission(role=self.role, permission_id=self.permissions[code])
                for code in codes
            )


@pytest.fixture
def probe(org: Any) -> Probe:
    return Probe(org)


def test_pages_open_to_exactly_what_they_ask_for(acme: Any) -> None:
    probe = Probe(acme)
    refs, browser = furnish(acme, owner_of(acme)), as_member(acme, probe.who)

    def ask(name: str, method: str) -> Any:
        with undone():
            if method == "GET":
                return browser.get(url_of(name, refs))
            return browser.post(url_of(name, refs), data_of(name, refs))

    def find_out(name: str, method: str) -> frozenset[str]:
        found: list[str] = []
        while True:
            probe.hold(found)
            code = missing(ask(name, method))
            if code is None:
                return frozenset(found)
            assert code in MATRIX and code not in found, (name, method, code)
            found.append(code)

    needed = {case: find_out(*case) for case in CASES}

    # Nothing is open to who may nothing, but for what has a reason
    assert {case for case, codes in needed.items() if not codes} == set(FOR_EVERY_MEMBER)
    # What the table says of the built-in roles follows from it
    for (name, method), codes in needed.items():
        row = TABLE[name].get if method == "GET" else TABLE[name].post
        assert {role for role in ROLES if codes <= codes_of(role)} == set(row), (name, method)
    # A role with one permission opens what asks for that alone, and is told what it lacks elsewhere
    for number, code in enumerate(MATRIX):
        probe.hold([code])
        others = [case for case, codes in needed.items() if codes - {code}]
        name, method = others[number % len(others)]
        assert missing(ask(name, method)) in needed[name, method] - {code}, (code, name)


def missing(answer: Any) -> str | None:
    """The permission that a page names as missing; None where the door is open, though what is
    asked for behind it be beyond who asks.
    """
    if answer.status_code != 403 or answer.context["problem"]["code"] != "permission_denied":
        return None
    code: str | None = answer.context["problem"].get("permission")
    return code


def test_a_page_says_what_it_needs_where_it_is_defined() -> None:
    """The control of the above: a view without `needs` is one of few, which check by themselves."""
    bare, resolver = set(), get_resolver("config.urls.org")
    for name in TABLE:
        match = resolver.resolve(url_of(name, {name: "x"} if name in REFS else {}))
        if not hasattr(match.func, "needs"):
            bare.add(name)
    by_themselves = {name for name, _ in FOR_EVERY_MEMBER} | {
        "orgs:member_remove",
        "orgs:audit_file",
    }
    assert bare == by_themselves


def test_an_operation_opens_to_exactly_its_permission() -> None:
    gate, doors = HasCode(), served(URLCONFS[1])
    for code in MATRIX:
        caller = SimpleNamespace(permissions=frozenset({code}))
        opened = {door for door, view in doors.items() if passes(gate, caller, door[0], view)}
        assert opened == {
            door for door, view in doors.items() if view.required[door[0]] in ("", code)
        }
    assert {door for door, view in doors.items() if not view.required[door[0]]} == {
        ("GET", "/v1/me")
    }


def passes(gate: HasCode, caller: Any, method: str, view: Any) -> bool:
    try:
        return gate.has_permission(SimpleNamespace(auth=caller, method=method), view())  # type: ignore[arg-type]
    except PermissionDenied:
        return False


def test_a_role_with_one_permission_calls_what_needs_it_and_nothing_else(
    org: Any, probe: Probe
) -> None:
    refs, doors = World(org).refs(), served(URLCONFS[1])
    api = Api(token_for(org, probe.who))
    first = {view.required[method]: (method, path) for (method, path), view in doors.items()}

    def call(method: str, path: str) -> Any:
        with undone():
            return api(method, address(method, path, refs), OPERATIONS[method, path][1])

    for number, code in enumerate(MATRIX):
        probe.hold([code])
        if code in first:
            answer = call(*first[code])
            named = answer.json().get("permission") if answer.status_code == 403 else None
            assert named != code, (code, answer.content)
        others = [door for needs, door in first.items() if needs not in ("", code)]
        method, path = others[number % len(others)]
        refused = call(method, path)
        assert refused.status_code == 403, (code, path)
        assert refused.json()["permission"] == doors[method, path].required[method]


def test_a_key_of_a_role_follows_its_role_and_its_scopes(org: Any, probe: Probe) -> None:
    probe.hold(["runs.view", "members.view"])
    who = selectors.find_member_principal(user_id=user_of(probe.who).pk)
    key = Api(token_for(org, who, scopes=["runs.view"]))
    assert key.get("/me").json()["permissions"] == ["runs.view"]
    probe.hold(["members.view"])
    assert key.get("/me").json()["permissions"] == []
    assert key.get("/runs").json()["missing_in"] == "role"
