"""One grant in a browser: shown, changed, and left as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Grant
from apps.agents.services import agents, grants
from apps.common.ids import public_id
from tests.agents.factories import let_call, make_agent, make_desk
from tests.orgs.conftest import AT
from tests.tenants.browsing import Browser, as_member, is_page, is_part


@pytest.fixture
def grant(owner: Any) -> Grant:
    """What the echo agent may call of one with two tools, for a month."""
    desk = make_desk(owner, capabilities=[{"name": "read"}, {"name": "write"}])
    until = timezone.now() + timedelta(days=30)
    return let_call(owner, make_agent(owner), desk, "read", expires_at=until)


def url_of(grant: Grant) -> str:
    return f"/agents/order-desk/grants/{public_id('gnt', grant.id)}/"


def terms_of(grant: Grant) -> Any:
    return Grant.objects.values_list("tools", "expires_at").get(id=grant.id)


def test_a_grant_is_changed_without_scripts(browser: Browser, grant: Grant, events: Any) -> None:
    listing = browser.get("/agents/order-desk/grants/").content.decode()
    assert f'href="{url_of(grant)}"' in listing
    page, part = browser.get(url_of(grant)), browser.part(url_of(grant))
    assert is_page(page) and is_part(part)
    before = len(events())

    answer = browser.post(
        f"{url_of(grant)}?project=default", {"tools": "write", "lifetime": "keep"}
    )

    assert answer.status_code == 303
    assert answer["Location"] == "/agents/order-desk/grants/?project=default"
    assert terms_of(grant) == (["write"], grant.expires_at)
    assert [event[0] for event in events()[before:]] == ["agents.grant.updated"]
    browser.post(url_of(grant), {"tools": ["read", "write"], "lifetime": ""})
    assert terms_of(grant) == (["read", "write"], None)
    browser.post(url_of(grant), {"tools": "*", "lifetime": "90"})
    tools, until = terms_of(grant)
    assert tools == ["*"]
    assert timedelta(days=89) < until - timezone.now() < timedelta(days=91)


@pytest.mark.parametrize(
    ("changes", "field"), [({"tools": "other"}, "tools"), ({"lifetime": "7"}, "lifetime")]
)
def test_a_refused_change_names_its_field(
    browser: Browser, grant: Grant, changes: dict[str, str], field: str
) -> None:
    before = terms_of(grant)
    data = {"tools": "write", "lifetime": "keep", **changes}
    whole = browser.post(url_of(grant), data)
    part = browser.post(url_of(grant), data, HX_Request="true")
    assert is_page(whole) and is_part(part)
    for answer in (whole, part):
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
    assert terms_of(grant) == before


def test_who_may_not_manage_grants_reads_one(org: Any, grant: Grant, somebody: Any) -> None:
    viewer, before = as_member(org, somebody("viewer")), terms_of(grant)
    page = viewer.get(url_of(grant))
    assert is_page(page) and b"grant-form" not in page.content
    assert viewer.post(url_of(grant), {"tools": "*"}).status_code == 403
    assert url_of(grant) not in viewer.get("/agents/order-desk/grants/").content.decode()
    assert terms_of(grant) == before


def test_a_revoked_grant_stays_as_it_was(browser: Browser, grant: Grant, owner: Any) -> None:
    grants.revoke_grant(grant_id=grant.id, actor=owner.actor, at=AT)
    before = terms_of(grant)
    page = browser.get(url_of(grant))
    assert is_page(page) and b"grant-form" not in page.content
    assert page.context["grant"]["status"] == "revoked"
    assert browser.post(url_of(grant), {"tools": "*", "lifetime": ""}).status_code == 422
    assert terms_of(grant) == before


def test_a_grant_that_ran_out_and_was_replaced_still_says_expired(
    browser: Browser, grant: Grant, owner: Any
) -> None:
    over = timezone.now() - timedelta(days=1)
    Grant.objects.filter(id=grant.id).update(expires_at=over)
    echo, desk = (Agent.objects.get(slug=slug) for slug in ("echo", "order-desk"))
    let_call(owner, echo, desk, "write", at=timezone.now())
    rows = browser.get("/agents/order-desk/grants/").context["grants"]
    assert [row["status"] for row in rows] == ["active", "expired"]


def test_a_grant_of_another_agent_is_not_found_here(browser: Browser, grant: Grant) -> None:
    before, wrong = terms_of(grant), url_of(grant).replace("order-desk", "echo")
    assert browser.get(wrong).status_code == 404
    assert browser.post(wrong, {"tools": "*", "lifetime": ""}).status_code == 404
    assert terms_of(grant) == before


def test_a_retired_agents_commands_use_its_id(browser: Browser, grant: Grant, owner: Any) -> None:
    """Its slug may be another agent's by now."""
    former = Agent.objects.get(slug="order-desk")
    agents.retire_agent(agent_id=former.id, actor=owner.actor, at=AT)
    make_desk(owner)
    ref = public_id("agt", former.id)
    paths = ("", "tools/", "grants/", "manifests/", "manifests/1/", "settings/", "runs/", "try/")
    for path in (*paths, f"grants/{public_id('gnt', grant.id)}/"):
        page = browser.get(f"/agents/{ref}/{path}")
        assert is_page(page), path
        assert ref in page.context["command"], path
        assert "order-desk" not in page.context["command"], path
    runs = browser.get(f"/agents/{ref}/runs/")
    assert runs.context["all_runs_url"] == f"/runs/?agent={ref}&level=all"
    listed = browser.get(runs.context["all_runs_url"])
    assert (ref, former.name) in listed.context["agents"]
