"""An agent's settings and states in a browser: what a form shows, keeps and carries on."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents import selectors
from apps.agents.models import Agent
from apps.agents.services import agents
from apps.agents.services.changing import version_of
from apps.common.ids import public_id
from tests.agents.factories import URL, let_call, make_agent, make_desk
from tests.orgs.conftest import AT
from tests.tenants.browsing import Browser, as_member

HEADERS = {"x-region": "eu north", "x-author": "Jo"}


@pytest.fixture
def desk(owner: Any) -> Agent:
    return make_desk(owner, config={"url": URL, "headers": HEADERS})


def sent(agent: Agent, **changes: str) -> dict[str, str]:
    """What the form holds as a browser sends it back."""
    return {
        "version": version_of(Agent.objects.get(id=agent.id)),
        "name": agent.name,
        "purpose": agent.purpose,
        "project": agent.project.slug,
        "accountable": public_id("mem", agent.accountable_id),
        "timeout_seconds": str(agent.timeout_seconds),
        "url": URL,
        "headers": "x-region: eu north\r\nx-author: Jo",
        **changes,
    }


def config_of(agent: Agent) -> Any:
    return Agent.objects.get(id=agent.id).config


def test_headers_are_shown_kept_and_changed(browser: Browser, desk: Agent) -> None:
    page = browser.get("/agents/order-desk/settings/").content.decode()
    assert "x-author: Jo\nx-region: eu north</textarea>" in page
    assert "x-region: eu north" in browser.get("/agents/order-desk/").content.decode()

    assert browser.post("/agents/order-desk/settings/", sent(desk, name="Desk")).status_code == 303
    assert config_of(desk) == {"url": URL, "headers": HEADERS}
    one = sent(desk, headers="X-Region:us\n\n")
    assert browser.post("/agents/order-desk/settings/", one).status_code == 303
    assert config_of(desk) == {"url": URL, "headers": {"x-region": "us"}}
    browser.post("/agents/order-desk/settings/", sent(desk, headers=""))
    assert config_of(desk) == {"url": URL}


@pytest.mark.parametrize(
    "headers",
    ["no colon", "x-a: 1\nx-a: 2", "X-A: 1\nx-a: 2", "Authorization: Bearer x", "x-a:", "host: a"],
)
def test_refused_headers_are_told_at_their_field(
    browser: Browser, desk: Agent, headers: str
) -> None:
    answer = browser.post("/agents/order-desk/settings/", sent(desk, headers=headers))
    assert answer.status_code == 422
    assert 'id="id_headers_error"' in answer.content.decode()
    assert headers.partition("\n")[0] in answer.content.decode()
    assert config_of(desk) == {"url": URL, "headers": HEADERS}


def test_what_a_config_holds_beyond_the_form_is_never_lost(browser: Browser, desk: Agent) -> None:
    """A config may have been made by a newer version than the form's."""
    from apps.agents.forms import AgentEditForm

    form = AgentEditForm(
        sent(desk),
        runtime="http",
        config={**desk.config, "later": "kept"},
        projects=[("default", "Default")],
        members=[(public_id("mem", desk.accountable_id), "Somebody")],
    )
    assert form.is_valid(), form.errors
    assert form.config() == {"url": URL, "headers": HEADERS, "later": "kept"}


def test_a_new_agent_is_registered_with_headers(browser: Browser) -> None:
    data = {"name": "Desk", "url": URL, "headers": "x-region: eu", "project": "default"}
    made = browser.post("/agents/new/register/?runtime=http", {**data, "timeout_seconds": "60"})
    assert made.status_code == 200  # its secret
    assert Agent.objects.get().config == {"url": URL, "headers": {"x-region": "eu"}}


def test_the_kill_switch_takes_a_note(browser: Browser, desk: Agent) -> None:
    assert 'id="kill_note"' in browser.get("/agents/order-desk/").content.decode()
    browser.post("/agents/order-desk/kill/", {"note": " It orders twice. "})
    assert Agent.objects.get().status_note == "It orders twice."


@pytest.mark.parametrize("note", ["x" * 201, "a\x00b"])
def test_no_note_keeps_an_agent_from_being_stopped(
    browser: Browser, desk: Agent, note: str
) -> None:
    assert browser.post("/agents/order-desk/kill/", {"note": note}).status_code == 303
    found = Agent.objects.get()
    assert (found.status, found.status_note) == ("suspended", "Stopped by the kill switch.")


def test_suspending_and_activating_undo_each_other_on_the_page(
    browser: Browser, desk: Agent
) -> None:
    for verb, other in (("suspend", "activate"), ("activate", "suspend")):
        assert f'action="/agents/order-desk/{verb}/' in actions(browser)
        assert f'action="/agents/order-desk/{other}/' not in actions(browser)
        assert browser.post(f"/agents/order-desk/{verb}/").status_code == 303


def actions(browser: Browser) -> str:
    html = browser.get("/agents/order-desk/").content.decode()
    return html.partition('<div class="head">')[2].partition('<nav class="tabs"')[0]


def test_forms_carry_the_selected_project_on(browser: Browser, desk: Agent, owner: Any) -> None:
    """Each form's address and where it leads."""
    second = agents.create_agent(
        name="Caller",
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=AT,
    )
    grant = public_id("gnt", let_call(owner, second, desk).id)
    browser.post("/agents/order-desk/tools/", tool_named("second"))
    for page, form in (
        ("grants/", f"grants/{grant}/revoke/"),
        ("tools/second/", "tools/second/remove/"),
        ("", "suspend/"),
        ("", "activate/"),
        ("", "kill/"),
    ):
        shown = browser.get(f"/agents/order-desk/{page}?project=default").content.decode()
        address = f"/agents/order-desk/{form}?project=default"
        assert f'action="{address}"' in shown, form
        assert browser.post(address)["Location"].endswith("?project=default"), form
    settings = browser.get("/agents/order-desk/settings/?project=default").content.decode()
    assert 'action="/agents/order-desk/secret/?project=default"' in settings


def tool_named(name: str) -> dict[str, str]:
    schema = '{"type": "object"}'
    return {"name": name, "auth": "any", "price": "0", "input_schema": schema} | {
        "output_schema": schema
    }


def test_the_list_is_sorted_as_the_address_says(browser: Browser, owner: Any) -> None:
    for name in ("Bravo", "Alpha", "Charlie"):
        make_agent(owner, name=name, at=AT)

    def names(query: str) -> list[str]:
        return [row["name"] for row in browser.get(f"/agents/{query}").context["agents"]]

    by_name = ["Alpha", "Bravo", "Charlie"]
    newest = [agent.name for agent in selectors.list_agents()]
    assert names("?sort=name") == by_name
    assert names("?sort=-name") == by_name[::-1]
    assert names("?sort=created") == newest[::-1]
    assert names("") == names("?sort=nothing") == newest
    html = browser.get("/agents/?sort=name&q=a").content.decode()
    assert '<th scope="col" aria-sort="ascending"><a href="?sort=-name&amp;q=a">Agent' in html
    assert '<input type="hidden" name="sort" value="name">' in html


def test_last_runs_are_for_who_may_see_runs(
    org: Any, browser: Browser, owner: Any, somebody: Any
) -> None:
    from apps.orgs.models import RolePermission

    make_agent(owner)
    member = somebody("member")
    RolePermission.objects.filter(role__slug="member", permission__code="runs.view").delete()
    assert b"Last run" in browser.get("/agents/").content
    page = as_member(org, member).get("/agents/")
    assert b"Last run" not in page.content and page.status_code == 200
    assert [row["last"] for row in page.context["agents"]] == [None]
