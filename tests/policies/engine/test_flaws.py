"""What can't be kept, where it stands, and why."""

from __future__ import annotations

import pytest

from apps.policies.engine.asking import Failure
from apps.policies.engine.builtins import LACKED, REFUSED, SUPPORTED
from apps.policies.engine.children import Children
from apps.policies.engine.flaws import MAX_BYTES
from apps.policies.engine.pool import Pool
from apps.policies.engine.strikes import NEW_TEXTS, Standing
from apps.policies.engine.types import Flaw, TestOutcome
from tests.policies.engine.rego import ALLOW, DEADLINE, DENY, ENDLESS, ENOUGH, PATIENT, engine

TESTS = """package mandate_test

import data.mandate

test_refuses if mandate.deny["no"] with input as {}

test_fails if mandate.deny["yes"] with input as {}

test_breaks if mandate.missing(1)
"""


def found(pool: Pool, rego: str) -> list[tuple[int, int, str]]:
    flaws = engine(pool, seconds=PATIENT).find_flaws(rego)
    return [(flaw.line, flaw.column, flaw.message) for flaw in flaws]


@pytest.mark.parametrize("rego", [ALLOW, DENY])
def test_a_policy_has_no_flaw(pool: Pool, rego: str) -> None:
    assert found(pool, rego) == []


@pytest.mark.parametrize(
    ("body", "flaws"),
    [
        ("allow := {", [(4, 1, "Expecting expression.")]),
        ("allow if {\n    x == 1\n}", [(4, 5, "Use of undefined variable `x` is unsafe.")]),
        (
            "allow if {\n    false\n    x > 1\n}",
            [(5, 5, "Use of undefined variable `x` is unsafe.")],
        ),
        ("allow if {\n    false\n    foo(1)\n}", [(5, 5, "There is no function `foo`.")]),
        ("allow if {\n    false\n    count()\n}", [(5, 5, "`count` takes 1 argument, not 0.")]),
        ("f(x) := x\n\nallow if f(1, 2, 3)", [(5, 10, "`f` takes 1 argument, not 3.")]),
        ("allow := 1\n\nallow := 2", [(5, 1, "Rule conflicts with rule at policy.rego:3:1.")]),
        ('allow := "yes"', [(3, 1, "`allow` must be true or false.")]),
        (
            "allow := true\n\ndeny := true",
            [(5, 1, "`deny` must be a set of reasons: `deny contains …`.")],
        ),
        ("allow if allow", [(3, 1, "`allow` needs itself: a rule can't be recursive.")]),
        (
            "allow if a\n\na if b\n\nb if a",
            [
                (5, 1, "`a` needs itself: a rule can't be recursive."),
                (7, 1, "`b` needs itself: a rule can't be recursive."),
            ],
        ),
        ("f(x) := f(x)\n\nallow := f(1)", [(3, 1, "`f` needs itself: a rule can't be recursive.")]),
        (
            "deny contains 1 if false",
            [
                (
                    1,
                    1,
                    "No rule says `allow`. Write `default allow := true` if the policy only "
                    "forbids.",
                )
            ],
        ),
        (
            "import data.secrets\n\nallow := true",
            [(3, 8, "`data.secrets` can't be imported here.")],
        ),
    ],
)
def test_a_flaw_is_told_at_its_place(
    pool: Pool, body: str, flaws: list[tuple[int, int, str]]
) -> None:
    assert found(pool, f"package mandate\n\n{body}\n") == flaws


@pytest.mark.parametrize(
    "use",
    ["data.org.secret", 'data["org"]', "data", "x if some x in data.mandate", "[y | y := data.x]"],
)
def test_data_is_seen_by_no_road(pool: Pool, use: str) -> None:
    (flaw,) = found(pool, f"package mandate\n\nallow := true\n\nhelper := {use}\n")
    assert flaw[0] == 5
    assert flaw[2] == "A policy sees no `data`, only `input` and its own rules, by their names."


def test_names_that_are_the_rules_own_are_no_recursion(pool: Pool) -> None:
    rego = """package mandate

import rego.v1

default allow := false

allow if reads

reads if {
    some obligations
    input.context.input[obligations] == "x"
}

reads if {
    every reads in [1] { reads == 1 }
    require_approval := 1
    require_approval == 1
}

twice(allow) := allow * 2

deny contains reason if {
    some reason in [r | r := sprintf("%v", [twice(count(input.resource))])]
    false
}

require_approval contains "again" if not allow with input.context.depth as 1
"""
    assert found(pool, rego) == []


@pytest.mark.parametrize(
    "package", ["package other", "package mandate.more", "package data.mandate"]
)
def test_a_policy_is_of_one_package(pool: Pool, package: str) -> None:
    assert (1, 9, "The package must be `mandate`.") in found(pool, f"{package}\n\nallow := true\n")


def test_a_package_is_written_so_that_it_can_be_moved(pool: Pool) -> None:
    """OPA would take any other as a package that all orgs share."""
    for rego in (
        "package\nmandate\n\nallow := true",
        "# package x\n\npackage  mandate\nallow := true",
    ):
        assert found(pool, rego) == []
    broken = [(2, 2, "Write `package mandate` on one line.")]
    assert found(pool, "package # c\n mandate\n\nallow := true\n") == broken
    tests = 'package mandate_test\n\nimport data["mandate"]\n\ntest_a if mandate.allow\n'
    assert engine(pool).find_test_flaws(tests) == [Flaw(3, 8, "Write it as `import data.mandate`.")]
    plain = tests.replace('data["mandate"]', "\n data.mandate as mandate")
    assert engine(pool).find_test_flaws(plain) == []


def test_a_text_without_end_is_refused(pool: Pool) -> None:
    constant = ENDLESS.replace("input.context.never", "-1")
    (flaw,) = engine(pool, seconds=ENOUGH).find_flaws(constant)
    assert flaw == Flaw(1, 1, "It doesn't come to an end in time.")


def test_a_text_that_breaks_the_engine_is_refused(pool: Pool) -> None:
    deep = "package mandate\n\nallow := " + "[" * 30_000 + "]" * 30_000
    assert len(found(pool, deep)) == 1
    assert found(pool, ALLOW) == []


def test_a_text_has_a_size(pool: Pool) -> None:
    assert found(pool, ALLOW + "#" * (MAX_BYTES - len(ALLOW))) == []
    assert found(pool, ALLOW + "#" * MAX_BYTES) == [(1, 1, "The text is longer than 64 KiB.")]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_built_in_is_named_with_its_reason(pool: Pool, name: str) -> None:
    message = f"`{name}` is refused. {REFUSED[name]}"
    called = f"package mandate\n\nallow := true\n\nhelper if {{\n    false\n    {name}(1)\n}}\n"
    assert found(pool, called) == [(7, 5, message)]


def test_a_refused_built_in_is_found_where_it_hides(pool: Pool) -> None:
    hidden = [
        'x := [y | y := http["send"]({"url": "http://127.0.0.1"})]',
        "x if not http.send({})",
        "x if { every y in [1] { http.send(y) } }",
        "x := 1 if true else := http.send({})",
        "x(http) := http.send(1)",
        "x if { f := count([1]) with count as http.send; f }",
        "x if { count([1]) with http.send as count }",
    ]
    for rule in hidden:
        messages = [m for _, _, m in found(pool, f"package mandate\n\nallow := true\n\n{rule}\n")]
        assert messages, rule


def messages_of(pool: Pool, statement: str) -> set[str]:
    """What is found of a statement, in a policy and in the tests of one."""
    policy = f"package mandate\n\nallow := true\n\nf(x) := x\n\nhelper if {statement}\n"
    tests = f"package mandate_test\n\nf(x) := x\n\ntest_a if {statement}\n"
    flaws = engine(pool, seconds=PATIENT).find_test_flaws(tests)
    return {message for _, _, message in found(pool, policy)} | {flaw.message for flaw in flaws}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_built_in_is_no_side_of_a_with(pool: Pool, name: str) -> None:
    """`f(x) with f as http.send` is a call of it: OPA connects."""
    assert messages_of(pool, f"f(1) with f as {name}") == {f"`{name}` is refused. {REFUSED[name]}"}


@pytest.mark.parametrize(
    "given",
    [
        "f as (http.send)",
        "f as http[`send`]",
        'f as http["send"]',
        'f as http["\\u0073end"]',
        "input as {} with f as http.send",
        "json.marshal as http.send",
        "http.send as f",
    ],
)
def test_a_refused_built_in_is_a_side_of_a_with_by_no_other_writing(pool: Pool, given: str) -> None:
    message = f"`http.send` is refused. {REFUSED['http.send']}"
    assert messages_of(pool, f"not f(1) with {given}") == {message}


DECLARE = "A variable must be declared before, by `:=` or `some`."


def test_only_what_is_known_is_a_side_of_a_with(pool: Pool) -> None:
    """An OPA server may have functions that nobody has judged."""
    kept = """package mandate

import input.context as given

allow := true

f(x) := x

g(x) := [x]

h := {"send": 1}

helper := y if {
    some x in [{"depth": 1}]
    y := f(1) with given.depth as x.depth with input.resource.tool as h.send with f as g
}

other(z) if f(1) with input as z.all with input.context as f(z).a.b
"""
    assert found(pool, kept) == []
    assert found(pool, kept.replace("f as g", "f as newest.fetch")) == [
        (15, 88, f"There is no `newest.fetch` here. {DECLARE}")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "{ x = input.a; f(1) == 1 with input as x.b }",
        '{ {"k": x} = input.a; f(1) == 1 with input as x.b }',
        "{ input.a[x]; f(1) == 1 with input.c as x.b }",
        "{ x = input.a; limit == 1 with limit as x.b }",
        "{ x := input.a; f(1) == 1 with f as x.b }",
        "{ some x, y in input.a; f(1) == 1 with f as y.b; x }",
        "{ some x; input.a[x]; f(1) == 1 with f as x.b }",
        "{ every x in input.a { f(1) == 1 with f as x.b } }",
        "{ x := 1; count([y | y := f(1) with f as x]) == 1 }",
    ],
)
def test_a_value_takes_the_place_of_another_however_it_is_bound(pool: Pool, statement: str) -> None:
    assert messages_of(pool, f"{statement}\n\nlimit := 1") == set()


@pytest.mark.parametrize(
    "statement",
    [
        "{ x = input.a; f(1) == 1 with f as x.b }",
        "{ [1 | x := 1]; f(1) == 1 with f as x.b }",
        "{ x := [1 | f(1) == 1 with f as x.b] }",
        "{ f(1) == 1 with f as x.b; x := 1 }",
        "{ {x: y} := input.a; f(1) == 1 with f as x.b; y; x = 1 }",
        "{ every y in [1] { x := 1; y }; f(1) == 1 with f as x.b }",
        "{ every x in [1 | f(1) == 1 with f as x.b] { x } }",
        "{ true; x := 1 } else if { f(1) == 1 with f as x.b }",
        "{ json.marshal(1) with json.marshal as x.b }\n\njson.own := 1",
    ],
)
def test_no_other_name_takes_the_place_of_a_function(pool: Pool, statement: str) -> None:
    """`f(1) with f as x.b` calls a function `x.b` of an OPA server, where `x` is no variable."""
    for name in ("x.b", "x"):
        found = messages_of(pool, statement.replace("as x.b", f"as {name}"))
        assert f"There is no `{name}` here. {DECLARE}" in found


def test_a_refused_built_in_is_reached_by_no_name_of_its_own(pool: Pool) -> None:
    """A rule of that name is the text's own, in both engines; one beside it is not."""
    own = 'package mandate\n\nallow := true\n\nhttp["send"](x) := x\n\nh := http.send(1)\n'
    assert found(pool, own) == []
    beside = own.replace('http["send"](x)', "http.sent(x)")
    assert [m for _, _, m in found(pool, beside)] == [
        f"`http.send` is refused. {REFUSED['http.send']}"
    ]


def test_a_text_that_only_speaks_of_a_refused_built_in_is_kept(pool: Pool) -> None:
    spoken = 'deny contains "http.send(…) is no tool" if input.resource.tool == `http.send({})`'
    assert found(pool, f"package mandate\n\nallow := true\n\n# http.send({{}})\n{spoken}\n") == []


def test_every_built_in_is_in_one_list() -> None:
    assert not SUPPORTED.keys() & REFUSED.keys()
    assert not LACKED & (SUPPORTED.keys() | REFUSED.keys())
    assert len(SUPPORTED) + len(REFUSED) + len(LACKED) == 186


def test_tests_run_by_name(pool: Pool) -> None:
    assert engine(pool, seconds=PATIENT).run_tests(DENY, TESTS) == [
        TestOutcome("test_refuses", True),
        TestOutcome("test_fails", False, "It isn't true."),
        TestOutcome(
            "test_breaks", False, "Line 9, column 31: Could not find function mandate.missing."
        ),
    ]


@pytest.mark.parametrize(
    ("tests", "flaw"),
    [
        ("package mandate\n", Flaw(1, 9, "The package must be `mandate_test`.")),
        ("package mandate_test\n", Flaw(1, 1, "There is no test: name a rule `test_…`.")),
        ("package mandate_test\n\ntest_a if {", Flaw(3, 12, "")),
        (
            "package mandate_test\n\ntest_a if http.send({})",
            Flaw(3, 11, f"`http.send` is refused. {REFUSED['http.send']}"),
        ),
        (
            "package mandate_test\n\ntest_a if newest.fetch({})",
            Flaw(3, 11, "There is no function `newest.fetch`."),
        ),
    ],
)
def test_tests_have_flaws_too_and_then_none_runs(pool: Pool, tests: str, flaw: Flaw) -> None:
    flaws = engine(pool, seconds=PATIENT).find_test_flaws(tests)
    assert flaw in flaws or not flaw.message and len(flaws) == 1
    (outcome,) = engine(pool, seconds=PATIENT).run_tests(ALLOW, tests)
    assert (outcome.name, outcome.passed) == ("tests", False)


@pytest.mark.parametrize(
    "test",
    [
        'some d; "secret" in data.policies[d].mandate.kept_out',
        "data.mandate.allow",
        'data["policies"]',
        "mandate.allow with mandate as data.policies",
        "[y | walk(data, [_, y])]",
        "f(data)",
    ],
)
def test_tests_see_their_own_policy_alone(pool: Pool, test: str) -> None:
    """On an OPA server each other text is a part of `data`."""
    head = "package mandate_test\n\nimport data.mandate as m\n\nf(x) := x\n"
    own = f"{head}\ntest_a if {{ m.allow; f(m) }}\n"
    (outcome,) = engine(pool, seconds=PATIENT).run_tests(ALLOW, own)
    assert outcome == TestOutcome("test_a", True)
    others = own.replace("m.allow;", f"{test};").replace("as m", "")
    (flaw,) = engine(pool, seconds=PATIENT).find_test_flaws(others)
    assert flaw.message == "Tests see no `data`: write `import data.mandate`, then `mandate`."


def test_tests_of_a_text_with_flaws_do_not_run(pool: Pool) -> None:
    assert engine(pool, seconds=PATIENT).run_tests("package mandate\n\nallow if {", TESTS) == [
        TestOutcome(
            "tests",
            False,
            "The policy can't be evaluated. Line 3, column 11: Expecting expression.",
        )
    ]


ENDLESS_TEST = "{name} if {{\n    some i in numbers.range(1, 9000000)\n    i < 0\n}}\n"


def test_a_test_without_end_is_its_own_fault_within_the_deadline(pool: Pool) -> None:
    tests = "package mandate_test\n\n" + ENDLESS_TEST.format(name="test_a")
    found = Children(pool, DEADLINE).outcomes("acme", ALLOW, tests, ["test_a"])
    assert found == {"test_a": Failure("It doesn't come to an end in time.", is_by_text=True)}


def test_tests_without_end_are_put_aside_as_one_text(pool: Pool) -> None:
    """However many there are: the org's other new texts go on."""
    standing = Standing()
    asked = engine(pool, seconds=ENOUGH, standing=standing)
    names = [f"test_{number}" for number in range(NEW_TEXTS + 2)]
    tests = "package mandate_test\n\n" + "\n".join(ENDLESS_TEST.format(name=n) for n in names)
    first, second = asked.run_tests(ALLOW, tests), asked.run_tests(ALLOW, tests)
    late = "It doesn't come to an end in time."
    assert first == [TestOutcome(name, False, late) for name in names]
    assert [outcome.message.partition(":")[0] for outcome in second] == [
        "It was put aside for a while"
    ]
    assert not standing.is_aside("acme", "another")
