"""A new agent in three steps: what each shows, what travels between them, what is registered."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from apps.agents.models import Agent
from apps.agents.services import agents
from apps.agents.services.models import create_price, create_provider
from apps.orgs.services import projects
from apps.orgs.services.idempotency import answer_once
from apps.tenants import keys
from tests.agents.factories import URL, make_agent
from tests.orgs.conftest import AT, owner_of
from tests.tenants.browsing import Browser, as_member, is_page, is_part

KIND, DETAILS = "/agents/new/", "/agents/new/details/"
CHECK, REGISTER = "/agents/new/check/", "/agents/new/register/"
BUILTIN = {"name": "Parrot", "skill": "echo", "project": "default", "timeout_seconds": "30"}
HTTP = {"name": "Desk", "url": URL, "project": "default", "timeout_seconds": "60"}
MODEL = {"name": "Writer", "provider": "models", "model": "m", "project": "default"}


@pytest.fixture
def make(org: Any, owner: Any) -> Callable[..., Agent]:
    return lambda **fields: make_agent(owner, **fields)


def hidden(answer: Any) -> dict[str, str]:
    """What the page's form carries unseen, as a browser would send it."""
    html = answer.content.decode()
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
    found.pop("csrfmiddlewaretoken", None)
    return found


# The steps


@pytest.mark.parametrize(("path", "step"), [(KIND, 1), (DETAILS, 2), (CHECK, 2)])
def test_each_step_is_a_page_and_a_part(browser: Browser, path: str, step: int) -> None:
    page, part = browser.get(path), browser.part(path)
    boosted = browser.get(path, HX_Request="true", HX_Boosted="true")
    assert is_page(page) and is_page(boosted) and is_part(part)
    assert b'id="step"' in part.content
    assert page.context["step"] == step
    assert page.content.decode().count('aria-current="step"') == 1


def test_the_check_is_a_page_and_a_part(browser: Browser, events: Any) -> None:
    page = browser.post(CHECK, BUILTIN)
    part = browser.post(CHECK, BUILTIN, HX_Request="true")
    assert is_page(page) and is_part(part) and page.context["step"] == 3
    assert Agent.objects.count() == 0 and events() == []


def test_a_kind_leads_to_its_own_fields(browser: Browser) -> None:
    html = browser.get(f"{KIND}?project=default").content.decode()
    for kind, named in (("builtin", "skill"), ("http", "url"), ("llm", "model")):
        assert f'href="/agents/new/details/?project=default&amp;runtime={kind}"' in html
        page = browser.get(f"{DETAILS}?runtime={kind}").content.decode()
        assert [f'name="{name}"' in page for name in ("skill", "url", "model")] == [
            name == named for name in ("skill", "url", "model")
        ]


def test_an_agent_is_registered_without_scripts(browser: Browser, owner: Any, events: Any) -> None:
    # Given the third step of somebody who typed
    checked = browser.post(CHECK, {**BUILTIN, "purpose": "Repeats."})
    assert checked.status_code == 200
    # When they press the button with what that page carries
    answer = browser.post(REGISTER, hidden(checked))
    # Then there it is
    assert (answer.status_code, answer["Location"]) == (303, "/agents/parrot/")
    made = Agent.objects.get(slug="parrot")
    assert (made.status, made.config, made.timeout_seconds) == ("active", {"skill": "echo"}, 30)
    assert (made.purpose, made.accountable_id) == ("Repeats.", owner.member_id)
    assert [event[0] for event in events()] == ["agents.agent.created"]
    assert b'href="/agents/parrot/try/"' in browser.get("/agents/parrot/").content


def test_the_check_tells_what_it_would_be(browser: Browser, owner: Any) -> None:
    page = browser.post(CHECK, {**BUILTIN, "purpose": "Repeats <things>.", "draft": "on"})
    html = page.content.decode()
    assert "Repeats &lt;things&gt;." in html and ">parrot<" in html
    assert [row["label"] for row in page.context["given"]] == [
        "Skill",
        "Project",
        "Timeout",
    ]
    assert [tool.name for tool in page.context["tools"]] == ["echo"]
    assert owner.member_label in html and "stays a draft" in html


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ("", "No limit in dollars"),
        ('{"cost_micros": 50000, "requests": 3}', "costs more than $0.05"),
    ],
)
def test_the_check_tells_what_a_model_costs(
    browser: Browser, owner: Any, limits: str, told: str
) -> None:
    by: dict[str, Any] = {"actor": owner.actor, "at": AT}
    url = "https://93.184.216.34/v1"
    create_provider(name="models", kind="openai", base_url=url, api_key="a-key", **by)
    create_price(model="m", input_micros=150_000, output_micros=600_000, **by)
    data = {**MODEL, "timeout_seconds": "60", "limits": limits}

    page = browser.post(f"{CHECK}?runtime=llm", data)

    assert page.status_code == 200
    assert "$0.15 in and $0.60 out" in page.context["costs"][0]
    assert told in page.context["costs"][1]


def test_what_was_typed_survives_every_way(browser: Browser) -> None:
    typed = {
        **HTTP,
        "headers": "x-region: eu\nx-team: a&b",
        "purpose": "Looks “things” up",
        "draft": "on",
    }
    # Forth to the check, back to the details
    checked = browser.post(f"{CHECK}?runtime=http", typed)
    back = browser.post(f"{DETAILS}?runtime=http", {**typed, **_slug_of(checked)})
    fields = back.context["form"]
    assert back.status_code == 200
    assert {name: str(fields[name].value()) for name in typed} == {**typed, "draft": "True"}
    assert fields["slug"].value() == "desk"
    # Back to the kind, and forth to another one and again to the first
    kinds = browser.post(f"{KIND}?runtime=http", typed)
    assert dict(kinds.context["carried"]) == typed
    other = browser.post(f"{DETAILS}?runtime=builtin", typed)
    assert other.context["form"]["purpose"].value() == typed["purpose"]
    assert dict(other.context["carried"]) == {"url": URL, "headers": typed["headers"]}


def _slug_of(checked: Any) -> dict[str, str]:
    return {"slug": hidden(checked)["slug"]}


def test_a_box_that_was_cleared_stays_clear(browser: Browser) -> None:
    for said, value in ((BUILTIN, False), ({**BUILTIN, "draft": "on"}, True)):
        form = browser.post(DETAILS, said).context["form"]
        assert form["draft"].value() is value


def test_nothing_else_that_was_sent_travels(browser: Browser) -> None:
    page = browser.post(KIND, {**BUILTIN, "other": "not-a-field"})
    assert b"not-a-field" not in page.content


def test_the_project_of_the_address_is_chosen(browser: Browser, owner: Any) -> None:
    projects.create_project(name="Apollo", actor=owner.actor, at=AT)
    page = browser.get(f"{DETAILS}?project=apollo")
    assert page.context["form"]["project"].value() == "apollo"
    assert "project=apollo" in page.context["check_url"]


# Refusals


@pytest.mark.parametrize(
    ("query", "changes", "field"),
    [
        ("", {"name": ""}, "name"),
        ("", {"slug": "taken"}, "slug"),
        ("", {"slug": "No Slug"}, "slug"),
        ("", {"skill": "none"}, "skill"),
        ("", {"timeout_seconds": "601"}, "timeout_seconds"),
        ("", {"project": "no-such"}, "project"),
        ("", {"expression": "a"}, "expression"),
        ("", {"skill": "json-transform", "expression": "a["}, "expression"),
        ("?runtime=http", {"url": "http://93.184.215.14/"}, "url"),
        ("?runtime=http", {"url": "https://10.0.0.1/"}, "url"),
        ("?runtime=http", {"url": "nonsense//"}, "url"),
    ],
)
@pytest.mark.parametrize("path", [CHECK, REGISTER])
def test_what_is_wrong_is_shown_in_step_two(
    browser: Browser, make: Any, path: str, query: str, changes: dict[str, str], field: str
) -> None:
    make(name="Taken")
    data = {**(HTTP if query else BUILTIN), "purpose": "Kept words", **changes}

    whole = browser.post(f"{path}{query}", data)
    part = browser.post(f"{path}{query}", data, HX_Request="true")

    assert is_page(whole) and is_part(part)
    for answer in (whole, part):
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
        assert b"Kept words" in answer.content
    assert whole.context["step"] == 2
    assert Agent.objects.count() == 1


def test_a_slug_taken_meanwhile_is_told(browser: Browser, make: Any) -> None:
    checked = browser.post(CHECK, BUILTIN)
    make(name="Parrot")
    answer = browser.post(REGISTER, hidden(checked))
    assert answer.status_code == 422 and b"belongs to another agent" in answer.content
    assert Agent.objects.count() == 1


# Registering


def test_an_endpoints_secret_is_shown_once(browser: Browser, org: Any) -> None:
    answer = browser.post(f"{REGISTER}?runtime=http", HTTP)

    made = Agent.objects.get(slug="desk")
    secret = agents.find_signing_secret(made)
    assert is_page(answer) and answer.status_code == 200 and secret is not None
    assert secret.encode() in answer.content and "no-store" in answer["Cache-Control"]
    for path in ("/agents/desk/", "/agents/desk/settings/", "/agents/desk/manifests/1/"):
        assert secret.encode() not in browser.get(path).content


def test_a_draft_is_left_a_draft(browser: Browser, org: Any) -> None:
    browser.post(REGISTER, {**BUILTIN, "draft": "on"})
    assert Agent.objects.get().status == "draft"
    page = browser.get("/agents/parrot/")
    assert b"Nobody can call it until it is activated" in page.content


@pytest.mark.parametrize(("query", "data"), [("", BUILTIN), ("?runtime=http", HTTP)])
def test_a_button_pressed_twice_registers_once(
    browser: Browser, events: Any, query: str, data: dict[str, str]
) -> None:
    sent = hidden(browser.post(f"{CHECK}{query}", data))
    first, second = (browser.post(f"{REGISTER}{query}", sent) for _ in range(2))

    assert first.status_code == second.status_code
    assert first.headers.get("Location") == second.headers.get("Location")
    assert Agent.objects.count() == 1
    assert [event[0] for event in events()] == ["agents.agent.created"]
    if query:
        assert first.context["secret"] == second.context["secret"]


def test_an_old_form_sent_again_shows_no_secret(browser: Browser, owner: Any, events: Any) -> None:
    query = "?runtime=http"
    sent = hidden(browser.post(f"{CHECK}{query}", HTTP))
    secret = browser.post(f"{REGISTER}{query}", sent).context["secret"]
    made = Agent.objects.get(slug="desk")
    Agent.objects.update(created_at=made.created_at - timedelta(minutes=2))

    late = browser.post(f"{REGISTER}{query}", sent)
    assert (late.status_code, late["Location"]) == (303, "/agents/desk/")
    assert secret.encode() not in browser.get("/agents/desk/").content

    agents.retire_agent(agent_id=made.id, actor=owner.actor, at=AT)
    assert browser.post(f"{REGISTER}{query}", sent).status_code == 303
    assert [event[0] for event in events()].count("agents.agent.created") == 1


def test_a_button_is_who_pressed_its_first(
    browser: Browser, org: Any, somebody: Any, other_org: Any
) -> None:
    """Another's form sent by somebody else is a form of their own: it tells them no secret."""
    query = "?runtime=http"
    sent = hidden(browser.post(f"{CHECK}{query}", HTTP))
    secret = browser.post(f"{REGISTER}{query}", sent).context["secret"]

    colleague = as_member(org, somebody("admin")).post(f"{REGISTER}{query}", sent)
    assert colleague.status_code == 422 and b"belongs to another agent" in colleague.content
    assert secret.encode() not in colleague.content and Agent.objects.count() == 1

    changed = browser.post(f"{REGISTER}{query}", {**sent, "purpose": "Another one."})
    assert changed.status_code == 422 and secret.encode() not in changed.content

    with keys.holding(other_org.schema, other_org.id):
        stranger = as_member(other_org, owner_of(other_org))
    elsewhere = stranger.post(f"{REGISTER}{query}", sent)
    assert elsewhere.status_code == 200 and elsewhere.context["secret"] != secret
    assert Agent.objects.count() == 1
    with keys.holding(other_org.schema, other_org.id):
        assert Agent.objects.count() == 1


def test_a_press_that_comes_while_the_first_is_at_work_waits(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.agents.views import new
    from apps.orgs.errors import IdempotencyInFlight

    asked: list[str] = []

    def at_work_once(**said: Any) -> Any:
        asked.append(said["claim"].key)
        if len(asked) == 1:
            raise IdempotencyInFlight("Repeat it in a moment.")
        return answer_once(**said)

    monkeypatch.setattr(new, "answer_once", at_work_once)
    monkeypatch.setattr(new, "PAUSE_S", 0)
    answer = browser.post(REGISTER, hidden(browser.post(CHECK, BUILTIN)))
    assert answer.status_code == 303 and len(asked) == 2 and len(set(asked)) == 1
    assert Agent.objects.count() == 1


def test_a_viewer_reaches_no_step(org: Any, somebody: Any, browser: Browser) -> None:
    viewer = as_member(org, somebody("viewer"))
    for path in (KIND, DETAILS, CHECK):
        assert viewer.get(path).status_code == 403
        assert browser.get(path).status_code == 200
    assert viewer.post(REGISTER, BUILTIN).status_code == 403
    assert Agent.objects.count() == 0
    assert browser.post(REGISTER, BUILTIN).status_code == 303
