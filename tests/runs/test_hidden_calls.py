"""What is hidden of calls that are refused, and of what a run does outside."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from apps.agents.runtimes.base import Annotations, Effect, WorkFailed
from apps.approvals.models import Approval
from apps.policies.models import Decision, DecisionInput
from apps.runs.errors import RunDenied
from apps.runs.models import Run, Step
from apps.runs.services.invoke import work_one
from apps.runs.services.sealing import erase_sealed
from apps.trust.models import SealedSecret
from tests.runs.factories import capability, make_agent
from tests.runs.governing import approve, ask, in_force, state
from tests.runs.test_obligations import CARD, MASK, NUMBER, kept

pytestmark = pytest.mark.usefixtures("org", "scripts")

MASK_CALLS = """obligations := {"mask": ["input.number", "output.receipt"]} if {
  input.action.name == "tool.call"
}
"""
TELLING = 'deny contains sprintf("No to %s.", [input.context.input.card.number]) if true\n'


def charging(**more: Any) -> Any:
    """A script that charges a card at a host, and says all that it knows afterwards."""
    effect = Effect("charge", Annotations(), "bank.example")

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        said = ctx.call_tool(
            name=f"charge {NUMBER}",
            input={"number": NUMBER},
            call=lambda key: {"receipt": "R-1", "of": NUMBER},
            effect=effect,
            **more,
        )
        ctx.log("info", f"Charged {NUMBER}")
        return {"told": said["of"], "kept": said["receipt"]}

    return script


def refused(who: Any, agent: str = "desk") -> str:
    with pytest.raises(RunDenied) as error:
        ask(who, agent, input=CARD)
    assert NUMBER not in str(error.value.detail)
    return str(error.value.extra["reason"])


@pytest.mark.parametrize("rules", ['deny contains "No." if true\n', TELLING])
def test_what_is_masked_is_masked_where_the_call_is_refused(asker: Any, rules: str) -> None:
    make_agent("desk")
    in_force(MASK)
    in_force(rules, name="Refuses")

    assert refused(asker) == "policy"
    run = Run.objects.get()
    assert run.input == {"card": {"number": "[masked]"}, "text": "Charge [masked]"}
    assert (run.is_sealed, run.title, NUMBER in kept()) == (False, "Charge [masked]", False)


def test_a_tool_that_is_not_for_the_caller_hides_what_is_masked_too(asker: Any) -> None:
    make_agent("desk", tools=[capability("desk", auth="agent")])
    in_force(MASK)
    assert refused(asker) == "auth_agent"
    assert (Run.objects.get().decision_id, NUMBER in kept()) == (None, False)


def test_where_a_policy_could_not_say_what_to_hide_the_whole_input_is_hidden(asker: Any) -> None:
    make_agent("desk")
    in_force("allow := false\n")  # it has two values, so none
    assert refused(asker) == "policy_unavailable"
    run = Run.objects.get()
    assert run.input == {"card": "[masked]", "text": "[masked]"}
    assert (run.title, NUMBER in kept()) == ("desk", False)


def test_without_a_mask_a_refused_call_is_on_record_as_it_was(asker: Any) -> None:
    make_agent("desk")
    in_force('deny contains "No." if true\n')
    assert refused(asker) == "policy"
    assert Run.objects.get().input == CARD


def test_what_a_run_hides_is_hidden_in_the_decisions_on_its_calls(scripts: Any, asker: Any) -> None:
    scripts["desk"] = charging()
    make_agent("desk")
    in_force(MASK)
    assert ask(asker, "desk", input=CARD).run.status == "succeeded"
    document = DecisionInput.objects.get(decision__action="tool.call").document
    assert document["context"]["input"] == {"number": "[masked]"}
    assert NUMBER not in kept()


def test_a_mask_for_a_call_hides_it_everywhere_and_from_then_on(
    scripts: Any, asker: Any, boss: Any
) -> None:
    scripts["desk"] = charging()
    make_agent("desk")
    in_force(MASK_CALLS + 'require_approval contains "Ask." if input.action.name == "tool.call"\n')
    run = ask(asker, "desk", input={}).run
    asked = Approval.objects.get()
    assert asked.payload["input"] == {"number": "[masked]"} and asked.payload["hidden"]
    approve(boss, run)
    assert work_one(at=timezone.now())

    done = Run.objects.get()
    assert (done.status, done.output) == ("succeeded", {"told": "[masked]", "kept": "[masked]"})
    step = Step.objects.get(status="succeeded")
    assert (step.name, step.input) == ("charge [masked]", {"number": "[masked]"})
    assert step.output == {"receipt": "[masked]", "of": "[masked]"}
    assert NUMBER not in kept() and "R-1" not in kept()
    assert Approval.objects.get().status == "consumed"


def test_a_call_that_is_done_again_from_the_record_hides_what_it_hid(
    scripts: Any, asker: Any, boss: Any
) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.call_tool(
            name="charge",
            input={"number": NUMBER},
            call=lambda key: {"receipt": "R-1000"},
            effect=Effect("charge", Annotations(), "bank.example"),
        )
        ctx.call_tool(
            name="send",
            input={"said": f"Charged {NUMBER}: R-1000"},
            call=lambda key: {},
            effect=Effect("send", Annotations(), "mail.example"),
        )
        return {"told": NUMBER}

    scripts["desk"] = script
    make_agent("desk")
    in_force(MASK_CALLS + 'require_approval contains "Ask." if input.resource.tool == "send"\n')
    run = ask(asker, "desk", input={}).run
    assert Approval.objects.get().payload["input"] == {"said": "Charged [masked]: [masked]"}
    approve(boss, run)
    assert work_one(at=timezone.now())
    assert (state(run), Run.objects.get().output) == (("succeeded", ""), {"told": "[masked]"})
    assert NUMBER not in kept() and "R-1000" not in kept()


def test_a_call_that_policies_could_not_be_asked_about_hides_nothing_of_its_run(
    scripts: Any, asker: Any
) -> None:
    said = {"n": 7, "text": "hello"}

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        effect = Effect("send", Annotations(), "mail.example")
        with pytest.raises(WorkFailed):
            ctx.call_tool(name="POST", input=said, call=lambda key: {}, effect=effect)
        return said

    scripts["desk"] = script
    make_agent("desk")
    in_force('allow := false if input.action.name == "tool.call"\n')
    assert ask(asker, "desk", input={}).run.output == said
    assert Step.objects.get().input == {"n": "[masked]", "text": "[masked]"}


@pytest.mark.parametrize("hides", [True, False])
def test_the_log_tells_a_fault_without_its_words_where_something_is_hidden(
    scripts: Any, asker: Any, hides: bool
) -> None:
    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        raise ValueError(f"no card {NUMBER}")

    scripts["desk"] = script
    make_agent("desk")
    in_force(MASK if hides else "")
    with capture_logs() as lines:
        run = ask(asker, "desk", input=CARD).run
    (line,) = [line for line in lines if line["event"] == "run.runtime_failed"]
    assert (NUMBER in str(line), run.status) == (not hides, "failed")
    if hides:
        assert line["fault"] == "ValueError" and "test_hidden_calls" in line["frames"][-1]


def test_the_reasons_of_an_approval_tell_nothing_that_is_hidden(
    scripts: Any, asker: Any, boss: Any
) -> None:
    scripts["desk"] = lambda invocation, ctx: {}
    make_agent("desk")
    in_force(MASK + TELLING.replace("deny", "require_approval"))
    run = ask(asker, "desk", input=CARD).run
    asked = Approval.objects.get()
    assert asked.reasons == ["No to [masked]."]
    assert NUMBER not in str([asked.payload, asked.evidence]) and NUMBER not in kept()
    assert Decision.objects.get().reasons == ["No to [masked]."]
    approve(boss, run)
    assert work_one(at=timezone.now()) and state(run) == ("succeeded", "")


def test_calls_whose_answers_are_hidden_are_made_once_however_often_people_are_asked(
    scripts: Any, asker: Any, boss: Any
) -> None:
    made: list[str] = []

    def script(invocation: Any, ctx: Any) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for place in ("one", "two"):
            answer = ctx.call_tool(
                name=place,
                input={"number": NUMBER},
                call=lambda key, place=place: made.append(place) or {"receipt": f"R {place}"},
                effect=Effect(place, Annotations(), f"{place}.example"),
            )
            said |= {place: answer["receipt"] == f"R {place}"}
        return said

    scripts["desk"] = script
    make_agent("desk")
    in_force(MASK_CALLS + 'require_approval contains "Ask." if input.action.name == "tool.call"\n')
    run = ask(asker, "desk", input={}).run
    for _ in range(2):
        approve(boss, run)
        assert work_one(at=timezone.now())
    assert (state(run), made) == (("succeeded", ""), ["one", "two"])
    assert Run.objects.get().output == {"one": True, "two": True}
    assert NUMBER not in kept() and "R one" not in kept()
    sealed = SealedSecret.objects.filter(ref__startswith="step-outputs/")
    assert sealed.count() == 2
    erase_sealed(timezone.now())
    assert (sealed.count(), Step.objects.filter(is_sealed=True).count()) == (0, 0)
