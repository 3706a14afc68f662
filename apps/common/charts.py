"""The geometry of charts: scales, ticks, lines, areas and bars as SVG path data. Pure numbers.

A plot's own coordinates run from 0 to 1000 across and from 0 (top) to 100 (bottom), and stretch to
whatever width the page gives; what must not stretch (text, the lines of the grid) is placed in
pixels down and per cent across. Lengths of time are in milliseconds, money in micro-USD.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

WIDTH: Final = 1000.0
DEPTH: Final = 100.0
ABOVE: Final = 8
"""Pixels over the plot, for the upper half of the highest tick's text."""
BELOW: Final = 24
"""Pixels under the plot, for the words of its axis."""
TICKS: Final = 4
"""How many steps the vertical axis should have; it takes the fewest that are round."""
MARKS: Final = 7
"""How many words fit under the horizontal axis."""
BAR: Final = 0.7
"""The part of its place that a bar takes."""

Value = float | int | None
Points = list[tuple[float, float]]


class Unit(StrEnum):
    """What a chart's values are."""

    COUNT = "count"
    DURATION = "duration"
    MONEY = "money"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Series:
    """One line, area or layer of bars; None where nothing is known, which leaves a gap.

    `tone` is a colour token: c1 to c5.
    """

    name: str
    values: Sequence[Value]
    tone: str = "c1"
    shape: Literal["line", "area", "bar"] = "line"


@dataclass(frozen=True, slots=True)
class Limit:
    """A target or threshold that the values are held against."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows. Bars stand on each other; lines and areas each start from zero.

    `name` is its id in the page; `says` is the one sentence that stands for the picture; `points`
    name the values along the axis, `marks` (if given) are shorter words for the axis, "" where none
    is wanted.
    """

    name: str
    says: str
    points: Sequence[str]
    series: Sequence[Series]
    unit: Unit = Unit.COUNT
    marks: Sequence[str] = ()
    limit: Limit | None = None
    head: str = "Time"
    height: int = 208

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw: not one known value."""
        return all(value is None for one in self.series for value in one.values)


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis from zero: its upper end and the distance of its ticks."""

    top: float
    step: float

    def depth(self, value: float) -> float:
        """How far down the plot a value lies, from 0 to `DEPTH`."""
        return DEPTH - DEPTH * min(max(value / self.top, 0.0), 1.0)

    @property
    def values(self) -> list[float]:
        """The values at the ticks, from the top down."""
        return [self.step * n for n in range(round(self.top / self.step), -1, -1)]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid, in pixels from the top, and its word."""

    y: float
    text: str

    @property
    def baseline(self) -> float:
        """Where the word's letters stand, so that it is level with its line."""
        return self.y + 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A word under the axis, in per cent from the left; narrow pages leave out the `minor`."""

    x: float
    text: str
    anchor: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A drawn series: its path, what lies below it (of an area), and points without a neighbour."""

    tone: str
    path: str
    fill: str = ""
    dots: str = ""
    is_bar: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart as it is drawn; `depth` is the height of the plot in pixels."""

    scale: Scale
    depth: int
    ticks: list[Tick]
    marks: list[Mark]
    shapes: list[Shape]
    limit: Tick | None = None
    places: list[tuple[float, float]] = field(default_factory=list)
    """Where each point's column begins and how wide it is, for what is pointed at."""

    @property
    def bottom(self) -> int:
        """Where the words of the axis stand, in pixels."""
        return ABOVE + self.depth + BELOW - 5


def plot(chart: Chart) -> Plot:
    """Lay out a chart."""
    scale = nice_scale(_highest(chart), chart.unit)
    depth = chart.height - ABOVE - BELOW
    in_slots, count = _has_bars(chart), len(chart.points)
    xs = positions(count, in_slots=in_slots)
    ticks = [Tick(_pixel(scale, depth, v), axis_word(v, chart.unit)) for v in scale.values]
    return Plot(
        scale,
        depth,
        ticks,
        marks=axis_marks(chart.marks or chart.points, xs),
        shapes=_shapes(chart, xs, scale),
        limit=_limit(chart.limit, scale, depth),
        places=columns(count, xs),
    )


def _limit(limit: Limit | None, scale: Scale, depth: int) -> Tick | None:
    return Tick(_pixel(scale, depth, limit.value), limit.name) if limit else None


def _pixel(scale: Scale, depth: int, value: float) -> float:
    return round(ABOVE + depth * scale.depth(value) / DEPTH, 1)


def _has_bars(chart: Chart) -> bool:
    return any(one.shape == "bar" for one in chart.series)


def _highest(chart: Chart) -> float:
    """The highest that is drawn: of bars, their sums."""
    bars = [one.values for one in chart.series if one.shape == "bar"]
    sums = [sum(value or 0 for value in column) for column in zip(*bars, strict=True)]
    rest = [v for one in chart.series if one.shape != "bar" for v in one.values if v is not None]
    limit = [chart.limit.value] if chart.limit else []
    return max([*sums, *rest, *limit], default=0)


# Scales ---------------------------------------------------------------------------------------

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
# Round lengths of time beyond a second, in ms; below and far above it tens are round.
_LONG: Final = tuple(
    [SECOND * n for n in (1, 2, 5, 10, 15, 30)]
    + [MINUTE * n for n in (1, 2, 5, 10, 15, 30)]
    + [HOUR * n for n in (1, 2, 6, 12, 24)]
)

OF_NOTHING: Final = {Unit.COUNT: 1, Unit.DURATION: SECOND, Unit.MONEY: 10_000}
"""How far an axis goes where every value is zero: one thing, a second, a cent."""


def nice_scale(highest: float, unit: Unit) -> Scale:
    """The axis with round ticks that holds values from zero to `highest`."""
    if unit is Unit.SHARE:
        return Scale(1.0, 0.25)
    if highest <= 0:
        return Scale(OF_NOTHING[unit], OF_NOTHING[unit])
    step = _step(highest / TICKS, unit)
    return Scale(step * max(1, math.ceil(highest / step - 1e-9)), step)


def _step(least: float, unit: Unit) -> float:
    """The smallest round step that is no less than that."""
    if unit is Unit.DURATION and least > SECOND / 2:
        return next((step for step in _LONG if step >= least), _round_up(least / HOUR) * HOUR)
    return max(_round_up(least), 1.0)


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten, no less than the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= value * (1 - 1e-9))


def axis_word(value: float, unit: Unit) -> str:
    """A tick's value, in as few letters as tell it apart from its neighbours."""
    match unit:
        case Unit.SHARE:
            return f"{value * 100:.0f}%"
        case Unit.MONEY:
            return f"${_short(value / 1_000_000)}"
        case Unit.DURATION:
            return _time_word(value)
    return _short(value)


def _short(value: float) -> str:
    """A number of at most five or six letters: 0.005, 250, 1,200, 12k, 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.4g}{letter}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.6f}".rstrip("0")


def _time_word(value: float) -> str:
    if value == 0:
        return "0"
    for size, word in ((HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:.3g} ms"


# Across ---------------------------------------------------------------------------------------


def positions(count: int, *, in_slots: bool = False) -> list[float]:
    """Where the points stand: from edge to edge, or, `in_slots`, in the middle of equal places."""
    if in_slots:
        return [WIDTH * (n + 0.5) / count for n in range(count)]
    if count == 1:
        return [WIDTH / 2]
    return [WIDTH * n / (count - 1) for n in range(count)]


def columns(count: int, xs: Sequence[float]) -> list[tuple[float, float]]:
    """(left, width) of what is nearest to each point."""
    edges = [0.0, *((a + b) / 2 for a, b in zip(xs, xs[1:], strict=False)), WIDTH]
    return [(round(edges[n], 1), round(edges[n + 1] - edges[n], 1)) for n in range(count)]


def axis_marks(words: Sequence[str], xs: Sequence[float]) -> list[Mark]:
    """The words of every so many points, so that none runs over an edge or its neighbour."""
    named = [n for n, word in enumerate(words) if word]
    chosen = named[:: max(1, math.ceil(len(named) / MARKS))]
    return [
        Mark(round(xs[n] / WIDTH * 100, 2), words[n], _anchor(xs[n]), minor=order % 2 == 1)
        for order, n in enumerate(chosen)
    ]


def _anchor(x: float) -> str:
    """From which side a word is written, so that it stays within the plot."""
    return "start" if x < WIDTH * 0.03 else "end" if x > WIDTH * 0.95 else "middle"


# Shapes ---------------------------------------------------------------------------------------


def _shapes(chart: Chart, xs: Sequence[float], scale: Scale) -> list[Shape]:
    """Bars first, so that lines lie over them."""
    bars = [one for one in chart.series if one.shape == "bar"]
    stacked = list(_stack(bars, xs, scale))
    return stacked + [_drawn(one, xs, scale) for one in chart.series if one.shape != "bar"]


def _drawn(one: Series, xs: Sequence[float], scale: Scale) -> Shape:
    parts = segments(one.values, xs, scale)
    fill = "".join(map(area_path, parts)) if one.shape == "area" else ""
    lines = "".join(line_path(part) for part in parts if len(part) > 1)
    dots = "".join(line_path(part) for part in parts if len(part) == 1)
    return Shape(one.tone, lines, fill, dots)


def _stack(bars: Sequence[Series], xs: Sequence[float], scale: Scale) -> Iterator[Shape]:
    """Each series' bars on top of those before."""
    below = [0.0] * len(xs)
    width = WIDTH / max(len(xs), 1) * BAR
    for one in bars:
        path = ""
        for n, value in enumerate(one.values):
            if value:
                path += _bar(xs[n] - width / 2, width, scale, below[n], below[n] + value)
                below[n] += value
        yield Shape(one.tone, path, is_bar=True)


def _bar(left: float, width: float, scale: Scale, low: float, high: float) -> str:
    top, foot = _number(scale.depth(high)), _number(scale.depth(low))
    return f"M{_number(left)},{foot}V{top}h{_number(width)}V{foot}Z"


def segments(values: Sequence[Value], xs: Sequence[float], scale: Scale) -> list[Points]:
    """The stretches of neighbours that are known; what lies between two of them is a gap."""
    found: list[Points] = [[]]
    for x, value in zip(xs, values, strict=True):
        if value is None:
            found.append([])
        else:
            found[-1].append((x, scale.depth(value)))
    return [part for part in found if part]


def line_path(points: Points) -> str:
    """A line through the points; one alone is a dot, which round ends make visible."""
    path = "M" + "L".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return path if len(points) > 1 else f"{path}h0"


def area_path(points: Points) -> str:
    """What lies between the points and the axis."""
    if len(points) < 2:
        return ""
    left, right = _number(points[0][0]), _number(points[-1][0])
    return f"{line_path(points)}L{right},{DEPTH:.0f}L{left},{DEPTH:.0f}Z"


def spark(values: Sequence[Value], tone: str = "c1") -> Shape:
    """A small line without an axis, from zero to a little above its highest value."""
    highest = max((value for value in values if value is not None), default=0)
    scale = Scale((highest or 1) * 1.15, 1)
    return _drawn(Series("", values, tone, "area"), positions(len(values)), scale)


def _number(value: float) -> str:
    """At most one digit after the point: finer than a screen shows."""
    return f"{value:.1f}".removesuffix(".0")
