"""`not` denies what is said of a value, and doesn't hold where there is no value."""

from __future__ import annotations

import json
from typing import Any

import pytest
import regorus

from apps.policies.engine import negation
from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.pool import Pool
from tests.policies.engine.rego import PATIENT, engine, text


def tree(rego: str) -> Any:
    found = regorus.Engine()
    found.add_policy("p.rego", rego)
    return json.loads(found.get_ast_as_json())[0]


@pytest.mark.parametrize(
    ("rule", "rewritten"),
    [
        ('a if not f(input.x, "p")', 'a if { __1 := input.x; not f(__1, "p") }'),
        ("a if {\n    not input.x > 5\n}", "a if {\n    __1 := input.x; not __1 > 5\n}"),
        ("a if { not said != 5 }", "a if { __1 := said; not __1 != 5 }"),
        ('a if { not "ü" in input.é["x"] }', None),
        ('a if { not "ü" in input["é"] }', 'a if { __1 := input["é"]; not "ü" in __1 }'),
        (
            "a if { not input.x == lower(input.y) }",
            "a if { __1 := lower(input.y); not input.x == __1 }",
        ),
        ("a if { not said[input.x] }", "a if { __1 := input.x; not said[__1] }"),
        ("a if { not f([1, input.x]) }", "a if { __1 := [1, input.x]; not f(__1) }"),
        (
            "a if { not f(input.x) with input as {} }",
            "a if { __1 := input.x with input as {}; not f(__1) with input as {} }",
        ),
        (
            "a := [y | some y in [1]; not f(y.z)]",
            "a := [y | some y in [1]; __1 := y.z; not f(__1)]",
        ),
        (
            "a if b else := 1 if not f(input.x)",
            "a if b else := 1 if { __1 := input.x; not f(__1) }",
        ),
        ('a if not said[input.x] == "p"', 'a if { __1 := input.x; not said[__1] == "p" }'),
        ("a if not said[input.x] == `p`", "a if { __1 := input.x; not said[__1] == `p` }"),
        ('a if not f("p" in input.x, "q")', 'a if { __1 := "p" in input.x; not f(__1, "q") }'),
        (
            'a if not f(input.x) with input.y as "p"',
            'a if { __1 := input.x with input.y as "p"; not f(__1) with input.y as "p" }',
        ),
        ("a if { not input.x }", ""),
        ("a if { not input.x == 5 }", ""),
        ("a if { not said == other }", ""),
        ("a if { some x in [1]; not f(x, [2, x]) }", ""),
        ("a if { f(input.x) }", ""),
    ],
)
def test_what_is_handed_on_is_looked_at_before_the_negation(
    rule: str, rewritten: str | None
) -> None:
    rego = f"package mandate\n\nsaid := 1\n\nother := 2\n\n{rule}\n"
    if rewritten is None:
        pytest.raises(RuntimeError, tree, rego)  # no identifier: it can't be read at all
        return
    found = negation.rewrite(tree(rego))
    assert found.text.decode() == rego.replace(rule, rewritten or rule)


def test_a_negation_within_an_operand_takes_another_round() -> None:
    rego = "package mandate\n\na if { not count([1 | not f(input.x)]) > 0 }\n"
    first = negation.rewrite(tree(rego)).text.decode()
    second = negation.rewrite(tree(first)).text.decode()
    assert "{ __1 := count([1 | not f(input.x)]); not __1 > 0 }" in first
    assert "{ __1 := count([1 | ___1 := input.x; not f(___1)]); not __1 > 0 }" in second
    assert negation.rewrite(tree(second)).edits == ()


def test_places_are_those_of_the_text_as_it_was_written() -> None:
    rego = 'package mandate\n\na if { not f(input.x, "é") ; b }\n\nc if not d > input.y\n'
    found = negation.rewrite(tree(rego))
    written, text = rego.splitlines(), found.text.decode().splitlines()
    for line, word in ((1, "mandate"), (3, "a if"), (3, '"é"'), (3, "b }"), (5, "c if")):
        column = text[line - 1].index(word) + 1
        assert found.place(line, column) == (line, written[line - 1].index(word) + 1), word


@pytest.mark.parametrize(
    ("rule", "with_text", "without_text"),
    [
        ('not contains(input.text, "secret")', "allow", "deny"),
        ('not "secret" in input.text', "allow", "deny"),
        ("not input.text", "deny", "allow"),
        ('not input.text == "secret"', "allow", "allow"),
    ],
)
def test_nobody_gets_past_by_leaving_a_field_out(
    asked: RegoEngine, rule: str, with_text: str, without_text: str
) -> None:
    policy = [text(f"package mandate\n\ndefault allow := false\n\nallow if {rule}\n")]
    calls: list[dict[str, Any]] = [{"text": "hello"}, {}]
    results = [asked.evaluate(policy, call).result for call in calls]
    assert results == [with_text, without_text]


def test_a_flaw_behind_a_negation_is_told_at_its_place(pool: Pool) -> None:
    rule = "allow if {\n    not startswith(input.action.name, lower(input.subject.id)); x > 1\n}"
    (flaw,) = engine(pool, seconds=PATIENT).find_flaws(f"package mandate\n\n{rule}\n")
    assert (flaw.line, flaw.column) == (4, 65)
    assert flaw.message == "Use of undefined variable `x` is unsafe."


def test_negations_without_end_are_refused(pool: Pool) -> None:
    nested = "input.x"
    for _ in range(7):
        nested = f"count([1 | not {nested} > 0])"
    rego = f"package mandate\n\nallow if not {nested} > 0\n"
    verdict = engine(pool, seconds=PATIENT).evaluate([text(rego)], {})
    assert verdict.opinions[0].flaw == "Negations are nested too deeply."
