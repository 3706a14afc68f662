"""`/v1` of policies and decisions: the shapes that programs rely on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.approvals.models import Approval
from apps.approvals.services import outcome
from apps.common.ids import parse_id, public_id
from apps.policies.engine import door
from apps.policies.engine.samples import INVOKE
from apps.policies.models import OrgPolicy, Policy
from apps.policies.services import activating, policies
from apps.runs.models import Run
from tests.orgs.conftest import AT, Api, problem
from tests.policies.factories import ALLOW, DENY, FLAWED, TESTS, about, decide, make_policy, said
from tests.runs.factories import admit, make_agent


def test_a_policy_is_written_activated_revised_and_retired(api: Api, org: Any) -> None:
    body = {"name": "Guard", "rego_text": ALLOW, "attach": {"scope": "project", "id": "default"}}
    made = api.post("/policies", body)
    assert made.status_code == 201
    told = made.json()
    assert told["id"].startswith("pol_") and (told["version"], told["status"]) == (1, "draft")
    assert [(row["scope"], row["name"]) for row in told["attachments"]] == [("project", "default")]
    path = f"/policies/{told['id']}"
    assert api.post(f"{path}/activate").json()["status"] == "active"
    next_one = api("PUT", path, {"rego_text": DENY}).json()
    assert (next_one["version"], next_one["status"], next_one["active_version"]) == (2, "draft", 1)
    assert [row["version"] for row in api.get(f"{path}/versions").json()["results"]] == [2, 1]
    assert problem(api("PUT", path, {"rego": "x"}))[0] == 422
    assert api.delete(path).status_code == 204
    assert api.get(path).json()["status"] == "retired"
    assert problem(api.post(f"{path}/activate")) == (409, "policy_state")


def test_what_was_written_after_it_was_read_is_not_activated(api: Api, org: Any) -> None:
    path = f"/policies/{api.post('/policies', {'name': 'Guard', 'rego_text': ALLOW}).json()['id']}"
    api("PUT", path, {"rego_text": DENY})
    before = OrgPolicy.objects.filter(status="active").count()
    answer = api.post(f"{path}/activate", {"version": 1})
    assert problem(answer) == (412, "precondition_failed")
    assert OrgPolicy.objects.filter(status="active").count() == before
    assert api.post(f"{path}/activate", {"version": 2}).json()["status"] == "active"


def test_nor_is_what_was_written_after_the_policy_was_found(
    api: Api, org: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes the next version between a request's beginning and its lock is seen too."""
    guard, opened = make_policy(owner), activating.read_policy

    def late(policy_id: Any) -> Policy:
        monkeypatch.setattr(activating, "read_policy", opened)
        policies.revise_policy(policy_id=policy_id, says={"rego_text": DENY}, **about(owner))
        return opened(policy_id)

    monkeypatch.setattr(activating, "read_policy", late)
    path = f"/policies/{public_id('pol', guard.policy_id)}/activate"
    answer = api.post(path, {"version": 1})
    assert problem(answer) == (412, "precondition_failed")
    assert not OrgPolicy.objects.filter(policy=guard.policy_id, status="active").exists()
    assert api.post(path, {"version": 2}).json()["status"] == "active"


def test_an_engine_that_is_away_is_no_flaw_of_a_text(
    api: Api, owner: Any, browser: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = make_policy(owner, tests=TESTS)
    ref = public_id("pol", guard.policy_id)
    says = {"name": "x", "rego_text": ALLOW}
    before = list(OrgPolicy.objects.order_by("id").values())
    settings.OPA_URL = "http://127.0.0.1:1"
    monkeypatch.setattr(door, "_made", None)
    answers = [
        api.post("/policies", says),
        api("PUT", f"/policies/{ref}", {"rego_text": DENY}),
        api.post("/policies/test", {"rego_text": ALLOW, "input": {}}),
        api.post("/policies/backtest", {"rego_text": ALLOW, "days": 1}),
        api.post(f"/policies/{ref}/tests"),
        api.post(f"/policies/{ref}/activate"),
    ]
    assert {problem(answer) for answer in answers} == {(503, "policy_engine_unavailable")}
    assert "can't be reached" in answers[0].json()["detail"]
    edited = browser.post(f"/policies/{ref}/edit/", {**says, "version": "1", "do": "try"})
    assert edited.status_code == 422 and "Nothing was changed; try again" in edited.content.decode()
    for button in ("tests", "activate"):
        answer = browser.post(f"/policies/{ref}/{button}/", {"version": "1"})
        assert answer.status_code == 303
        assert "Nothing was changed; try again" in browser.get(answer.url).content.decode()
    assert list(OrgPolicy.objects.order_by("id").values()) == before
    door._shared().pool.close()


@pytest.mark.parametrize("path", ["/policies", "/policies/test", "/policies/backtest"])
def test_a_flaw_is_told_by_line_and_column(api: Api, org: Any, path: str) -> None:
    more = {"/policies": {"name": "x"}, "/policies/test": {"input": {}}}.get(path, {"days": 1})
    before = Policy.objects.count()
    answer = api.post(path, {"rego_text": FLAWED, **more})
    assert problem(answer) == (422, "rego_invalid")
    (flaw,) = answer.json()["errors"]
    assert flaw["line"] == 6 and flaw["column"] >= 1 and flaw["message"]
    assert Policy.objects.count() == before


@pytest.mark.parametrize(
    ("attach", "field"),
    [
        ({"scope": "agent", "id": "nobody"}, "attach.id"),
        ({"scope": "tool", "id": "one"}, None),
        ({"scope": "tool", "id": "one/other"}, "attach.id"),
        ({"scope": "org", "id": "x"}, "attach.id"),
        ({"scope": "planet"}, "attach.scope"),
    ],
)
def test_an_attachment_names_what_is_there(
    api: Api, org: Any, attach: dict[str, str], field: str | None
) -> None:
    make_agent("one")
    answer = api.post("/policies", {"name": "x", "rego_text": ALLOW, "attach": attach})
    if field is None:
        assert answer.json()["attachments"][0]["name"] == "one/one"
        return
    assert problem(answer)[0] == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_text_is_tried_without_being_kept(api: Api, org: Any) -> None:
    before = OrgPolicy.objects.count()
    told = api.post("/policies/test", {"rego_text": DENY, "input": INVOKE}).json()
    assert (told["result"], told["reasons"], told["flaw"]) == ("deny", ["never"], "")
    assert problem(api.post("/policies/test", {"rego_text": DENY, "input": 1}))[0] == 422
    assert OrgPolicy.objects.count() == before


def test_a_backtest_that_is_asked_for_once_is_left_to_a_job(api: Api, org: Any) -> None:
    """While an Idempotency-Key is claimed a transaction is open, in which nothing long is done."""
    decide(Run.objects.get(id=admit(make_agent("one")).run_id))
    body = {"rego_text": DENY, "days": 2}
    kept = api.post("/policies/backtest", body, Idempotency_Key="once")
    assert (kept.status_code, kept.json()["status"], kept.json()["evaluated"]) == (
        *(202, "running"),
        0,
    )
    at_once = api.post("/policies/backtest", body)
    assert (at_once.status_code, at_once.json()["evaluated"]) == (200, 1)


def test_decisions_are_filtered_and_their_documents_are_for_who_may_read_data(
    api: Api, api_as: Any, org: Any, owner: Any
) -> None:
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    guard = make_policy(owner)
    allowed = decide(run, policies=[said(guard, "allow")])
    denied = decide(run, result="deny", reasons=["no"], at=AT + timedelta(minutes=1))
    ids = [public_id("dec", row.id) for row in (denied, allowed)]

    def found(query: str) -> list[str]:
        answer = api.get(f"/decisions{query}")
        assert answer.status_code == 200, answer.content
        return [row["id"] for row in answer.json()["results"]]

    late = (AT + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
    assert found("") == ids
    assert found("?result=deny") == ids[:1] and found(f"?since={late}") == ids[:1]
    assert found(f"?until={late}") == ids[1:]
    assert found(f"?policy={public_id('pol', guard.policy_id)}") == ids[1:]
    assert found("?agent=one") == ids and found(f"?run={public_id('run', run.id)}") == ids
    assert found("?shadowed=true") == []
    assert problem(api.get("/decisions?agent=nobody"))[0] == 422

    told = api.get(f"/decisions/{ids[1]}").json()
    assert {"id", "result", "reasons", "policies", "run", "at"} <= set(told)
    assert (told["run"], told["input"], told["agent"]) == (public_id("run", run.id), INVOKE, "one")
    blind = api_as("owner", scopes=["decisions.view"])
    assert blind.get(f"/decisions/{ids[1]}").json()["input"] is None


def test_settings_are_changed_by_who_may_activate(api: Api, org: Any) -> None:
    told = api.patch("/policies/settings", {"default_answer": "deny", "keep_inputs_days": 7})
    assert told.json()["approval_id"] is None
    assert api.get("/policies/settings").json() == {
        "bundle": told.json()["bundle"],
        "default_answer": "deny",
        "keep_inputs_days": 7,
        "two_person": False,
    }


def test_settings_that_wait_for_a_second_person_are_answered_with_the_approval(
    api: Api, org: Any
) -> None:
    assert api.patch("/policies/settings", {"two_person": True}).status_code == 200
    waits = api.patch("/policies/settings", {"default_answer": "deny", "keep_inputs_days": 7})
    told = waits.json()
    assert waits.status_code == 202 and told["approval_id"].startswith("apr_")
    assert (told["default_answer"], told["keep_inputs_days"]) == ("allow", 7)
    assert api.get(f"/approvals/{told['approval_id']}").json()["status"] == "pending"
    alone = api.patch("/policies/settings", {"keep_inputs_days": 8})
    assert (alone.status_code, alone.json()["approval_id"]) == (200, None)


def test_with_two_people_each_change_of_what_decides_is_answered_with_its_approval(
    api: Api, api_as: Any, org: Any
) -> None:
    body = {"name": "Guard", "rego_text": ALLOW, "attach": {"scope": "org"}}
    path = f"/policies/{api.post('/policies', body).json()['id']}"
    api.post(f"{path}/activate")
    assert api.patch("/policies/settings", {"two_person": True}).json()["approval_id"] is None
    before, boss = api.get(path).json(), api_as("admin")
    attachment = f"{path}/attachments/{before['attachments'][0]['id']}"
    there = {"scope": "project", "id": "default"}
    steps = [
        (lambda: api.post(f"{path}/attachments", there), lambda now: len(now["attachments"]) == 2),
        (lambda: api.delete(attachment), lambda now: len(now["attachments"]) == 1),
        (lambda: api.delete(path), lambda now: now["retired_at"] is not None),
    ]
    for act, has_happened in steps:
        answer = act()
        ref = answer.json()["approval_id"]
        assert answer.status_code == 202 and ref == act().json()["approval_id"]
        assert answer.json() == {**before, "approval_id": ref} and not has_happened(before)
        asked = f"/approvals/{ref}"
        assert problem(api.post(f"{asked}/approve", {})) == (409, "approval_own_request")
        assert api.get(path).json() == before
        assert boss.post(f"{asked}/approve", {}).status_code == 200
        outcome.tell_subject(approval_id=parse_id("apr", ref), at=AT)
        before = api.get(path).json()
        assert has_happened(before) and api.get(asked).json()["status"] == "consumed"


def test_with_two_people_a_draft_is_attached_detached_and_retired_at_once(
    api: Api, org: Any
) -> None:
    api.patch("/policies/settings", {"two_person": True})
    path = f"/policies/{api.post('/policies', {'name': 'x', 'rego_text': ALLOW}).json()['id']}"
    made = api.post(f"{path}/attachments", {"scope": "org"})
    assert made.status_code == 201
    assert api.delete(f"{path}/attachments/{made.json()['id']}").status_code == 204
    assert api.delete(path).status_code == 204
    assert not Approval.objects.exists()
