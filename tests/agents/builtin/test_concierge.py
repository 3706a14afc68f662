"""The concierge uses what it was granted, and nothing is built in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.agents.runtimes.base import CallFailed, GrantedTool, Invocation, ToolSpec
from apps.agents.runtimes.builtin import RUNTIME, SKILLS
from apps.common.ids import uuid7

STORY = (
    "The harbour will close its old terminal. Ships will call at the new terminal. "
    "The new terminal is twice as fast. Gulls nest on the roofs."
)


class FakeContext:
    """Grants tools and keeps what is called; a call answers by its agent's function."""

    def __init__(self, *tools: GrantedTool, answers: Any = None) -> None:
        self._tools, self._answers = tools, answers or {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.steps: list[Any] = []

    def tools(self) -> tuple[GrantedTool, ...]:
        return self._tools

    def call_agent(self, *, agent: str, tool: str, input: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((agent, tool, input))
        if agent in self._answers:
            return self._answers[agent](input)
        invocation = Invocation(uuid7(), 1, uuid7(), agent, tool, input, {"skill": agent})
        return RUNTIME.run(invocation, self)

    @contextmanager
    def step(self, name: str, input: Any = None) -> Iterator[None]:
        self.steps.append((name, input))
        yield

    def log(self, level: str, message: str, **fields: Any) -> None:
        pass


def skill(name: str) -> GrantedTool:
    return GrantedTool(name, SKILLS[name].spec({"skill": name}))


def tool(agent: str, name: str, description: str, **properties: Any) -> GrantedTool:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return GrantedTool(agent, ToolSpec(name, description, schema, {"type": "object"}))


def ask(question: str, ctx: FakeContext) -> dict[str, Any]:
    config = {"skill": "concierge"}
    invocation = Invocation(
        uuid7(), 1, uuid7(), "concierge", "concierge", {"question": question}, config
    )
    return RUNTIME.run(invocation, ctx)


EVERYTHING = [skill(name) for name in ("echo", "calculator", "summarizer", "json-transform")]
WEATHER = tool(
    "weather-desk", "forecast", "Tells the weather forecast for a city.", city={"type": "string"}
)


@pytest.mark.parametrize("more", [[], [WEATHER]])
def test_a_question_of_two_parts_makes_two_calls(more: Any) -> None:
    ctx = FakeContext(*EVERYTHING, *more)
    answer = ask(f"What is 12 * (3 + 4), and summarize this: {STORY}", ctx)

    assert [(agent, input) for agent, _, input in ctx.calls] == [
        ("calculator", {"expression": "12 * (3 + 4)"}),
        ("summarizer", {"text": STORY}),
    ]
    assert answer["used"] == ["calculator", "summarizer"]
    assert "84" in answer["answer"] and "new terminal" in answer["answer"]
    assert ctx.steps == [("plan", {"calls": ["calculator.calculator", "summarizer.summarizer"]})]


@pytest.mark.parametrize(
    ("question", "agent", "input"),
    [
        ("What is 17 * 23?", "calculator", {"expression": "17 * 23"}),
        ("Please compute 2+2*3.", "calculator", {"expression": "2+2*3"}),
        (f"Summarize “{STORY}”", "summarizer", {"text": STORY}),
        (f"Give me a summary of this text:\n{STORY}", "summarizer", {"text": STORY}),
        ("Repeat “hello there”", "echo", {"text": "hello there"}),
        ("What is the weather forecast for Oslo?", "weather-desk", {"city": "Oslo"}),
        ("Tell me the forecast in New York", "weather-desk", {"city": "New York"}),
    ],
)
def test_one_question_one_tool(question: str, agent: str, input: dict[str, Any]) -> None:
    answers = {"weather-desk": lambda given: {"forecast": f"sun in {given['city']}"}}
    ctx = FakeContext(*EVERYTHING, WEATHER, answers=answers)

    answer = ask(question, ctx)
    assert [(called, given) for called, _, given in ctx.calls] == [(agent, input)]
    assert answer["used"] == [agent]


def test_an_unknown_agents_tool_is_used_only_while_it_is_granted() -> None:
    probe = tool(
        "zeta-unit",
        "measure_flux",
        "Measures the flux of a coil.",
        coil={"type": "string", "pattern": "^C[0-9]+$"},
        runs={"type": "integer"},
    )
    question = "Measure the flux of C17 with 3 tries"
    answers = {"zeta-unit": lambda given: {"flux": 9}}

    with_it = FakeContext(*EVERYTHING, probe, answers=answers)
    assert ask(question, with_it) == {"answer": "zeta-unit: 9", "used": ["zeta-unit"]}
    assert with_it.calls == [("zeta-unit", "measure_flux", {"coil": "C17", "runs": 3})]
    without = FakeContext(*EVERYTHING, answers=answers)
    assert ask(question, without)["used"] == []
    assert without.calls == []


def test_without_tools_it_says_so() -> None:
    assert ask("What is 1 + 1?", FakeContext()) == {
        "answer": "I may call no other agent, so I cannot help. Grant me a tool.",
        "used": [],
    }
    answer = ask("Paint my house", FakeContext(skill("calculator")))
    assert answer["used"] == [] and "calculator" in answer["answer"]


def test_a_call_that_fails_is_told_and_the_others_are_made() -> None:
    def fail(given: Any) -> dict[str, Any]:
        raise CallFailed("no_grant", "There is no grant for this call.")

    ctx = FakeContext(*EVERYTHING, answers={"calculator": fail})
    answer = ask(f"What is 3 * 4, and summarize this: {STORY}", ctx)
    assert "could not help: There is no grant" in answer["answer"]
    assert answer["used"] == ["calculator", "summarizer"]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": 3, "required": "x"},
        {"properties": {"a": True}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"$ref": "http://x.example/"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"pattern": "("}}, "required": ["a"]},
    ],
)
def test_no_schema_confuses_it(schema: Any) -> None:
    odd = GrantedTool("odd", ToolSpec("calculate", "What is 1 * 2", schema, {}))
    ctx = FakeContext(odd, skill("calculator"), answers={"odd": lambda given: {}})
    assert "used" in ask("What is 6 * 7?", ctx)


def test_hostile_questions_end() -> None:
    for question in ("(" * 20_000, "1+" * 10_000, "a: " * 6_000, '"' * 20_000, "and the " * 2_500):
        assert "used" in ask(question, FakeContext(*EVERYTHING))


@pytest.mark.parametrize(
    ("question", "expressions"),
    [
        ("What is 2 + sqrt(16)?", ["2 + sqrt(16)"]),
        ("What is 2*3 - pi?", ["2*3 - pi"]),
        ("Calculate: 2 + 2 * 3", ["2 + 2 * 3"]),
        ("What is (2+3)*4 and what is 10/2?", ["(2+3)*4", "10/2"]),
        ("What is 2+2 or 3*3?", ["2+2", "3*3"]),
        ("In 2020, 3*4 were sold", ["3*4"]),
        ("What is 1,000 * 2?", ["1000 * 2"]),
        # What can't be read to its end isn't calculated in part.
        ("What is 1,5 * 2?", []),
        ("What is 20% of 50 + 1?", []),
        ("What is 2*3 - my age?", []),
        ("What is 3x + 2?", []),
        ("What happened on 2024-05-17?", []),
        ("Is it open 24/7 on Sundays?", []),
        ("See https://shop.example/3*4 please", []),
    ],
)
def test_arithmetic_is_taken_whole_or_not_at_all(question: str, expressions: list[str]) -> None:
    ctx = FakeContext(*EVERYTHING)
    ask(question, ctx)
    assert [given for _, _, given in ctx.calls] == [{"expression": text} for text in expressions]


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        (f"Summarize “{STORY}” and calculate 2+2", [("summarizer", STORY), ("calculator", "2+2")]),
        (
            f'Summarize "{STORY}" and repeat "good day"',
            [("summarizer", STORY), ("echo", "good day")],
        ),
        (
            'Repeat: she said "come here now" and left',
            [("echo", 'she said "come here now" and left')],
        ),
        (
            f"What is 6*7? Summarize this text. {STORY}",
            [("calculator", "6*7"), ("summarizer", STORY)],
        ),
        ("Echo hello", [("echo", "hello")]),
        ('Repeat "hello"', [("echo", "hello")]),
        ("Summarize this text", []),
        ("I want to place an order of books", []),
        (f"What is 3*4: {STORY}", [("calculator", "3*4")]),
    ],
)
def test_each_part_gets_its_own_text(question: str, calls: list[tuple[str, str]]) -> None:
    ctx = FakeContext(*EVERYTHING)
    ask(question, ctx)
    assert [(agent, next(iter(given.values()))) for agent, _, given in ctx.calls] == calls


def test_what_may_be_left_out_is_given_where_the_question_counts_it() -> None:
    ctx = FakeContext(*EVERYTHING)
    ask(f"Summarize this in 2 sentences: {STORY}", ctx)
    assert ctx.calls == [("summarizer", "summarizer", {"text": STORY, "sentences": 2})]


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"type": ["string", "null"]}, "C17"),
        ({"$ref": "#/$defs/coil"}, "C17"),
        ({"enum": [1, None, "", "flux"]}, "flux"),
        ({"const": 5}, 5),
        ({"type": "boolean", "default": True}, True),
    ],
)
def test_a_property_is_bound_by_what_its_rules_say(rules: Any, value: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"coil": rules},
        "required": ["coil"],
        "$defs": {"coil": {"type": "string", "pattern": "^C[0-9]+$"}},
    }
    probe = GrantedTool("probe", ToolSpec("measure_flux", "Measures flux.", schema, {}))
    ctx = FakeContext(probe, answers={"probe": lambda given: {}})
    ask("Measure the flux of C17", ctx)
    assert ctx.calls == [("probe", "measure_flux", {"coil": value})]


@pytest.mark.parametrize("required", [[["x"]], [1], {"a": 1}])
def test_a_schema_that_is_none_is_not_bound(required: Any) -> None:
    schema = {"type": "object", "properties": {}, "required": required}
    odd = GrantedTool("odd", ToolSpec("measure_flux", "Measures flux.", schema, {}))
    ctx = FakeContext(odd)
    assert ask("Measure the flux", ctx)["used"] == []


@pytest.mark.parametrize(
    "question",
    [
        "a" + " " * 19_998 + "b",
        "-" * 20_000,
        "1" * 20_000,
        "1." * 10_000,
        "a" * 20_000,
        "a." * 10_000,
        "a@" + "b." * 9_999,
        "sqrt(" * 4_000,
        "1" + ")" * 19_999,
        '"a ' * 6_600,
        "this " * 4_000,
        "for " * 5_000,
        "\ue000" * 20_000,
    ],
)
def test_questions_made_to_be_slow_end(question: str) -> None:
    assert ask(question, FakeContext(*EVERYTHING))["used"] in ([], ["echo"])
