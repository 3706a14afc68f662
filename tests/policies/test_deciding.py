"""What counts for a call, what is said of it, and what is kept of that. No database."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID, uuid4

import pytest

from apps.policies.bundles import Where, obligations_as_json, obligations_of_json
from apps.policies.engine.types import Obligations, Rate
from apps.policies.masking import mask
from apps.policies.services.deciding import NOTHING_ATTACHED, answer
from apps.trust.canonical import dumps
from tests.policies.asking import (
    AGENT,
    HOME,
    ORG,
    PROJECT,
    Told,
    bundle,
    entry,
    opinion,
    question,
    text,
)

COVERING: list[Where] = [
    ORG,
    ("project", PROJECT, ""),
    ("project", HOME, ""),
    ("agent", AGENT, ""),
    ("tool", AGENT, "echo"),
]
ELSEWHERE: list[Where] = [
    ("project", uuid4(), ""),
    ("agent", uuid4(), ""),
    ("tool", AGENT, "other"),
    ("tool", uuid4(), "echo"),
]


@pytest.mark.parametrize("where", COVERING)
def test_what_is_attached_to_the_call_is_asked(where: Where) -> None:
    engine = Told()
    answer(question(), bundle(entry("one", where), entry("two")), engine)
    assert engine.asked == [["one", "two"]]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_what_is_attached_elsewhere_is_not(where: Where) -> None:
    engine = Told(one1=opinion(text("one"), "deny", "never"))
    given = answer(question(), bundle(entry("one", where), entry("two")), engine)
    assert engine.asked == [["two"]] and given.verdict.result == "allow"


def test_a_policy_attached_twice_is_asked_once() -> None:
    engine = Told()
    answer(question(), bundle(entry("one", ORG, ("agent", AGENT, ""))), engine)
    assert engine.asked == [["one"]]


def test_where_nothing_is_attached_the_orgs_answer_stands_and_only_a_refusal_is_recorded() -> None:
    engine = Told()
    allowed = answer(question(), bundle(), engine)
    assert (allowed.verdict.result, allowed.is_recorded, allowed.as_record()) == (
        *("allow", False),
        None,
    )
    denied = answer(question(), bundle(answer="deny"), engine)
    record = denied.as_record()
    assert denied.is_recorded and record is not None and engine.asked == []
    assert (record["result"], record["reasons"], record["policies"]) == (
        *("deny", [NOTHING_ATTACHED]),
        [],
    )


def test_a_record_holds_who_said_what_and_the_digest_of_the_kept_document() -> None:
    engine = Told(
        one1=opinion(text("one"), "allow", mask=("input.card.number",)),
        two1=opinion(text("two"), "require_approval", "costly"),
    )
    one, two = entry("one"), entry("two")
    given = answer(question(), bundle(one, two), engine)
    record = given.as_record()
    assert record is not None and UUID(record["id"]) == given.id
    assert (record["action"], record["result"], record["reasons"], record["bundle"]) == (
        *("agent.invoke", "require_approval", ["costly"]),
        3,
    )
    assert record["obligations"] == {"mask": ["input.card.number"]}
    assert record["policies"][0]["obligations"] == {"mask": ["input.card.number"]}
    assert record["policies"][1] == {
        "id": "plv_two_1",
        "policy": f"pol_{two.policy_id.hex}",
        "name": "two",
        "version": 1,
        "result": "require_approval",
        "reasons": ["costly"],
    }
    assert record["input_digest"] == hashlib.sha256(dumps(record["document"])).hexdigest()
    assert json.loads(json.dumps(record)) == record and record["shadows"] is None


def test_the_input_of_who_begins_is_kept_by_reference_and_of_calls_masked() -> None:
    masks = {"mask": ("input.card.number", "output.text")}
    engine = Told(one1=opinion(text("one"), "allow", **masks))
    invoked = answer(question(), bundle(entry("one")), engine).as_record()
    called = answer(
        question("tool.call", host="a.example", host_is_new=True), bundle(entry("one")), engine
    ).as_record()
    between = answer(question("agent.call"), bundle(entry("one")), engine).as_record()
    assert invoked is not None and called is not None and between is not None
    where = invoked["document"]["resource"]
    assert where["project"] == {"slug": "support", "tags": ["eu"]}
    assert where["agent_project"] == {"slug": "default", "tags": []}
    context = invoked["document"]["context"]
    assert context["input_run"] == f"run_{UUID(int=7).hex}" and "input" not in context
    assert context["time"] == "2026-11-26T01:02:03.456Z"
    context = called["document"]["context"]
    assert context["input"] == {"text": "hi", "card": {"number": "[masked]"}}
    assert between["document"]["context"]["input"] == context["input"]
    assert (context["host"], context["host_is_new"]) == ("a.example", True)


def test_a_shadow_is_asked_apart_and_recorded_only_where_it_differs() -> None:
    draft = text("one", 2)
    engine = Told(one2=opinion(draft, "deny", "no longer"))
    entries = bundle(entry("one", shadow=draft), entry("two", shadow=text("two", 2)))
    given = answer(question(), entries, engine)
    record = given.as_record()
    assert engine.asked == [["one", "two"], ["one"], ["two"]] and record is not None
    assert record["result"] == "allow" and len(record["policies"]) == 2
    (found,) = record["shadows"]
    assert (found["name"], found["version"], found["would_be"], found["reasons"]) == (
        *("one", 2, "deny"),
        ["no longer"],
    )


def test_a_shadow_takes_its_own_policys_place_and_no_other() -> None:
    draft = text("one", 2)
    engine = Told(
        one1=opinion(text("one"), "deny", "old"),
        two1=opinion(text("two"), "require_approval", "ask"),
    )
    given = answer(question(), bundle(entry("one", shadow=draft), entry("two")), engine)
    assert given.verdict.result == "deny"
    assert [found.would_be.result for found in given.shadows] == ["require_approval"]


def test_a_shadow_alone_decides_nothing_and_puts_the_call_on_record() -> None:
    draft = text("one", 2)
    engine = Told(one2=opinion(draft, "deny", "no"))
    given = answer(question(), bundle(entry("one", shadow=draft, active=False)), engine)
    assert given.verdict.result == "allow" and given.is_recorded
    assert [found.would_be.result for found in given.shadows] == ["deny"]


@pytest.mark.parametrize(
    "kept",
    [Obligations(), Obligations(("input.a",), 0, (Rate(1, 60),)), Obligations(cap_cost_micros=7)],
)
def test_obligations_are_read_back_as_they_were_written(kept: Obligations) -> None:
    assert obligations_of_json(json.loads(json.dumps(obligations_as_json(kept)))) == kept


CARDS = {"cards": [{"number": "1", "name": "a"}, {"number": "2"}], "note": "n"}


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("input.note", {**CARDS, "note": "[masked]"}),
        (
            "input.cards.number",
            {"cards": [{"number": "[masked]", "name": "a"}, {"number": "[masked]"}], "note": "n"},
        ),
        ("input.cards", {"cards": "[masked]", "note": "n"}),
        ("input", {"cards": "[masked]", "note": "[masked]"}),
        ("input.note.deeper", CARDS),
        ("input.none", CARDS),
        ("output.note", CARDS),
    ],
)
def test_masking_hides_what_stands_at_the_path_and_nothing_else(path: str, seen: object) -> None:
    before = json.dumps(CARDS)
    assert mask(CARDS, [path], root="input") == seen
    assert json.dumps(CARDS) == before
