"""What orgs begin with, what is asked about calls that are over, and what is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.common.errors import Invalid
from apps.common.ids import public_id
from apps.orgs.services.projects import create_project
from apps.policies import selectors
from apps.policies.decisions import find_document
from apps.policies.engine import door, get_engine
from apps.policies.engine.samples import INVOKE, TOOL
from apps.policies.models import Backtest, Decision, DecisionInput, Policy, PolicyHead
from apps.policies.services import backtesting, library, retention, seeding
from apps.policies.services.backtesting import go_on, start_backtest
from apps.runs.models import Run
from apps.tenants.models import OrgActivity
from tests.orgs.conftest import AT
from tests.policies.factories import ALLOW, DENY, decide, make_policy, said
from tests.runs.factories import admit, make_agent


@pytest.fixture
def run(org: Any) -> Run:
    return Run.objects.get(id=admit(make_agent("one")).run_id)


def test_an_org_begins_with_the_starter_policy_and_keeps_what_it_makes_of_it(org: Any) -> None:
    (starter,) = Policy.objects.all()
    now = selectors.get_policy(public_id("pol", starter.id))
    assert now.active is not None and now.active.created_by is None
    assert now.active.rego_text == library.get_template("starter").rego_text
    before = (PolicyHead.objects.get().bundle, Policy.objects.count())
    seeding.seed_policies(org, AT)
    assert (PolicyHead.objects.get().bundle, Policy.objects.count()) == before


def test_every_template_can_be_taken_and_passes_its_tests(org: Any) -> None:
    engine = get_engine()
    found = library.list_templates()
    assert found[0].slug == "starter" and len(found) >= 6
    for template in found:
        assert template.title and template.purpose and len(template.title) <= 80
        assert list(engine.find_flaws(template.rego_text)) == []
        outcomes = engine.run_tests(template.rego_text, template.tests)
        assert outcomes and all(outcome.passed for outcome in outcomes), template.slug


def test_a_backtest_lists_what_would_be_decided_otherwise(org: Any, owner: Any, run: Run) -> None:
    allowed, denied = decide(run), decide(run, result="deny", reasons=["no"])
    decide(run, document=None)
    decide(run, at=AT - timedelta(days=3))
    done = start_backtest(rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now())
    assert (done.status, done.evaluated, done.without_input) == ("done", 2, 1)
    assert done.changed_count == 1 and not done.is_cut
    (change,) = done.changed
    assert (change["decision"], change["was"], change["would_be"], change["reasons"]) == (
        *(public_id("dec", allowed.id), "allow", "deny"),
        ["never"],
    )
    assert Decision.objects.get(id=denied.id).result == "deny"


def test_a_policys_draft_takes_its_place_among_the_opinions_then(
    org: Any, owner: Any, run: Run
) -> None:
    mine, other = make_policy(owner, rego_text=DENY), make_policy(owner, name="Other")
    no = {"result": "deny", "reasons": ["never"]}
    decide(run, policies=[said(mine, "deny", "never")], **no)
    decide(run, policies=[said(mine, "deny", "never"), said(other, "deny", "too")], **no)
    decide(run, policies=[said(other, "allow")])  # neither counted nor attached: not looked at
    done = start_backtest(
        rego_text=ALLOW,
        days=2,
        policy_id=mine.policy_id,
        by_member_id=owner.member_id,
        at=timezone.now(),
    )
    assert (done.evaluated, done.changed_count) == (2, 1)
    assert done.changed[0]["would_be"] == "allow"


def test_a_runs_input_is_read_from_the_run(org: Any, owner: Any, run: Run) -> None:
    context = {name: value for name, value in INVOKE["context"].items() if name != "input"}
    kept = {**INVOKE, "context": {**context, "input_run": public_id("run", run.id)}}
    decide(run, document=kept)
    assert run.input
    name = next(iter(run.input))
    text = f'{ALLOW}\ndeny contains "seen" if "{name}" in object.keys(input.context.input)\n'
    done = start_backtest(rego_text=text, days=2, by_member_id=owner.member_id, at=timezone.now())
    assert (done.evaluated, done.changed_count) == (1, 1)


def test_what_takes_long_goes_on_where_it_stopped(
    org: Any, owner: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtesting, "_PART", 1)
    for _ in range(3):
        decide(run)
    begun = start_backtest(
        rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now(), seconds=0
    )
    assert (begun.status, begun.evaluated, begun.finished_at) == ("running", 0, None)
    ended = go_on(backtest_id=begun.id, at=timezone.now())
    assert (ended.status, ended.evaluated, ended.changed_count) == ("done", 3, 3)
    assert len({change["decision"] for change in ended.changed}) == 3
    assert go_on(backtest_id=begun.id, at=timezone.now()).evaluated == 3
    monkeypatch.setattr(backtesting, "MOST", 2)
    cut = start_backtest(rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now())
    assert (cut.status, cut.evaluated, cut.is_cut) == ("done", 2, True)
    with pytest.raises(Invalid):
        start_backtest(rego_text=DENY, days=0, by_member_id=owner.member_id, at=timezone.now())


def test_an_engine_that_is_away_changes_nothing_and_is_asked_again(
    org: Any, owner: Any, run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        decide(run)
    woken: list[str] = []
    monkeypatch.setattr(backtesting, "enqueue", lambda _, backtest_id: woken.append(backtest_id))
    begun = start_backtest(
        rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now(), seconds=0
    )
    settings.OPA_URL = "http://127.0.0.1:1"
    with monkeypatch.context() as patch:
        patch.setattr(door, "_made", None)
        stopped = go_on(backtest_id=begun.id, at=AT)
        door._shared().pool.close()
    assert (stopped.status, stopped.evaluated, stopped.changed_count) == ("running", 0, 0)
    assert stopped.reached_id is None and woken == [str(begun.id)]
    due = OrgActivity.objects.get(org_id=org.id).next_due_at
    assert due is not None
    backtesting.sweep_backtests(due)
    assert woken == [str(begun.id)] * 2
    ended = go_on(backtest_id=begun.id, at=timezone.now())
    assert (ended.status, ended.evaluated, ended.changed_count) == ("done", 2, 2)


def test_a_decision_that_the_engine_never_answers_about_does_not_hold_up_the_others(
    org: Any, owner: Any, run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtesting, "_TRIES", 3)
    for _ in range(2):
        decide(run)
    asked = {"rego_text": DENY, "days": 2, "by_member_id": owner.member_id, "at": timezone.now()}
    begun = start_backtest(**asked, seconds=0)
    settings.OPA_URL = "http://127.0.0.1:1"
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(door, "_made", None)
        for _ in range(5):
            now = go_on(backtest_id=begun.id, at=timezone.now())
            found.append((now.status, now.evaluated, now.tries))
        door._shared().pool.close()
    running = [("running", 0, 1), ("running", 0, 2), ("running", 1, 1), ("running", 1, 2)]
    assert found == [*running, ("done", 2, 0)]
    assert {change["would_be"] for change in now.changed} == {"unavailable"}


def test_no_transaction_is_open_while_a_text_is_asked(
    org: Any, owner: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the sealer from the log of every org."""
    decide(run)
    depths: list[int] = []
    ask = backtesting._ask
    outside = len(connection.atomic_blocks)

    def looked(*args: Any) -> bool:
        depths.append(len(connection.atomic_blocks))
        return ask(*args)

    monkeypatch.setattr(backtesting, "_ask", looked)
    done = start_backtest(rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now())
    assert (done.evaluated, depths) == (1, [outside])


def test_two_who_go_on_at_once_count_each_decision_once(
    org: Any, owner: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        decide(run)
    begun = start_backtest(
        rego_text=DENY, days=2, by_member_id=owner.member_id, at=timezone.now(), seconds=0
    )
    keep, overtaken = backtesting._keep, []

    def late(backtest: Backtest, before: Any) -> bool:
        """The other one is through before this one keeps anything."""
        monkeypatch.setattr(backtesting, "_keep", keep)
        overtaken.append(go_on(backtest_id=begun.id, at=timezone.now()))
        return keep(backtest, before)

    monkeypatch.setattr(backtesting, "_keep", late)
    ended = go_on(backtest_id=begun.id, at=timezone.now())
    assert overtaken[0].status == ended.status == "done"
    assert (ended.evaluated, ended.changed_count) == (2, 2)


def test_one_that_was_left_lying_is_woken_and_one_under_way_is_not(
    org: Any, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(backtesting, "enqueue", lambda _, backtest_id: woken.append(backtest_id))
    facts = {"rego_text": ALLOW, "days": 1, "created_by_id": owner.member_id}
    old = AT - timedelta(hours=1)
    lying, _ = (
        Backtest.objects.create(**facts, created_at=old, worked_at=when) for when in (old, AT)
    )
    backtesting.sweep_backtests(AT)
    assert woken == [str(lying.id)]


MASKS = f'{ALLOW}\nobligations := {{"mask": ["input.text"]}}\n'


def test_an_obligation_that_would_go_or_come_is_a_change(org: Any, owner: Any, run: Run) -> None:
    mine, other = make_policy(owner, rego_text=MASKS), make_policy(owner, name="Other")
    masked = {"mask": ["input.text"]}
    mine_said = {**said(mine, "allow"), "obligations": masked}
    other_said = {**said(other, "allow"), "obligations": {"cap_cost_micros": 7}}
    both = {"mask": ["input.text"], "cap_cost_micros": 7}
    decide(run, policies=[mine_said, other_said], obligations=both)

    def ask(text: str) -> Backtest:
        about = {"policy_id": mine.policy_id, "by_member_id": owner.member_id}
        return start_backtest(rego_text=text, days=2, at=timezone.now(), **about)

    (change,) = ask(ALLOW).changed
    assert (change["was"], change["would_be"]) == ("allow", "allow")
    assert change["obligations_were"] == both
    assert change["obligations_would_be"] == {"cap_cost_micros": 7}
    assert (ask(MASKS).evaluated, ask(MASKS).changed_count) == (1, 0)


def test_a_rate_that_was_in_the_way_is_no_opinion_of_a_policy(
    org: Any, owner: Any, run: Run
) -> None:
    other = make_policy(owner, name="Other")
    decide(run, policies=[said(other, "allow")], result="deny", reasons=["Too often."])
    asked = {"days": 2, "by_member_id": owner.member_id, "at": timezone.now()}
    assert start_backtest(rego_text=ALLOW, **asked).changed_count == 0
    found = {text: start_backtest(rego_text=text, **asked).changed for text in (DENY, MASKS)}
    assert {
        text: [(one["was"], one["would_be"]) for one in rows] for text, rows in found.items()
    } == {
        DENY: [("allow", "deny")],
        MASKS: [("allow", "allow")],
    }


@pytest.mark.parametrize("place", [("project", "home"), ("agent", "one"), ("tool", "one/one")])
def test_a_policy_is_asked_where_it_is_attached_now_also_by_the_agents_own_project(
    org: Any, owner: Any, run: Run, place: tuple[str, str]
) -> None:
    for slug in ("home", "elsewhere"):
        create_project(name=slug, slug=slug, actor=owner.actor, at=AT)
    resource = {**INVOKE["resource"], "agent_project": {"slug": "home", "tags": []}}
    decide(run, document={**INVOKE, "resource": resource})
    decide(Run.objects.get(id=admit(make_agent("two")).run_id))
    facts = {"rego_text": DENY, "days": 2, "by_member_id": owner.member_id}
    for (scope, ref), asked in {place: 1, ("project", "elsewhere"): 0}.items():
        policy_id = make_policy(owner, scope=scope, ref=ref).policy_id
        done = start_backtest(policy_id=policy_id, at=timezone.now(), **facts)
        assert done.evaluated == asked, (scope, ref)


def test_documents_are_erased_after_the_orgs_days_and_decisions_never(org: Any, run: Run) -> None:
    old = decide(run, document=TOOL, at=AT - timedelta(days=31))
    new = decide(run, at=AT - timedelta(days=29))
    retention.sweep_inputs(AT)
    assert list(DecisionInput.objects.values_list("decision_id", flat=True)) == [new.id]
    assert Decision.objects.filter(id__in=[old.id, new.id]).count() == 2


def test_a_quiet_org_is_visited_again_until_all_that_is_old_is_erased(
    org: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for _ in range(3):
        decide(run, at=AT - timedelta(days=31))
    OrgActivity.objects.update_or_create(
        org_id=org.id, defaults={"last_write_at": AT, "next_due_at": None}
    )
    due = []
    for _ in range(2):
        retention.sweep_inputs(AT)
        due.append(OrgActivity.objects.get(org_id=org.id).next_due_at)
        OrgActivity.objects.update(next_due_at=None)
    assert due == [AT, None] and not DecisionInput.objects.exists()


def test_a_document_that_is_kept_no_longer_is_not_read_before_it_is_erased(
    org: Any, owner: Any, run: Run
) -> None:
    made = decide(run, at=AT - timedelta(days=2))
    asked = {"days": 7, "by_member_id": owner.member_id, "at": timezone.now()}
    for days, is_there in ((3, True), (2, False)):
        PolicyHead.objects.update(keep_inputs_days=days)
        done = start_backtest(rego_text=DENY, **asked)
        assert (find_document(made) is not None) is is_there
        assert (done.evaluated, done.without_input) == ((1, 0) if is_there else (0, 1))
    assert DecisionInput.objects.count() == 1


def test_a_backtest_does_not_outlive_the_documents_it_was_made_of(org: Any, owner: Any) -> None:
    PolicyHead.objects.update(keep_inputs_days=3)
    facts = {"rego_text": ALLOW, "days": 1, "status": "done", "created_by_id": owner.member_id}
    for days in (2, 4):
        when = AT - timedelta(days=days)
        Backtest.objects.create(**facts, created_at=when, worked_at=when, finished_at=when)
    backtesting.sweep_backtests(AT)
    assert [row.created_at for row in Backtest.objects.all()] == [AT - timedelta(days=2)]


def test_old_backtests_are_forgotten(org: Any, owner: Any) -> None:
    facts = {"rego_text": ALLOW, "days": 1, "status": "done", "created_by_id": owner.member_id}
    for days in (29, 31):
        when = AT - timedelta(days=days)
        Backtest.objects.create(**facts, created_at=when, worked_at=when, finished_at=when)
    backtesting.sweep_backtests(AT)
    assert Backtest.objects.count() == 1
