"""Statistics of runs as pages draw them: charts, and figures beside those of the time before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apps.common import formats
from apps.common.charts import Chart, Series, Unit, Value
from apps.runs.statistics import DAY, MOST, Figures, Statistics, Window

Measure = Callable[[Figures], Value]

# (name, tone, how many of a part)
OUTCOMES: Final[tuple[tuple[str, str, Callable[[Figures], int]], ...]] = (
    ("Succeeded", "c1", lambda part: part.succeeded),
    ("Failed", "bad", lambda part: part.missed),
    ("Denied", "c4", lambda part: part.denied),
    ("Cancelled", "c5", lambda part: part.cancelled),
    ("Open", "c2", lambda part: part.open),
)
ALWAYS: Final = ("Succeeded", "Failed")
"""Outcomes that a chart names also where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """A number with how it changed and how it came about; `tone` is ok, bad or none."""

    name: str
    label: str
    value: str
    change: str
    tone: str
    note: str
    spark: Sequence[Value]
    colour: str = "c1"


def latency_chart(shown: Statistics, name: str = "latency") -> Chart:
    """How long runs took: the middle one, and the one that 95 of 100 were no slower than."""
    p50 = _each(shown, lambda part: part.p50_ms)
    p95 = _each(shown, lambda part: part.p95_ms)
    now = shown.now
    says = (
        f"Duration of runs in the {shown.window.words}: p50 {formats.duration(now.p50_ms)}, "
        f"p95 {formats.duration(now.p95_ms)}."
    )
    return Chart(
        name,
        says,
        _points(shown),
        [Series("p50", p50, "c1", "area"), Series("p95", p95, "c2")],
        Unit.DURATION,
        _marks(shown),
    )


def outcome_chart(shown: Statistics, name: str = "outcomes") -> Chart:
    """How many runs began, and what became of them."""
    layers = [
        Series(label, _each(shown, count), tone, "bar")
        for label, tone, count in OUTCOMES
        if label in ALWAYS or count(shown.now)
    ]
    now = shown.now
    says = (
        f"Runs in the {shown.window.words}: {formats.count(now.runs)}, "
        f"of which {formats.count(now.succeeded)} succeeded and "
        f"{formats.count(now.missed)} failed."
    )
    return Chart(name, says, _points(shown), layers, Unit.COUNT, _marks(shown))


def _points(shown: Statistics) -> list[str]:
    """When each part begins, for the table."""
    return [f"{at:%b} {at.day}{_hour(shown.window, at)}" for at in _starts(shown)]


def _marks(shown: Statistics) -> list[str]:
    """The same, short enough for the axis: hours of one day, or the beginnings of days."""
    if shown.window is DAY:
        return [f"{at:%H:%M}" for at in _starts(shown)]
    return ["" if at.hour else f"{at:%b} {at.day}" for at in _starts(shown)]


def _starts(shown: Statistics) -> list[datetime]:
    return shown.window.starts(shown.until)


def _hour(window: Window, at: datetime) -> str:
    return "" if window.part.days else f", {at:%H:%M}"


# Key figures ----------------------------------------------------------------------------------


def key_figures(shown: Statistics) -> list[KeyFigure]:
    """The four numbers of an overview."""
    return [_runs(shown), _latency(shown), _success(shown), _spend(shown)]


def runs_word(shown: Statistics) -> str:
    """How many runs there were, as far as they were counted."""
    return f"{formats.count(MOST)}+" if shown.is_cut else formats.count(shown.now.runs)


def _runs(shown: Statistics) -> KeyFigure:
    before = _before(shown, lambda whole: whole.runs)
    return KeyFigure(
        name="kpi-runs",
        label="Runs",
        value=runs_word(shown),
        change=_relative(shown.now.runs, before),
        tone="",
        note=_against(shown, before),
        spark=_each(shown, lambda part: part.runs),
    )


def _latency(shown: Statistics) -> KeyFigure:
    now, before = shown.now.p50_ms, _before(shown, lambda whole: whole.p50_ms)
    differs = now is not None and before is not None
    change = round((now or 0) - (before or 0)) if differs else 0
    return KeyFigure(
        name="kpi-latency",
        label="Latency p50",
        value=formats.duration(now),
        change=_signed(change, formats.duration(abs(change))) if differs else "",
        tone=_tone(-change),
        note=_against(shown, before),
        spark=_each(shown, lambda part: part.p50_ms),
        colour="c2",
    )


def _success(shown: Statistics) -> KeyFigure:
    now, before = shown.now.success, _before(shown, lambda whole: whole.success)
    differs = now is not None and before is not None
    change = round(((now or 0) - (before or 0)) * 100, 1) if differs else 0.0
    return KeyFigure(
        name="kpi-success",
        label="Success rate",
        value=formats.percent(now),
        change=_signed(change, f"{abs(change):g} pt") if differs else "",
        tone=_tone(change),
        note=_against(shown, before),
        spark=_each(shown, lambda part: part.success),
    )


def _spend(shown: Statistics) -> KeyFigure:
    before = _before(shown, lambda whole: whole.spend_micros)
    return KeyFigure(
        name="kpi-spend",
        label="Spend",
        value=formats.dollars_of_micros(shown.now.spend_micros),
        change=_relative(shown.now.spend_micros, before),
        tone="",
        note=_against(shown, before),
        spark=_each(shown, lambda part: part.spend_micros),
    )


def _each(shown: Statistics, measure: Measure) -> list[Value]:
    """A measure of each part; None for those that weren't counted."""
    return [None if part is None else measure(part) for part in shown.parts]


def _before(shown: Statistics, measure: Measure) -> Value:
    """The measure of the window before; None if it wasn't counted."""
    return None if shown.before is None else measure(shown.before)


def _against(shown: Statistics, before: float | None) -> str:
    """What the number is compared with, or why it isn't."""
    if shown.is_cut:
        return f"of the latest {formats.count(MOST)} runs"
    if shown.before is None:
        return f"in the {shown.window.words}"
    return f"vs. {shown.window.before}" if before else f"none {shown.window.before}"


def _relative(now: float, before: float | None) -> str:
    """By how much of itself a number grew; "" where there was nothing to grow from."""
    if not before:
        return ""
    change = (now - before) / before
    return _signed(change, formats.percent(abs(change)))


def _signed(change: float, size: str) -> str:
    return f"{'+' if change > 0 else formats.MINUS if change < 0 else '±'}{size}"


def _tone(gain: float) -> str:
    return "ok" if gain > 0 else "bad" if gain < 0 else ""
