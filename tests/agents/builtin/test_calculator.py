"""Arithmetic as people write it, and nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.runtimes.base import WorkFailed
from apps.agents.runtimes.builtin.calculator import SPEC, calculate
from apps.common.schemas import compile_schema


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2 * 3", 8),
        ("(2 + 2) * 3", 12),
        ("10 / 2", 5),
        ("1 / 4", 0.25),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("7 % 3", 1),
        ("2 ** 3 ** 2", 512),
        ("2 ^ 10", 1024),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("--3", 3),
        ("+3 - -2", 5),
        (".5 + 1.5e1", 15.5),
        ("sqrt(16) + abs(-2)", 6),
        ("round(2.567, 2)", 2.57),
        ("max(1, 2, 3) - min(4, 5)", -1),
        ("max(5) - min(2)", 3),
        ("cos(pi)", -1),
        ("ln(e)", 1),
        ("  42  ", 42),
    ],
)
def test_values(expression: str, value: float) -> None:
    assert calculate(expression) == value


def test_whole_numbers_stay_whole_while_json_carries_them() -> None:
    assert (calculate("10 / 5"), type(calculate("10 / 5"))) == (2, int)
    assert calculate("2 ** 53 - 1") == 2**53 - 1
    assert isinstance(calculate("2 ** 53"), float)


@pytest.mark.parametrize(
    ("expression", "code", "told"),
    [
        ("1 / 0", "division_by_zero", "Column 3"),
        ("1 // 0", "division_by_zero", "Column 3"),
        ("0 ** -1", "division_by_zero", "Column 3"),
        ("9 ** 9 ** 9", "too_big", "Column"),
        ("10 ** 400", "too_big", "Column 4"),
        ("1e400", "too_big", ""),
        ("exp(1000)", "too_big", "Column 1"),
        ("(-8) ** 0.5", "out_of_domain", "Column"),
        ("sqrt(-1)", "out_of_domain", "Column 1"),
        ("ln(0)", "out_of_domain", "Column 1"),
        ("2 +", "expression_invalid", "Column 4"),
        ("2 2", "expression_invalid", "Column 3"),
        ("(2", "expression_invalid", "Column 3"),
        ("2)", "expression_invalid", "Column 2"),
        ("2 & 3", "expression_invalid", "Column 3"),
        ("", "expression_invalid", "Column 1"),
        ("foo", "expression_invalid", "“foo” is unknown"),
        ("system(1)", "expression_invalid", "no function"),
        ("sqrt(1, 2)", "expression_invalid", "does not take 2"),
        ("__import__", "expression_invalid", "unknown"),
        ("(" * 60 + "1" + ")" * 60, "expression_too_deep", "Nest at most 50"),
        ("-" * 100 + "1", "expression_too_deep", "Nest at most 50"),
        ("1+" * 600 + "1", "expression_too_long", "1000"),
    ],
)
def test_what_has_no_value_is_told_with_its_place(expression: str, code: str, told: str) -> None:
    with pytest.raises(WorkFailed) as failed:
        calculate(expression)
    assert failed.value.code == code and told in failed.value.message


def trees() -> st.SearchStrategy[str]:
    """Expressions that Python reads the same way."""
    leaves = st.integers(0, 999).map(str) | st.sampled_from(["0.5", "2.25", "1e2"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
                lambda t: f"({t[0]} {t[1]} {t[2]})"
            ),
            inner.map(lambda t: f"(-{t})"),
            st.tuples(inner, st.integers(0, 3)).map(lambda t: f"({t[0]} ** {t[1]})"),
        ),
        max_leaves=8,
    )


@given(trees())
def test_it_agrees_with_python(expression: str) -> None:
    try:
        expected = eval(expression, {"__builtins__": {}})
    except (ZeroDivisionError, OverflowError):
        with pytest.raises(WorkFailed):
            calculate(expression)
        return
    try:
        assert math.isclose(calculate(expression), expected, rel_tol=1e-9, abs_tol=1e-9)
    except WorkFailed as failed:
        assert failed.code == "too_big" and abs(expected) > 2**300


@given(st.text(max_size=60))
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    try:
        assert math.isfinite(calculate(text))
    except WorkFailed as failed:
        assert failed.message


def test_its_pattern_takes_arithmetic_and_no_sentence() -> None:
    takes = compile_schema(SPEC.input_schema)
    assert takes.is_valid({"expression": "sqrt(2) * (3 + 4)"})
    assert not takes.is_valid({"expression": "What is it?"})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("10 ** 308", 1e308),
        ("10 ** 300 / 0.1", 1e301),
        ("2 ** -1074", 5e-324),
        ("2 ** -2000", 0.0),
        ("(-8) ** -1", -0.125),
        ("(-1) ** (10 ** 300)", 1),
        ("round(1234567, -3)", 1235000),
        ("round(1234567, -10 ** 9)", 0),
        ("round(2.5, 10 ** 300)", 2.5),
    ],
)
def test_extreme_values_are_computed_at_little_cost(expression: str, value: float) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["1" * 400, "1e308 * 10", "2**500*2**500*2**23 + (2**500*2**500*2**23 - 1)", "10 ** 10 ** 300"],
)
def test_no_value_is_more_than_a_float_can_hold(expression: str) -> None:
    with pytest.raises(WorkFailed) as failed:
        calculate(expression)
    assert failed.value.code == "too_big"
    assert failed.value.message.startswith("Column ")
