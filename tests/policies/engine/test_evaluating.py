"""What one policy and several say about a call, by whichever engine."""

from __future__ import annotations

import pytest

from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.samples import INVOKE, TOOL
from apps.policies.engine.types import Obligations, Rate
from tests.policies.engine.rego import ALLOW, DENY, text

APPROVE = 'package mandate\n\nallow := true\n\nrequire_approval contains "ask"\n'
BROKEN = "package mandate\n\nallow := true\n\nallow := false\n"
MASKED = """package mandate

allow := true

obligations := {
    "mask": ["input.a", "output.b"],
    "cap_cost_micros": 5,
    "limit_rate": {"requests": 9, "seconds": 60},
}
"""
STRICTER = """package mandate

allow := true

obligations := {
    "mask": {"input.a", "input.c"},
    "cap_cost_micros": 7,
    "limit_rate": [{"requests": 3, "seconds": 60}, {"requests": 1, "seconds": 1}],
}
"""


@pytest.mark.parametrize(
    ("texts", "result", "reasons"),
    [
        ([ALLOW], "allow", ()),
        ([ALLOW, DENY], "deny", ("no",)),
        ([ALLOW, APPROVE], "require_approval", ("ask",)),
        ([APPROVE, DENY], "deny", ("no",)),
        ([ALLOW, BROKEN], "unavailable", ("The policy “p1” could not be evaluated.",)),
        ([APPROVE, BROKEN], "unavailable", ("The policy “p1” could not be evaluated.",)),
        ([BROKEN, DENY], "deny", ("no",)),
        (
            ["package mandate\n\nallow := false\n", APPROVE],
            "deny",
            ("The policy “p0” doesn't allow this.",),
        ),
    ],
)
def test_several_texts_share_the_package_and_the_gravest_answer_holds(
    asked: RegoEngine, texts: list[str], result: str, reasons: tuple[str, ...]
) -> None:
    verdict = asked.evaluate([text(t, f"p{i}") for i, t in enumerate(texts)], INVOKE)
    assert (verdict.result, verdict.reasons) == (result, reasons)
    assert [opinion.text.rego for opinion in verdict.opinions] == texts
    assert verdict.micros > 0


def test_obligations_are_the_strictest_of_all(asked: RegoEngine) -> None:
    verdict = asked.evaluate([text(MASKED), text(STRICTER), text(ALLOW)], INVOKE)
    assert verdict.obligations == Obligations(
        mask=("input.a", "input.c", "output.b"),
        cap_cost_micros=5,
        rates=(Rate(1, 1), Rate(3, 60)),
    )


def test_of_a_call_that_is_not_let_through_only_hiding_is_left(asked: RegoEngine) -> None:
    verdict = asked.evaluate([text(MASKED), text(STRICTER), text(DENY)], INVOKE)
    assert verdict.obligations == Obligations(mask=("input.a", "input.c", "output.b"))
    assert verdict.opinions[0].obligations.mask == ("input.a", "output.b")
    broken = asked.evaluate([text(MASKED), text("package other\n\nallow := true\n")], INVOKE)
    assert (broken.result, broken.obligations) == (
        "unavailable",
        Obligations(mask=("input", "input.a", "output.b")),
    )


def test_nothing_is_left_of_one_evaluation_in_the_next(asked: RegoEngine) -> None:
    rules = "default allow := false\n\nallow if input.resource.annotations.read_only\n"
    reads = text(f"package mandate\n\n{rules}")
    results = [asked.evaluate([reads], call).result for call in (INVOKE, TOOL, {}, INVOKE)]
    assert results == ["allow", "deny", "deny", "allow"]


@pytest.mark.parametrize(
    ("rule", "flaw"),
    [
        ("allow if input.nothing", "`allow` has no value for this call."),
        ('allow := "yes"', "`allow` must be true or false."),
        ("allow := null", "`allow` must not be null."),
        ("allow := true\n\ndeny := true", "`deny` must be a set of reasons"),
        ("allow := true\n\ndeny contains 7", "`deny` must be a set of reasons"),
        ("allow := true\n\ndeny[x] := true if some x in [1]", "`deny` must be a set of reasons"),
        ('allow := true\n\nrequire_approval contains ""', "`require_approval` must be a set"),
        ('allow := true\n\nobligations := "mask"', "`obligations` must be an object"),
        ('allow := true\n\nobligations := {"log": true}', "`obligations` must be an object"),
        ('allow := true\n\nobligations := {"mask": "a"}', "`mask` must be a list of paths"),
        ('allow := true\n\nobligations := {"mask": ["a.b"]}', "`mask` must be a list of paths"),
        ('allow := true\n\nobligations := {"cap_cost_micros": -1}', "`cap_cost_micros` must be"),
        ('allow := true\n\nobligations := {"cap_cost_micros": 1.5}', "`cap_cost_micros` must be"),
        ('allow := true\n\nobligations := {"cap_cost_micros": true}', "`cap_cost_micros` must be"),
        ('allow := true\n\nobligations := {"limit_rate": {"requests": 0, "seconds": 1}}', "`limit"),
        ('allow := true\n\nobligations := {"limit_rate": 5}', "`limit_rate` must be"),
        ('allow := true\n\ndeny contains "a\\u0000"', "Its answer can't be kept"),
        ("allow := 1 / input.context.depth > 0", "Line 3,"),
        ("allow := true\n\nallow := false", "Line 5,"),
        ("allow := nothing(1)", "Line 3,"),
        ("allow {", "Line 3,"),
    ],
)
def test_whatever_isnt_the_expected_document_is_unavailable(
    asked: RegoEngine, rule: str, flaw: str
) -> None:
    verdict = asked.evaluate([text(f"package mandate\n\n{rule}\n")], INVOKE)
    assert verdict.result == "unavailable"
    is_at = flaw.startswith("Line")  # each engine has its own words for what is at the line
    assert verdict.opinions[0].flaw.startswith(flaw.partition(",")[0] if is_at else flaw)
    assert verdict.obligations == Obligations(mask=("input",))


def test_a_text_of_another_package_has_no_say(asked: RegoEngine) -> None:
    verdict = asked.evaluate([text("package other\n\nallow := true\n")], INVOKE)
    assert verdict.result == "unavailable"


def test_a_call_that_cannot_be_written_down_is_unavailable(asked: RegoEngine) -> None:
    for call in ({"x": float("nan")}, {"x": object()}):
        verdict = asked.evaluate([text(ALLOW)], call)
        assert (verdict.result, verdict.opinions[0].flaw) == (
            "unavailable",
            "The call can't be written as JSON.",
        )


def test_an_answer_without_end_is_unavailable(asked: RegoEngine) -> None:
    rule = 'deny contains sprintf("%d", [i]) if some i in numbers.range(1, 20000)'
    verdict = asked.evaluate([text(f"package mandate\n\nallow := true\n\n{rule}\n")], {})
    assert verdict.result == "unavailable"
    assert len(verdict.reasons) == 1
