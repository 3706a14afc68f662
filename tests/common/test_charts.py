"""The geometry of charts, without a page: scales, ticks, lines, gaps, bars."""

from __future__ import annotations

import pytest

from apps.common.charts import (
    ABOVE,
    MARKS,
    Chart,
    Limit,
    Scale,
    Series,
    Unit,
    area_path,
    axis_marks,
    axis_word,
    columns,
    line_path,
    nice_scale,
    plot,
    positions,
    segments,
    spark,
)

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
TEN = Scale(10, 5)


def words(highest: float, unit: Unit) -> list[str]:
    return [axis_word(value, unit) for value in nice_scale(highest, unit).values]


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, ["1", "0"]),
        (1, ["1", "0"]),
        (3, ["3", "2", "1", "0"]),
        (7, ["8", "6", "4", "2", "0"]),
        (47, ["60", "40", "20", "0"]),
        (100, ["100", "50", "0"]),
        (3_999, ["4,000", "3,000", "2,000", "1,000", "0"]),
        (38_000, ["40k", "30k", "20k", "10k", "0"]),
        (5_900_000, ["6M", "4M", "2M", "0"]),
    ],
)
def test_counts_have_round_ticks_and_never_half_a_thing(highest: int, expected: list[str]) -> None:
    assert words(highest, Unit.COUNT) == expected


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, ["1 s", "0"]),
        (36, ["40 ms", "30 ms", "20 ms", "10 ms", "0"]),
        (900, ["1 s", "500 ms", "0"]),
        (3_400, ["4 s", "3 s", "2 s", "1 s", "0"]),
        (50 * SECOND, ["1 m", "45 s", "30 s", "15 s", "0"]),
        (7 * MINUTE, ["8 m", "6 m", "4 m", "2 m", "0"]),
        (3 * HOUR, ["3 h", "2 h", "1 h", "0"]),
        (300 * HOUR, ["300 h", "200 h", "100 h", "0"]),
    ],
)
def test_durations_are_round_as_clocks_are(highest: float, expected: list[str]) -> None:
    assert words(highest, Unit.DURATION) == expected


@pytest.mark.parametrize(
    ("micros", "expected"),
    [
        (0, ["$0.01", "$0"]),
        (4_100, ["$0.006", "$0.004", "$0.002", "$0"]),
        (900_000, ["$1", "$0.5", "$0"]),
        (2_058_100_000, ["$3,000", "$2,000", "$1,000", "$0"]),
    ],
)
def test_money_is_written_in_dollars(micros: int, expected: list[str]) -> None:
    assert words(micros, Unit.MONEY) == expected


def test_shares_go_to_the_whole() -> None:
    assert words(0.2, Unit.SHARE) == ["100%", "75%", "50%", "25%", "0%"]


@pytest.mark.parametrize("unit", [Unit.COUNT, Unit.DURATION, Unit.MONEY])
def test_no_value_lies_above_its_scale(unit: Unit) -> None:
    for highest in (*range(0, 3_000, 7), *range(3_000, 50_000_000, 1_234_567)):
        scale = nice_scale(highest, unit)
        assert highest <= scale.top and 1 <= round(scale.top / scale.step) <= 5
        assert scale.top % scale.step == pytest.approx(0, abs=1e-6)


def test_points_stand_from_edge_to_edge_and_bars_in_equal_places() -> None:
    assert positions(3) == [0, 500, 1000]
    assert positions(4, in_slots=True) == [125, 375, 625, 875]
    assert positions(1) == positions(1, in_slots=True) == [500]
    assert positions(0) == positions(0, in_slots=True) == []


def test_each_point_has_a_column_and_together_they_are_the_plot() -> None:
    assert columns(3, positions(3)) == [(0, 250), (250, 500), (750, 250)]
    assert columns(1, positions(1)) == [(0, 1000)]
    assert columns(0, []) == []


def test_a_gap_parts_a_line_and_its_area() -> None:
    parts = segments([10, 5, None, None, 0], positions(5), TEN)

    assert parts == [[(0, 0), (250, 50)], [(1000, 100)]]
    assert [line_path(part) for part in parts] == ["M0,0L250,50", "M1000,100h0"]
    assert [area_path(part) for part in parts] == ["M0,0L250,50L250,100L0,100Z", ""]


def test_one_point_is_a_dot_in_the_middle() -> None:
    drawn = plot(Chart("one", "One.", ["Mon"], [Series("a", [4])]))
    assert (drawn.shapes[0].path, drawn.shapes[0].dots) == ("", "M500,0h0")
    assert [(mark.x, mark.text, mark.anchor) for mark in drawn.marks] == [(50, "Mon", "middle")]


def test_all_zero_lies_on_the_axis() -> None:
    drawn = plot(Chart("zero", "None.", ["a", "b"], [Series("a", [0, 0], shape="area")]))
    assert drawn.shapes[0].path == "M0,100L1000,100"
    assert [tick.text for tick in drawn.ticks] == ["1", "0"]


def test_nothing_known_is_empty_and_can_be_drawn_still() -> None:
    unknown = Chart("none", "Nothing.", ["a", "b"], [Series("a", [None, None])])
    nowhere = Chart("nowhere", "Nothing.", [], [Series("a", [])])
    assert unknown.is_empty and nowhere.is_empty
    assert [shape.path for one in (unknown, nowhere) for shape in plot(one).shapes] == ["", ""]
    assert not Chart("zero", "None.", ["a"], [Series("a", [0])]).is_empty


def test_bars_stand_on_each_other() -> None:
    layers = [Series("a", [6, 0], "c1", "bar"), Series("b", [2, None], "c3", "bar")]
    drawn = plot(Chart("bars", "Bars.", ["x", "y"], layers))

    assert drawn.scale.top == 8
    assert [shape.is_bar for shape in drawn.shapes] == [True, True]
    assert [shape.path for shape in drawn.shapes] == ["M75,100V25h350V100Z", "M75,25V0h350V25Z"]


def test_the_scale_holds_the_sum_of_bars_each_line_and_the_limit() -> None:
    bars = [Series("a", [6], shape="bar"), Series("b", [5], shape="bar")]
    assert plot(Chart("c", "", ["x"], bars)).scale.top >= 11
    assert plot(Chart("c", "", ["x"], [*bars, Series("l", [19])])).scale.top == 20
    limited = plot(Chart("c", "", ["x"], bars, limit=Limit("target", 40)))
    assert limited.scale.top == 40
    assert limited.limit is not None
    assert (limited.limit.y, limited.limit.text) == (ABOVE, "target")


def test_ticks_are_level_with_their_values() -> None:
    drawn = plot(Chart("c", "", ["x", "y"], [Series("a", [0, 100])], height=132))
    assert [(tick.y, tick.text) for tick in drawn.ticks] == [(8, "100"), (58, "50"), (108, "0")]
    assert drawn.depth == 100


def test_few_enough_words_stand_under_the_axis() -> None:
    marks = axis_marks([str(n) for n in range(30)], positions(30))
    assert [mark.text for mark in marks] == ["0", "5", "10", "15", "20", "25"]
    assert [mark.minor for mark in marks] == [False, True] * 3
    assert marks[0].anchor == "start" and axis_marks(["a", "b"], positions(2))[1].anchor == "end"
    assert all(len(axis_marks(["x"] * n, positions(n))) <= MARKS for n in range(1, 200))


def test_points_without_a_word_are_passed_over() -> None:
    named = ["Mon" if n % 4 == 0 else "" for n in range(28)]
    marks = axis_marks(named, positions(28))
    assert len(marks) == 7 and {mark.text for mark in marks} == {"Mon"}


def test_a_sparkline_fills_its_height_and_keeps_its_gaps() -> None:
    drawn = spark([0, None, 23, 11.5], "c2")
    assert (drawn.path, drawn.dots, drawn.tone) == ("M666.7,13L1000,56.5", "M0,100h0", "c2")
    assert spark([0, 0]).path == "M0,100L1000,100"
    assert spark([]).path == ""
