"""API keys in a browser: a token is shown once and is nowhere afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from apps.common.ids import public_id
from apps.orgs.models import ApiKey
from apps.orgs.services.keys import create_key
from tests.orgs.conftest import Api
from tests.tenants.browsing import Browser, as_member, is_page, is_part


def tables_that_hold(text: str) -> list[str]:
    """Every table, of the apex and of the org, in whose rows the text can be read."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.managed or model._meta.proxy:
            continue
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(
                f"select exists(select from {table} t where strpos(t::text, %s) > 0"
                " or strpos(t::text, encode(convert_to(%s, 'utf8'), 'hex')) > 0)",
                [text, text],
            )
            if cursor.fetchone()[0]:
                found.append(model._meta.db_table)
    return found


def test_a_token_is_shown_once_and_never_stored(browser: Browser, org: Any, events: Any) -> None:
    answer = browser.post("/settings/keys/", {"name": "Nightly", "lifetime": "90"})

    assert answer.status_code == 200 and is_page(answer)
    assert "no-store" in answer["Cache-Control"]
    token = answer.context["token"]
    assert token.encode() in answer.content
    key = ApiKey.objects.get(name="Nightly")
    assert key.expires_at and abs(key.expires_at - timezone.now()) > timedelta(days=89)
    assert [action for action, *_ in events()] == ["orgs.api_key.created"]

    assert tables_that_hold(token) == []
    assert ApiKey._meta.db_table in tables_that_hold(key.prefix)
    page = browser.get("/settings/keys/")
    assert token.encode() not in page.content and key.prefix.encode() in page.content
    assert Api(token).get("/me").status_code == 200


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "", "scopes": ["projects.view"]}, "name"),
        ({"name": "Kept name", "scopes": ["world.rule"]}, "scopes"),
        ({"name": "Kept name", "lifetime": "7000"}, "lifetime"),
    ],
)
def test_a_refused_key_keeps_what_was_typed(
    browser: Browser, events: Any, data: dict[str, Any], field: str
) -> None:
    answer = browser.post("/settings/keys/", data)

    assert answer.status_code == 422 and is_page(answer)
    assert list(answer.context["form"].errors) == [field]
    assert (b"Kept name" if data["name"] else b"checked") in answer.content
    assert not ApiKey.objects.exists() and events() == []


def test_a_member_can_give_a_key_only_what_they_have(org: Any, somebody: Any) -> None:
    viewer = as_member(org, somebody("viewer"))
    refused = viewer.post("/settings/keys/", {"name": "Mine", "scopes": ["projects.create"]})
    assert refused.status_code == 422 and not ApiKey.objects.exists()
    made = viewer.post("/settings/keys/", {"name": "Mine", "scopes": ["projects.view"]})
    assert made.status_code == 200
    assert ApiKey.objects.get().scopes == ["projects.view"]


def test_a_key_is_replaced_and_the_old_one_works_on(
    browser: Browser, owner: Any, events: Any
) -> None:
    old = create_key(name="Import", by=owner, at=timezone.now())
    url = f"/settings/keys/{public_id('key', old.key.id)}/rotate/"

    answer = browser.post(url)

    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    token = answer.context["token"]
    assert token != old.token and tables_that_hold(token) == []
    assert answer.context["replaced"]["prefix"] == old.key.prefix
    assert [Api(t).get("/me").status_code for t in (token, old.token)] == [200, 200]
    assert [action for action, *_ in events()] == ["orgs.api_key.created", "orgs.api_key.rotated"]
    assert browser.post(url).status_code == 409
    assert ApiKey.objects.count() == 2


def test_a_revoked_key_stops_at_once(browser: Browser, owner: Any, events: Any) -> None:
    made = create_key(name="Import", by=owner, at=timezone.now())
    url = f"/settings/keys/{public_id('key', made.key.id)}/revoke/"
    assert Api(made.token).get("/me").status_code == 200

    answer = browser.post(url)

    assert (answer.status_code, answer["Location"]) == (303, "/settings/keys/")
    assert Api(made.token).get("/me").status_code == 401
    assert [action for action, *_ in events()] == ["orgs.api_key.created", "orgs.api_key.revoked"]
    assert browser.post(url).status_code == 303 and len(events()) == 2


def test_anothers_key_is_an_admins_to_revoke_and_nobodys_to_replace(
    org: Any, owner: Any, somebody: Any
) -> None:
    key = create_key(name="Import", by=owner, at=timezone.now()).key
    url = f"/settings/keys/{public_id('key', key.id)}"
    member, admin = as_member(org, somebody("member")), as_member(org, somebody("admin"))

    assert b"Import" not in member.get("/settings/keys/").content
    assert [member.post(f"{url}/{verb}/").status_code for verb in ("rotate", "revoke")] == [404] * 2
    page = admin.get("/settings/keys/").content.decode()
    assert f"{url}/revoke/" in page and f"{url}/rotate/" not in page
    assert admin.post(f"{url}/rotate/").status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None and ApiKey.objects.count() == 1
    assert admin.post(f"{url}/revoke/").status_code == 303


def test_keys_are_filtered_as_a_page_and_as_a_part(
    org: Any, owner: Any, browser: Browser, somebody: Any
) -> None:
    assert b"No API key yet" in browser.get("/settings/keys/").content
    now = timezone.now()
    create_key(name="Nightly import", by=owner, at=now)
    ended = create_key(name="Old import", by=owner, at=now).key
    expired = create_key(name="Late", by=owner, at=now).key
    replaced = create_key(name="Replaced", by=owner, at=now).key
    hour = timedelta(hours=1)
    ApiKey.objects.filter(id=ended.id).update(revoked_at=now)
    ApiKey.objects.filter(id=expired.id).update(expires_at=now - hour)
    ApiKey.objects.filter(id=replaced.id).update(grace_until=now + hour)

    def named(query: str) -> list[str]:
        page, part = (get(f"/settings/keys/?{query}") for get in (browser.get, browser.part))
        assert is_page(page) and is_part(part) and b'id="key-results"' in part.content
        found = sorted(row["name"] for row in page.context["keys"])
        every = ("Late", "Nightly import", "Old import", "Replaced")
        assert [name for name in every if f">{name}<".encode() in part.content] == found
        return found

    assert named("") == ["Late", "Nightly import", "Old import", "Replaced"]
    assert named("status=working") == ["Nightly import", "Replaced"]
    assert named("status=ended") == ["Late", "Old import"]
    assert named("q=IMPORT") == ["Nightly import", "Old import"]
    assert named(f"q={ended.prefix}") == ["Old import"]
    assert named("status=odd") == named("")
    none = browser.get("/settings/keys/?q=zzz").content
    assert b"No key matches" in none and b"Clear filters" in none
    theirs = as_member(org, somebody("member")).get("/settings/keys/")
    assert theirs.context["keys"] == [] and b"You see your own" in theirs.content
