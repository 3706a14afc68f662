"""What a mask hides of a run: at its paths, and wherever the same values turn up."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from apps.agents.runtimes.base import WorkFailed
from apps.policies.engine.types import Obligations
from apps.runs.masking import NOTHING_HIDDEN, Mask
from apps.runs.services.duties import FREE, Duties

CARD: dict[str, Any] = {"card": {"number": "4111 1111", "cvc": "123"}, "text": "Pay 4111 1111 now"}
PATHS = ("input.card.number", "input.card.cvc", "output.ssn")


def test_values_at_the_paths_stand_nowhere() -> None:
    mask = Mask.of(PATHS, CARD)
    assert mask.input(CARD) == {
        "card": {"number": "[masked]", "cvc": "[masked]"},
        "text": "Pay [masked] now",
    }
    assert mask.output({"ssn": "078", "told": ["4111 1111", "123", "x123"]}) == {
        "ssn": "[masked]",
        "told": ["[masked]", "[masked]", "x123"],
    }
    assert mask.text("It was 4111 1111, and 123 of it.") == "It was [masked], and 123 of it."
    assert CARD["card"]["number"] == "4111 1111"


def test_lists_numbers_and_names_are_gone_through() -> None:
    given = {"people": [{"age": 41}, {"age": 17.5}, {"age": True}, {"age": ""}]}
    mask = Mask.of(["input.people.age"], given)
    assert mask.input(given) == {"people": [{"age": "[masked]"}] * 4}
    assert mask.scrub({"n": 41, "m": 41.0, "f": 17.5, "t": True}) == {
        "n": "[masked]",
        "m": "[masked]",
        "f": "[masked]",
        "t": True,
    }
    assert mask.scrub([41.5, "41", None]) == [41.5, "41", None]
    by_one = Mask.of(["input.n"], {"n": 12345.0})
    assert by_one.output({"n": 12345, "said": "12345 or 12345.0"}) == {
        "n": "[masked]",
        "said": "[masked] or [masked]",
    }
    both = Mask.of(["input.n", "input.m"], {"n": 1, "m": 1.0})
    assert both.scrub([1, 1.0, True, "1"]) == ["[masked]", "[masked]", True, "1"]
    whole = Mask.of(["input"], {"code": "swordfish"})
    assert whole.scrub({"swordfish": "the swordfish is told"}) == {
        "[masked]": "the [masked] is told"
    }


def test_what_an_output_has_at_a_path_stands_nowhere_else_in_it() -> None:
    mask = Mask.of(PATHS, {})
    given = {"ssn": "078-05-1120", "told": "It is 078-05-1120.", "names": ["078-05-1120"]}
    assert mask.output(given) == {
        "ssn": "[masked]",
        "told": "It is [masked].",
        "names": ["[masked]"],
    }


@pytest.mark.parametrize("ascii", [True, False])
def test_a_value_is_found_within_json_too(ascii: bool) -> None:
    secret = 'Ödön said "yes"\nand left'
    mask = Mask.of(["input.note"], {"note": secret})
    assert mask.text(json.dumps({"log": secret}, ensure_ascii=ascii)) == '{"log": "[masked]"}'


def test_without_paths_nothing_is_touched() -> None:
    assert not NOTHING_HIDDEN and NOTHING_HIDDEN.input(CARD) is CARD
    assert Duties.of(Obligations(), NOTHING_HIDDEN, above=FREE) is FREE


def test_what_is_hidden_above_is_hidden_below() -> None:
    below = Mask.of((), {"said": "4111 1111"}, above=Mask.of(PATHS, CARD))
    assert below.input({"said": "4111 1111"}) == {"said": "[masked]"}


def test_a_cap_counts_what_is_spent_below_and_before() -> None:
    above = Duties.of(Obligations(cap_cost_micros=100), NOTHING_HIDDEN, above=FREE, spent_micros=40)
    below = Duties.of(Obligations(cap_cost_micros=500), NOTHING_HIDDEN, above=above)
    below.pay(Decimal("60"))
    with pytest.raises(WorkFailed) as over:
        below.pay(Decimal("0.5"))
    assert over.value.code == "policy_cost"
    with pytest.raises(WorkFailed):
        above.check_purse()
    FREE.pay(Decimal(10**9))
