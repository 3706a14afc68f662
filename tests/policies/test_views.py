"""What the pages of policies show beyond what every page is tested for."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.approvals.models import Approval
from apps.common.ids import public_id
from apps.orgs.services.roles import create_role
from apps.policies.engine.samples import INVOKE
from apps.policies.forms import DaysForm
from apps.policies.models import Attachment, Backtest, Decision, OrgPolicy, PolicyHead
from apps.policies.pages import words_of
from apps.policies.services.backtesting import start_backtest
from apps.policies.services.settings import change_settings
from apps.runs.models import Run
from apps.trust.canonical import digest
from tests.orgs.conftest import AT, Api, join, owner_of
from tests.policies.factories import (
    ALLOW,
    DENY,
    FLAWED,
    TESTS,
    about,
    activate,
    decide,
    make_policy,
    retire,
    said,
)
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import as_member


@pytest.fixture
def guard(org: Any, owner: Any) -> OrgPolicy:
    return make_policy(owner, tests=TESTS, scope="org")


def path(version: OrgPolicy, rest: str = "") -> str:
    return f"/policies/{public_id('pol', version.policy_id)}/{rest}"


def log(**asked: str) -> str:
    return f"/policies/decisions/?{urlencode(asked)}"


ALTERED = {**INVOKE, "context": {**INVOKE["context"], "input": {"text": "cust0mer"}}}


def html(page: Any) -> str:
    return str(page.content.decode())


def form(version: OrgPolicy, **fields: str) -> dict[str, str]:
    says = {"name": version.name, "rego_text": version.rego_text, "tests": version.tests}
    return {**says, "version": str(version.version), **fields}


def test_a_flaw_stands_below_its_editor_which_marks_the_line(
    browser: Any, guard: OrgPolicy
) -> None:
    answer = browser.post(path(guard, "edit/"), form(guard, rego_text=FLAWED))
    html = answer.content.decode()
    assert answer.status_code == 422 and "Line 6, column" in html
    assert 'data-error-line="6"' in html
    assert OrgPolicy.objects.filter(policy=guard.policy_id).count() == 1


def test_an_editor_of_an_older_version_overwrites_nothing(browser: Any, guard: OrgPolicy) -> None:
    assert browser.post(path(guard, "edit/"), form(guard, name="Second")).status_code == 303
    answer = browser.post(path(guard, "edit/"), form(guard, name="Third"))
    assert answer.status_code == 422 and "nothing was overwritten" in answer.content.decode()
    assert OrgPolicy.objects.get(policy=guard.policy_id, version=2).name == "Second"


def test_a_text_is_tried_with_its_tests_and_not_kept(browser: Any, guard: OrgPolicy) -> None:
    answer = browser.post(path(guard, "edit/"), form(guard, rego_text=DENY, do="try"))
    html = answer.content.decode()
    assert answer.status_code == 200 and "never" in html and "0 of 1 pass" in html
    assert OrgPolicy.objects.filter(policy=guard.policy_id).count() == 1


def test_lists_read_no_text_and_the_policy_does(
    browser: Any, api: Api, org: Any, guard: OrgPolicy
) -> None:
    activate(owner_of(org), guard)
    browser.post(path(guard, "edit/"), form(guard, name="Second"))
    own = f"/policies/{public_id('pol', guard.policy_id)}"
    asked = {
        "page": (lambda: browser.get("/policies/"), False),
        "api": (lambda: api.get("/policies"), False),
        "policy": (lambda: api.get(own), True),
    }
    for name, (ask, reads) in asked.items():
        with CaptureQueriesContext(connection) as ran:
            answer = ask()
        assert answer.status_code == 200 and b"Second" in answer.content
        found = [query["sql"] for query in ran if '"org_policies"."digest"' in query["sql"]]
        assert found and any('"rego_text"' in sql for sql in found) is reads, name


def test_an_empty_call_is_tried_as_it_is_and_no_call_as_the_example(
    browser: Any, guard: OrgPolicy
) -> None:
    rego = f'{ALLOW}\ndeny contains input.action.name\n\ndeny contains "none" if input == {{}}\n'
    for document, reason in (("{}", "none"), ("", "agent.invoke")):
        tried = form(guard, rego_text=rego, document=document, do="try")
        html = browser.post(path(guard, "edit/"), tried).content.decode()
        assert f"<li>{reason}</li>" in html
    assert OrgPolicy.objects.filter(policy=guard.policy_id).count() == 1


def test_the_button_activates_the_version_that_its_page_showed(
    browser: Any, guard: OrgPolicy
) -> None:
    assert (
        '<input type="hidden" name="version" value="1">'
        in browser.get(path(guard)).content.decode()
    )
    browser.post(path(guard, "edit/"), form(guard, name="Second"))
    assert browser.post(path(guard, "activate/"), {"version": "1"}).status_code == 303
    assert "Version 2 was written meanwhile" in browser.get(path(guard)).content.decode()
    for odd in ("", "x", "9" * 5000):
        assert browser.post(path(guard, "activate/"), {"version": odd}).status_code == 303
    assert not OrgPolicy.objects.filter(policy=guard.policy_id, status="active").exists()
    browser.post(path(guard, "activate/"), {"version": "2"})
    assert OrgPolicy.objects.get(policy=guard.policy_id, version=2).status == "active"


def test_a_version_without_tests_counts_as_tested_and_the_list_says_so(
    browser: Any, org: Any, owner: Any
) -> None:
    made = make_policy(owner)
    activate(owner, made)
    browser.post(path(made, "edit/"), form(made, name="Second"))
    assert "v2 draft" in html(browser.get("/policies/"))
    browser.post(path(made, "tests/"))
    assert "It has no tests. It counts as tested." in html(browser.get(path(made)))
    assert "v2 tested" in html(browser.get("/policies/"))


def test_what_a_call_may_cost_is_said_in_dollars() -> None:
    assert words_of({"cap_cost_micros": 500_000}) == "cost at most $0.50"
    assert words_of({}) == "nothing"


def test_a_retired_policy_has_no_editor(browser: Any, guard: OrgPolicy) -> None:
    assert browser.post(path(guard, "retire/")).status_code == 303
    assert browser.get(path(guard, "edit/")).status_code == 409
    assert "Retired" in browser.get(path(guard)).content.decode()


def test_a_diff_shows_two_versions_and_only_those_there_are(browser: Any, guard: OrgPolicy) -> None:
    browser.post(path(guard, "edit/"), form(guard, rego_text=f"{ALLOW}\n# more\n"))
    assert "# more" in browser.get(path(guard, "versions/1..2/")).content.decode()
    for wrong in ("1..3", "1-2", "x", "1..99999999999"):
        assert browser.get(path(guard, f"versions/{wrong}/")).status_code == 404


def test_a_shadow_counts_what_it_would_change(
    browser: Any, org: Any, owner: Any, guard: OrgPolicy
) -> None:
    browser.post(path(guard, "shadow/"))
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    differs = {**said(guard, "deny", "no"), "would_be": "deny", "would_reasons": ["no"]}
    decide(run, shadows=[differs], at=timezone.now() + timedelta(seconds=1))
    html = browser.get(path(guard)).content.decode()
    assert "It would have decided 1 call otherwise" in html and "Draft: denied" in html


def test_a_shadow_is_compared_with_what_policies_said_and_not_with_a_rate(
    browser: Any, org: Any, guard: OrgPolicy
) -> None:
    browser.post(path(guard, "shadow/"))
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    hides = {**said(guard, "allow"), "would_be": "allow", "would_reasons": []}
    then = {"policies": [said(guard, "allow")], "result": "deny", "reasons": ["Too often."]}
    decide(run, shadows=[hides], at=timezone.now() + timedelta(seconds=1), **then)
    html = browser.get(path(guard)).content.decode()
    assert "Draft: other obligations" in html and "Draft: allowed" not in html


def test_a_draft_that_obliges_to_more_says_so(browser: Any, org: Any, guard: OrgPolicy) -> None:
    browser.post(path(guard, "shadow/"))
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    differs = {**said(guard, "allow"), "would_be": "allow", "would_reasons": []}
    decide(run, shadows=[differs], at=timezone.now() + timedelta(seconds=1))
    assert "Draft: other obligations" in browser.get(path(guard)).content.decode()


def test_a_document_is_shown_to_who_may_read_data(
    browser: Any, org: Any, acme: Any, owner: Any
) -> None:
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    kept = decide(run, policies=[said(make_policy(owner), "allow")])
    gone = decide(run, document=None)
    at = "/policies/decisions/{}/".format
    shown = browser.get(at(public_id("dec", kept.id))).content.decode()
    assert "customer-data" in shown and "Guard" in shown
    erased = browser.get(at(public_id("dec", gone.id))).content.decode()
    assert "Its document is erased" in erased
    assert Decision.objects.count() == 2


def test_a_document_that_was_not_decided_by_is_shown_nowhere(
    browser: Any, api: Any, org: Any, owner: Any, as_superuser: Any
) -> None:
    guard = make_policy(owner)
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    made = decide(run, policies=[said(guard, "allow")], at=timezone.now())
    ref = public_id("dec", made.id)

    def read() -> tuple[Any, ...]:
        """The decision's page, by the API, the editor's latest call, and a backtest's figures."""
        page = browser.get(f"/policies/decisions/{ref}/")
        told = api.get(f"/decisions/{ref}")
        editor = browser.get(path(guard, "edit/?call=recent"))
        done = start_backtest(
            rego_text=ALLOW, days=1, by_member_id=owner.member_id, at=timezone.now()
        )
        assert [page.status_code, told.status_code, editor.status_code] == [200] * 3
        assert "Guard" in page.content.decode() and told.json()["id"] == ref
        return (
            "ocument is not what it was decided by" in page.content.decode(),
            told.json()["input_is_altered"],
            told.json()["input"] is None,
            [b"cust0mer" in answer.content for answer in (page, told, editor)],
            (done.evaluated, done.without_input),
        )

    as_superuser(f"update decisions set input_digest = '\\x{digest(ALTERED).hex()}'")
    as_superuser(f"update decision_inputs set document = '{json.dumps(ALTERED)}'")
    assert read() == (False, False, False, [True] * 3, (1, 0))

    as_superuser(f"update decisions set input_digest = '\\x{digest(INVOKE).hex()}'")
    assert read() == (True, True, True, [False] * 3, (0, 1))


def test_the_log_is_narrowed_to_days_the_last_one_included(browser: Any, org: Any) -> None:
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    noon = timezone.localtime(AT).replace(hour=12)
    days = [noon - timedelta(days=number) for number in range(3)]
    refs = {day: public_id("dec", decide(run, at=day).id) for day in days}

    def shown(**asked: str) -> list[str]:
        page = browser.get(log(**asked))
        assert all(f'name="{name}" value="{value}"' in html(page) for name, value in asked.items())
        return [row["id"] for row in page.context["decisions"]]

    day = {number: days[number].date().isoformat() for number in range(3)}
    assert shown() == [refs[one] for one in days]
    assert shown(since=day[1]) == [refs[days[0]], refs[days[1]]]
    assert shown(until=day[1]) == [refs[days[1]], refs[days[2]]]
    assert shown(since=day[1], until=day[1]) == [refs[days[1]]]
    assert shown(since="tomorrow") == []
    told = browser.get(log(result="allow", until=day[1])).context["command"]
    after = days[0].replace(hour=0, minute=0, second=0).astimezone(UTC)
    query = urlencode({"result": "allow", "until": f"{after:%Y-%m-%dT%H:%M:%SZ}"})
    assert shlex.split(told)[-1] == f"http://acme.localhost:8000/v1/decisions?{query}"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_any_days_can_be_asked_for_anywhere(browser: Any, zone: str) -> None:
    with timezone.override(zone):
        form = DaysForm({"since": "0001-01-01", "until": "9999-12-31"})
        assert form.is_valid()
        assert {name: at.astimezone(UTC).year for name, at in form.found().items()} in (
            {"since": 1999},
            {"since": 2000},
        )
    assert browser.get(log(since="0001-01-01", until="9999-12-31")).status_code == 200


def test_of_a_policy_nothing_older_than_it_is_looked_into(
    browser: Any, org: Any, guard: OrgPolicy
) -> None:
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    decided = [
        decide(run, policies=[said(guard, "allow")], at=AT + timedelta(minutes=minutes))
        for minutes in (-1, 1)
    ]
    ref = public_id("pol", guard.policy_id)
    page = browser.get(log(policy=ref))
    assert [row["id"] for row in page.context["decisions"]] == [public_id("dec", decided[1].id)]
    page = browser.get(log(policy=ref, since=str(AT.date() + timedelta(days=2))))
    assert page.context["decisions"] == []


def test_a_backtest_is_asked_and_shown(browser: Any, org: Any, owner: Any) -> None:
    deny = make_policy(owner, rego_text=DENY, scope="org")
    run = Run.objects.get(id=admit(make_agent("one")).run_id)
    decide(run)
    sent = browser.post(path(deny, "backtest/"), {"days": "2"})
    made = Backtest.objects.get()
    assert sent.status_code == 303 and public_id("pbt", made.id) in sent["Location"]
    html = browser.get(sent["Location"]).content.decode()
    assert "1 of 1 would change" in html and "Denied" in html
    assert browser.post(path(deny, "backtest/"), {"days": "0"}).status_code == 422
    other = make_policy(owner, name="Other")
    of = f"?of={public_id('pbt', made.id)}"
    assert browser.get(path(deny, f"backtest/{of}")).status_code == 200
    assert browser.get(path(other, f"backtest/{of}")).status_code == 404


def test_a_backtest_says_what_would_be_obliged(browser: Any, org: Any, owner: Any) -> None:
    decide(Run.objects.get(id=admit(make_agent("one")).run_id))
    rego = f'{ALLOW}\nobligations := {{"mask": ["input.text"]}}\n'
    masks = make_policy(owner, rego_text=rego, scope="org")
    sent = browser.post(path(masks, "backtest/"), {"days": "2"})
    html = browser.get(sent["Location"]).content.decode()
    assert "1 of 1 would change" in html
    assert "Obliged to nothing; would be to hide input.text." in html


def test_with_two_people_the_button_asks_for_approval(
    browser: Any, org: Any, owner: Any, guard: OrgPolicy
) -> None:
    settings = {"default_answer": "allow", "keep_inputs_days": "30", "two_person": "on"}
    assert browser.post("/policies/settings/", settings).status_code == 303
    assert "Request approval" in browser.get(path(guard)).content.decode()
    browser.post(path(guard, "activate/"))
    html = browser.get(path(guard)).content.decode()
    assert "waits for a second person" in html and "Request approval" not in html
    assert f"/approvals/{public_id('apr', Approval.objects.get().id)}/" in html
    assert OrgPolicy.objects.get(id=guard.id).status == "tested"


@pytest.fixture
def two_people(org: Any, owner: Any, guard: OrgPolicy) -> None:
    """The guard decides, and what decides is changed by two."""
    activate(owner, guard)
    change_settings(fields={"two_person": True}, **about(owner))


@pytest.mark.usefixtures("two_people")
@pytest.mark.parametrize(
    ("act", "offer", "title", "waits"),
    [
        ("attach", "Counts once somebody", "Attach Guard to project default", ""),
        ("detach", "Ask to detach", "Detach Guard from the organization", "Detaching waits"),
        ("retire", "Request retirement", "Retire Guard", "Its retirement waits"),
    ],
)
def test_a_change_that_waits_is_told_with_a_link_to_its_approval(
    browser: Any, guard: OrgPolicy, act: str, offer: str, title: str, waits: str
) -> None:
    row = Attachment.objects.get(policy=guard.policy_id)
    rest = f"detach/{public_id('pla', row.id)}/" if act == "detach" else f"{act}/"
    html = browser.get(path(guard)).content.decode()
    assert offer in html and title not in html
    sent = browser.post(path(guard, rest), {"place": "project:default"})
    (asked,) = Approval.objects.all()
    html = browser.get(sent["Location"]).content.decode()
    assert "It waits for a second person to approve it." in html
    assert f"<b>{title}:</b>" in html and f"/approvals/{public_id('apr', asked.id)}/" in html
    assert waits in html and (not waits or offer not in html)
    assert "&#x27;title&#x27;" not in html  # a dialog would take it for what it asks besides
    assert list(Attachment.objects.filter(policy=guard.policy_id)) == [row]
    assert OrgPolicy.objects.get(id=guard.id).status == "active"


@pytest.mark.usefixtures("two_people")
def test_who_may_not_see_approvals_is_told_without_a_link(
    acme: Any, owner: Any, guard: OrgPolicy
) -> None:
    retire(owner, guard)
    role = create_role(name="Reader", permissions=["policies.view"], by=owner, at=AT)
    html = as_member(acme, join(acme, role.slug)).get(path(guard)).content.decode()
    assert "<b>Retire Guard:</b>" in html and "/approvals/apr_" not in html


@pytest.mark.usefixtures("two_people")
def test_settings_tell_what_of_them_waits(browser: Any, org: Any) -> None:
    settings = {"default_answer": "deny", "keep_inputs_days": "9", "two_person": "on"}
    sent = browser.post("/policies/settings/", settings)
    (asked,) = Approval.objects.all()
    html = browser.get(sent["Location"]).content.decode()
    assert "<b>Deny what no policy is attached to:</b>" in html
    assert f"/approvals/{public_id('apr', asked.id)}/" in html
    head = PolicyHead.objects.get()
    assert (head.default_answer, head.keep_inputs_days) == ("allow", 9)


def test_a_viewer_reads_and_is_offered_nothing(acme: Any, org: Any, owner: Any) -> None:
    guard = make_policy(owner, scope="org")
    activate(owner, guard)
    viewer = as_member(acme, join(acme, "viewer"))
    html = viewer.get(path(guard)).content.decode()
    assert "Attached to" in html
    for offer in ("Detach", "Retire policy", "Start shadow mode"):
        assert offer not in html
