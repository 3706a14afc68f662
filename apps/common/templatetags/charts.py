"""Charts in pages: the picture, its legend, its table, and sparklines.

A chart is drawn on the server and needs no script. To assistive technology it is one image with
one sentence; every value stands in the table below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django import template

from apps.common import charts, formats
from apps.common.charts import Chart, Limit, Series, Unit, Value

register = template.Library()

FORMATS: Final = {
    Unit.COUNT: formats.count,
    Unit.DURATION: formats.duration,
    Unit.MONEY: formats.dollars_of_micros,
    Unit.SHARE: formats.percent,
}


@register.inclusion_tag("ui/chart.html")
def chart(shown: Chart) -> dict[str, Any]:
    """A chart with its table: `{% chart latency %}`."""
    rows = list(_rows(shown))
    drawn = charts.plot(shown)
    columns = [
        {"left": left, "width": width, "title": _title(shown, *row)}
        for (left, width), row in zip(drawn.places, rows, strict=True)
    ]
    fills = sorted({shape.tone for shape in drawn.shapes if shape.fill})
    return {
        "chart": shown,
        "plot": drawn,
        "above": charts.ABOVE,
        "columns": columns,
        "rows": rows,
        "fills": fills,
    }


@register.inclusion_tag("ui/chart_legend.html")
def chart_legend(shown: Chart) -> dict[str, Any]:
    """Which colour is which; in the head of the chart's card."""
    return {"chart": shown, "bars": {one.name for one in shown.series if one.shape == "bar"}}


@register.inclusion_tag("ui/sparkline.html")
def sparkline(name: str, values: Sequence[Value], tone: str = "c1") -> dict[str, Any]:
    """How a number came about, without an axis; decoration beside the number, which says it."""
    return {"name": name, "shape": charts.spark(values, tone) if values else None}


@register.simple_tag
def chart_samples(theme: str) -> dict[str, Any]:
    """One chart of each kind, for the gallery of components; `theme` keeps ids and names apart."""
    hours = [f"{hour:02d}:00" for hour in range(12)]
    p50: list[Value] = [900, 1100, 1000, 1300, None, None, 1200, 1000, 1400, 1600, 1300, 1100]
    p95: list[Value] = [None if value is None else value * 2.1 for value in p50]
    done = [Series("Succeeded", [40, 44, 38, 47, 0, 0, 41, 39, 52, 58, 44, 40], "c1", "bar")]
    done += [Series("Failed", [2, 1, 0, 3, 0, 0, 1, 0, 4, 2, 1, 0], "bad", "bar")]
    lines = [Series("p50", p50, "c1", "area"), Series("p95", p95, "c2")]
    flat, point = [Series("Spend", [0] * 12)], [Series("Success", [0.974], "c4")]

    def sample(
        name: str, points: list[str], series: list[Series], unit: Unit, **more: Any
    ) -> Chart:
        return Chart(
            f"{theme}-{name}", f"{name.capitalize()}, {theme}.", points, series, unit, **more
        )

    limit = Limit("target", 2000)
    return {
        "spark": [5, 6, 6, 7, 5, 4, 6, 8, 7, 9, 8, 10],
        "spark_name": f"{theme}-spark",
        "gap": p50,
        "gap_name": f"{theme}-gap",
        "charts": [
            (
                "Area and line, with a gap",
                sample("durations", hours, lines, Unit.DURATION, limit=limit),
            ),
            ("Bars on each other", sample("outcomes", hours, done, Unit.COUNT)),
            ("Nothing but zero", sample("spend", hours, flat, Unit.MONEY)),
            ("One point", sample("success", hours[:1], point, Unit.SHARE)),
        ],
    }


def _rows(shown: Chart) -> list[tuple[str, list[str]]]:
    """Each point with its values as words."""
    write: Any = FORMATS[shown.unit]
    return [
        (point, [write(one.values[n]) for one in shown.series])
        for n, point in enumerate(shown.points)
    ]


def _title(shown: Chart, point: str, said: list[str]) -> str:
    """What is told of the point under the mouse."""
    values = (f"{one.name} {value}" for one, value in zip(shown.series, said, strict=True))
    return f"{point}: {', '.join(values)}"
