"""What drafts make of calls is read by who may read data: nobody reads data by writing a policy."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.ids import public_id
from apps.orgs.services import roles
from apps.policies.models import Backtest
from apps.runs.models import Run
from tests.orgs.conftest import AT, Api, join, problem, token_for
from tests.policies.factories import ALLOW, decide, make_policy, said
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import as_member

TELLS = f"{ALLOW}\ndeny contains json.marshal(input.context.input)\n"
SECRET = "The parcel arrived"
AUTHOR = ["policies.view", "policies.edit", "policies.activate", "decisions.view"]
BODY = {"rego_text": TELLS, "days": 2}


@pytest.fixture
def run(org: Any) -> Run:
    return Run.objects.get(id=admit(make_agent("one")).run_id)


@pytest.fixture
def author(org: Any, owner: Any) -> Any:
    """Writes policies, and may not read what runs take and give."""
    role = roles.create_role(name="Author", permissions=AUTHOR, by=owner, at=AT)
    return join(org, role.slug)


def test_asking_about_calls_that_are_over_takes_the_right_to_read_them(
    api: Api, org: Any, author: Any, run: Run
) -> None:
    decide(run)
    answer = Api(token_for(org, author)).post("/policies/backtest", BODY)
    assert problem(answer) == (403, "permission_denied")
    assert answer.json()["permission"] == "data.read"
    assert Backtest.objects.count() == 0

    told = api.post("/policies/backtest", BODY).json()
    assert SECRET in told["changed"][0]["reasons"][0]


def test_what_another_found_is_told_without_what_it_is_made_of(
    api: Api, org: Any, author: Any, run: Run
) -> None:
    decide(run)
    made = api.post("/policies/backtest", BODY).json()
    path = f"/policies/backtests/{made['id']}"
    assert SECRET in api.get(path).content.decode()

    answer = Api(token_for(org, author)).get(path)
    (change,) = answer.json()["changed"]
    assert SECRET not in answer.content.decode()
    assert (change["was"], change["would_be"], change["reasons"]) == ("allow", "deny", [])
    assert change["withheld"] == "data.read" and "obligations_would_be" not in change


def test_a_drafts_opinion_is_a_result_to_who_may_not_read(
    api: Api, org: Any, owner: Any, author: Any, run: Run
) -> None:
    draft = make_policy(owner)
    differs = {
        **said(draft, "deny", SECRET),
        "flaw": SECRET,
        "obligations": {"mask": [f"input.{SECRET}"]},
        "would_be": "deny",
        "would_reasons": [SECRET],
    }
    ref = public_id("dec", decide(run, document=None, shadows=[differs]).id)
    blind = Api(token_for(org, author))
    for path in ("/decisions", f"/decisions/{ref}"):
        assert SECRET in api.get(path).content.decode()
        answer = blind.get(path)
        assert SECRET not in answer.content.decode()
        found = answer.json()
        (shadow,) = (found["results"][0] if "results" in found else found)["shadows"]
        assert (shadow["result"], shadow["would_be"]) == ("deny", "deny")
        assert (shadow["reasons"], shadow["withheld"]) == ([], "data.read")


def test_the_pages_hold_to_it_too(
    browser: Any, acme: Any, org: Any, owner: Any, author: Any, run: Run
) -> None:
    draft = make_policy(owner, rego_text=TELLS, scope="org")
    differs = {**said(draft, "deny", SECRET), "would_be": "deny", "would_reasons": [SECRET]}
    seen = decide(run, shadows=[differs])
    path = f"/policies/{public_id('pol', draft.policy_id)}/backtest/"
    blind = as_member(acme, author)

    assert "Run backtest" not in blind.get(path).content.decode()
    refused = blind.post(path, {"days": "2"})
    assert refused.status_code == 403 and "data.read" in refused.content.decode()
    assert Backtest.objects.count() == 0

    sent = browser.post(path, {"days": "2"})
    assert SECRET in browser.get(sent["Location"]).content.decode()
    html = blind.get(sent["Location"]).content.decode()
    assert "1 of 1 would change" in html and "Who may read data sees why." in html
    assert SECRET not in html

    page = f"/policies/decisions/{public_id('dec', seen.id)}/"
    assert SECRET in browser.get(page).content.decode()
    html = blind.get(page).content.decode()
    assert "What drafts would have changed" in html and SECRET not in html
