"""The pages of approvals: what they show to whom, and what their forms do."""

from typing import Any

import pytest
from django.utils import timezone

from apps.approvals.models import Approval, ApprovalRule, Vote
from apps.approvals.services import rules
from apps.common.ids import public_id
from apps.trust.canonical import digest
from tests.approvals.factories import PAYLOAD, approved, ask, ask_too_late
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import as_member


def path_of(approval: Any, act: str = "") -> str:
    return f"/approvals/{public_id('apr', approval.id)}/{act}"


def html_of(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_inbox_has_what_waits_for_whoever_looks(org, owner, admin):
    admit(make_agent("echo"))  # before anything ran, the overview shows how to begin
    mine, theirs = ask(by=owner, title="Mine"), ask(title="Theirs")
    ask_too_late(title="Too late")
    browser = as_member(org, owner)

    waiting = html_of(browser.get("/approvals/"))
    assert path_of(theirs) in waiting
    assert path_of(mine) not in waiting
    assert "Too late" not in waiting
    assert 'id="count-approvals" class="count hot">1<' in waiting
    asked = html_of(browser.get("/approvals/?tab=mine"))
    assert (path_of(mine) in asked, path_of(theirs) in asked) == (True, False)
    assert "Nothing was decided yet" in html_of(browser.get("/approvals/?tab=decided"))
    assert "2 requests wait for your approval" in html_of(as_member(org, admin).get("/"))


def test_nobody_counts_beyond_nine(org, owner):
    for _ in range(12):
        ask()
    assert 'class="count hot">9+<' in html_of(as_member(org, owner).get("/projects/"))


def test_a_role_that_decides_nothing_has_an_empty_inbox_that_says_so(org, somebody):
    ask()
    said = html_of(as_member(org, somebody("viewer")).get("/approvals/"))
    assert "Your role decides no approvals" in said
    assert 'id="count-approvals" class="count hot" hidden' in said


def test_a_request_shows_exactly_what_would_happen(org, owner):
    approval = ask()
    said = html_of(as_member(org, owner).get(path_of(approval)))
    assert digest(PAYLOAD).hex() in said
    for text in ("ada@acme.example", "new address", "concierge", "Approve", "Reject"):
        assert text in said


def test_what_would_happen_is_for_who_decides_asked_or_reads_data(org, owner, somebody):
    asker = somebody("viewer")
    approval = ask(by=asker)
    assert "ada@acme.example" in html_of(as_member(org, asker).get(path_of(approval)))


@pytest.mark.parametrize(("act", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_a_vote_without_scripts_leads_back_to_the_request(org, owner, act, status):
    approval = ask()
    browser = as_member(org, owner)

    answer = browser.post(path_of(approval, f"{act}/"), {"comment": "So be it."})

    assert (answer.status_code, answer["Location"]) == (303, path_of(approval))
    assert Approval.objects.get(id=approval.id).status == status
    assert "So be it." in html_of(browser.get(path_of(approval)))


def test_a_vote_by_htmx_changes_the_part_the_count_and_tells_the_page(org, owner):
    approval = ask()
    ask()

    answer = as_member(org, owner).post(
        path_of(approval, "approve/"), {"comment": ""}, HX_Request="true"
    )

    said = html_of(answer)
    assert answer.status_code == 200
    assert "<html" not in said
    assert "approval:decided" in answer["HX-Trigger"]
    assert 'id="approval-status" hx-swap-oob="true"' in said
    assert 'hx-swap-oob="true">1<' in said.replace("\n", "")
    assert "Approved" in said


def test_a_comment_that_is_too_long_is_said_at_its_field(org, owner):
    approval = ask()
    answer = as_member(org, owner).post(path_of(approval, "approve/"), {"comment": "x" * 501})
    assert answer.status_code == 422
    assert "at most 500 characters" in html_of(answer)
    assert not Vote.objects.exists()


def test_who_is_behind_a_request_is_told_why_they_cannot_decide(org, owner):
    approval = ask(by=owner)
    browser = as_member(org, owner)

    said = html_of(browser.get(path_of(approval)))
    assert "somebody else has to decide it" in said
    assert "Break glass" not in said
    assert browser.post(path_of(approval, "approve/"), {}).status_code == 409
    assert Approval.objects.get(id=approval.id).status == "pending"
    assert browser.post(path_of(approval, "cancel/"), {}).status_code == 303
    assert Approval.objects.get(id=approval.id).status == "cancelled"


def test_who_has_voted_waits_for_the_others(org, owner, admin):
    rules.create_rule(quorum=2, timeout_minutes=60, by=owner, at=timezone.now())
    approval = ask()
    browser = as_member(org, admin)
    browser.post(path_of(approval, "approve/"), {})

    said = html_of(browser.get(path_of(approval)))
    assert "You have voted" in said
    assert "1 of 2" in said


def test_more_votes_than_voters_is_said_before_all_else(org, owner):
    rules.create_rule(quorum=5, timeout_minutes=60, by=owner, at=timezone.now())
    said = html_of(as_member(org, owner).get(path_of(ask())))
    assert "It can't be approved as it stands." in said.replace("&#x27;", "'")


def test_glass_is_broken_with_a_reason_that_the_page_then_shows(org, owner):
    approval = ask()
    browser = as_member(org, owner)
    assert "Everybody who decides approvals is alerted" in html_of(browser.get(path_of(approval)))

    refused = browser.post(path_of(approval, "break-glass/"), {"reason": ""})
    assert refused.status_code == 422
    assert Approval.objects.get(id=approval.id).status == "pending"
    done = browser.post(path_of(approval, "break-glass/"), {"reason": "Nobody can pay"})

    assert done.status_code == 303
    said = html_of(browser.get(path_of(approval)))
    assert "broke the glass" in said
    assert "Nobody can pay" in said


def test_the_list_of_the_decided_has_pages(org, owner):
    for _ in range(51):
        approved(by=owner)
    browser = as_member(org, owner)

    first = html_of(browser.get("/approvals/?tab=decided"))
    assert first.count("<tr>") == 51  # with the head
    older = next(part for part in first.split('"') if part.startswith("?") and "after" in part)
    assert html_of(browser.get(f"/approvals/{older.replace('&amp;', '&')}")).count("<tr>") == 2


def test_a_rule_is_made_changed_and_removed(org, owner):
    browser = as_member(org, owner)
    terms = {"quorum": "2", "role": "admin", "timeout_minutes": "60"}

    assert browser.post("/approvals/rules/", terms).status_code == 303
    assert browser.post("/approvals/rules/", terms).status_code == 422  # there is one
    rule = ApprovalRule.objects.get()
    ref = public_id("apl", rule.id)
    said = html_of(browser.get("/approvals/rules/"))
    assert ("Anything" in said, "1 hour" in said) == (True, True)
    changed = browser.post(f"/approvals/rules/{ref}/", {**terms, "quorum": "3"})
    assert changed.status_code == 303
    assert ApprovalRule.objects.get().quorum == 3
    assert browser.post(f"/approvals/rules/{ref}/", {**terms, "quorum": "0"}).status_code == 422
    assert browser.post(f"/approvals/rules/{ref}/remove/", {}).status_code == 303
    assert "No rule yet" in html_of(browser.get("/approvals/rules/"))
