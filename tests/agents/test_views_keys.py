"""An agent's own keys in a browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services import agents
from apps.common.ids import public_id
from apps.orgs.models import ApiKey
from apps.orgs.services.keys import create_key
from tests.agents.factories import make_agent
from tests.orgs.conftest import AT, Api
from tests.tenants.browsing import Browser, as_member, is_page, is_part

URL = "/agents/echo/keys/"


@pytest.fixture
def echo(org: Any, owner: Any) -> Agent:
    return make_agent(owner)


def test_a_key_is_made_shown_once_and_listed_without_scripts(
    browser: Browser, echo: Agent, events: Any
) -> None:
    assert b"No key acts as this agent" in browser.get(URL).content

    answer = browser.post(URL, {"name": "Outside", "scopes": "agents.invoke", "lifetime": "90"})

    assert answer.status_code == 200 and is_page(answer)
    assert "no-store" in answer["Cache-Control"]
    token = answer.context["token"]
    assert token.encode() in answer.content and b"<code>echo</code>" in answer.content
    assert Api(token).get("/me").json()["principal"]["label"] == "echo"
    assert [action for action, *_ in events()] == ["orgs.api_key.created"]

    page, part = browser.get(URL), browser.part(URL)
    assert is_page(page) and is_part(part)
    for shown in (page, part, browser.get("/settings/keys/")):
        assert b"Outside" in shown.content and token.encode() not in shown.content
    assert b"as <code>echo</code>" in browser.get("/settings/keys/").content


def test_a_key_is_revoked_where_it_is_listed(browser: Browser, echo: Agent, owner: Any) -> None:
    made = create_key(name="Outside", agent="echo", by=owner, at=timezone.now())
    make_agent(owner, name="Other")
    tail = f"{public_id('key', made.key.id)}/revoke/"
    assert f"{URL}{tail}".encode() in browser.get(URL).content

    assert browser.post(f"/agents/other/keys/{tail}").status_code == 404
    assert Api(made.token).get("/me").status_code == 200
    answer = browser.post(f"{URL}{tail}")
    assert (answer.status_code, answer["Location"]) == (303, URL)
    assert Api(made.token).get("/me").status_code == 401


@pytest.mark.parametrize(
    ("data", "field"),
    [({"name": ""}, "name"), ({"name": "Kept name", "scopes": "grants.manage"}, "scopes")],
)
def test_a_refused_key_keeps_what_was_typed(
    browser: Browser, echo: Agent, data: dict[str, str], field: str
) -> None:
    answer = browser.post(URL, data)
    assert answer.status_code == 422 and is_page(answer)
    assert list(answer.context["form"].errors) == [field]
    assert data["name"].encode() in answer.content
    assert not ApiKey.objects.exists()


def test_each_sees_their_own_and_an_admin_all(
    org: Any, owner: Any, somebody: Any, echo: Agent
) -> None:
    create_key(name="The owner's", agent="echo", by=owner, at=AT)
    member, viewer = somebody("member"), somebody("viewer")
    create_key(name="The member's", agent="echo", by=member, at=AT)

    def names(who: Any) -> list[str]:
        return [key["name"] for key in as_member(org, who).get(URL).context["keys"]]

    assert names(member) == ["The member's"]
    assert names(somebody("admin")) == names(owner) == ["The member's", "The owner's"]
    page = as_member(org, viewer).get(URL)
    assert names(viewer) == [] and b'id="new-key"' not in page.content
    assert as_member(org, viewer).post(URL, {"name": "K"}).status_code == 403
    assert ApiKey.objects.count() == 2


def test_a_retired_agent_gets_no_key(browser: Browser, echo: Agent, owner: Any) -> None:
    agents.retire_agent(agent_id=echo.id, actor=owner.actor, at=AT)
    url = f"/agents/{public_id('agt', echo.id)}/keys/"
    assert b'id="new-key"' not in browser.get(url).content
    assert browser.post(url, {"name": "Late"}).status_code == 422
    assert not ApiKey.objects.exists()
