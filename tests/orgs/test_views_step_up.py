"""What hands out power in an org needs a fresh proof from a person, and none from a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.models import ApiKey, Member
from apps.orgs.services.keys import create_key
from apps.orgs.services.roles import create_role, version_of
from tests.orgs.conftest import AT, Api, owner_of
from tests.orgs.test_views_matrix import TABLE, data_of, furnish, picture, url_of
from tests.tenants.browsing import as_member, is_page

GUARDED = {
    "orgs:keys": "Create key",
    "orgs:key_rotate": "Rotate ",
    "orgs:key_revoke": "Revoke ",
    "orgs:invite": "Invite new@x.example",
    "orgs:member_role": "Set the role of ",
    "orgs:member_groups": "Set the groups of ",
    "orgs:role_new": "Create role ",
    "orgs:role": "Change role ",
    "orgs:settings_danger": "Close organization",
    "orgs:signing_keys": "Announce next key",
    "orgs:signing_key_rotate": "Rotate signing key",
    "orgs:signing_key_revoke": "Revoke signing key",
    "orgs:audit_keep": "Change retention",
    "agents:keys": "Create key",
    "agents:key_revoke": "Revoke ",
}


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


@pytest.mark.parametrize("name", GUARDED)
def test_an_old_proof_changes_nothing_and_the_form_is_offered_again(acme: Any, name: str) -> None:
    who = owner_of(acme)
    refs = furnish(acme, who)
    stale = as_member(acme, who, proved_at=ago(settings.STEP_UP_SECONDS + 1))
    url, data, before = url_of(name, refs), data_of(name, refs), picture(acme)

    refused = stale.post(url, data)

    assert (refused.status_code, refused["Location"]) == (303, "/confirm/")
    assert picture(acme) == before
    page = stale.get("/confirm/")
    assert is_page(page) and not page.context["is_fresh"]
    kept = page.context["kept"]
    assert kept.act.startswith(GUARDED[name]) and kept.path == url
    assert {key: value for key, [value] in kept.fields} == data

    # The positive control: the same form with a proof that is young enough.
    fresh = as_member(acme, who, proved_at=ago(settings.STEP_UP_SECONDS - 60))
    assert fresh.post(url, data).status_code == TABLE[name].done
    assert picture(acme) != before


def test_an_htmx_request_leaves_for_the_page_that_asks(org: Any, owner: Any) -> None:
    stale = as_member(org, owner, proved_at=ago(3600))
    answer = stale.post("/settings/keys/", {"name": "Nightly"}, HX_Request="true")
    assert answer["HX-Redirect"] == "/confirm/" and not ApiKey.objects.exists()


def test_who_may_not_is_refused_before_being_asked(org: Any, somebody: Any) -> None:
    member = somebody("member")
    stale = as_member(org, member, proved_at=ago(3600))
    theirs = public_id("mem", member.member_id)
    answer = stale.post(f"/settings/members/{theirs}/role/", {"role": "owner"})
    assert answer.status_code == 403
    assert stale.get("/confirm/").context["kept"] is None


def test_a_form_with_faults_is_not_kept(org: Any, owner: Any) -> None:
    stale = as_member(org, owner, proved_at=ago(3600))
    assert stale.post("/settings/keys/", {"name": ""}).status_code == 422
    assert stale.post("/settings/danger/", {"name": "Globex"}).status_code == 422
    assert stale.get("/confirm/").context["kept"] is None


def test_what_nobody_filled_in_is_kept_and_not_shown(org: Any, owner: Any) -> None:
    role = create_role(name="Auditor", permissions=["runs.view"], by=owner, at=AT)
    sent = {"name": "Reader", "permissions": ["runs.view"], "version": version_of(role)}
    stale = as_member(org, owner, proved_at=ago(3600))

    stale.post(f"/settings/roles/{role.slug}/", sent)

    page = stale.get("/confirm/")
    assert dict(page.context["kept"].fields)["version"] == [version_of(role)]
    assert b"<dt>Permissions</dt><dd>runs.view</dd>" in page.content
    assert b"<dt>Version</dt>" not in page.content


def test_what_hands_out_no_power_asks_nothing(org: Any, owner: Any) -> None:
    stale = as_member(org, owner, proved_at=ago(3600))
    assert stale.post("/projects/", {"name": "Plain"}).status_code == 303
    assert stale.get("/settings/keys/").status_code == 200


def test_a_key_is_not_asked(org: Any, owner: Any, somebody: Any) -> None:
    api = Api(create_key(name="Import", by=owner, at=AT).token)
    member = somebody("viewer")
    made = api.post("/keys", {"name": "By a program", "scopes": ["org.view"]})
    assert made.status_code == 201 and ApiKey.objects.filter(name="By a program").exists()
    path = f"/members/{public_id('mem', member.member_id)}"
    assert api.patch(path, {"role": "member"}).status_code == 200
    assert Member.objects.get(id=member.member_id).role.slug == "member"
