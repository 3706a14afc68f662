"""Charts as they stand in a page: one image, one sentence, and every value in a table."""

from __future__ import annotations

import re

from django.template import Context, Template

from apps.common.charts import Chart, Limit, Series, Unit

LATENCY = Chart(
    "latency",
    "Duration: <p50> 1.20 s.",
    ["Nov 24, 10:00", "Nov 24, 11:00", "Nov 24, 12:00", "Nov 24, 13:00"],
    [Series("p50", [1200, None, 36, 40], "c1", "area"), Series("p95", [2000, None, 80, 90], "c2")],
    Unit.DURATION,
    limit=Limit("target", 1500),
)


def write(source: str, **context: object) -> str:
    return Template("{% load charts %}" + source).render(Context(context))


def test_a_chart_is_one_image_with_one_sentence() -> None:
    html = write("{% chart chart %}", chart=LATENCY)

    assert html.count('role="img"') == 1
    assert 'aria-label="Duration: &lt;p50&gt; 1.20 s."' in html
    assert html.count('aria-hidden="true"') == 1
    assert "style=" not in html and "<style" not in html


def test_every_value_stands_in_the_table() -> None:
    html = write("{% chart chart %}", chart=LATENCY)

    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    cells = {point: re.findall(r">([^<]+)</td>", row) for point, row in rows}
    assert cells == {
        "Nov 24, 10:00": ["1.20 s", "2.00 s"],
        "Nov 24, 11:00": ["—", "—"],
        "Nov 24, 12:00": ["36 ms", "80 ms"],
        "Nov 24, 13:00": ["40 ms", "90 ms"],
    }
    assert 'tabindex="0" role="region"' in html
    assert "Nov 24, 12:00: p50 36 ms, p95 80 ms" in html


def test_an_area_is_filled_by_a_gradient_of_its_own() -> None:
    html = write("{% chart chart %}", chart=LATENCY)
    assert html.count("<linearGradient") == 1
    assert 'id="latency-c1"' in html and 'fill="url(#latency-c1)"' in html
    assert html.count("chart-dot") == len(re.findall(r'class="chart-line c\d"', html)) == 2
    assert 'class="chart-limit"' in html


def test_numbers_are_written_for_svg_in_every_language() -> None:
    html = write(
        "{% load l10n %}{% localize on %}{% chart chart %}{% endlocalize %}", chart=LATENCY
    )
    assert not re.search(r'(?:y1|x|width)="\d+,\d', html)


def test_the_legend_names_each_series_and_the_limit() -> None:
    html = write("{% chart_legend chart %}", chart=LATENCY)
    assert re.findall(r"</svg>(\w+)</li>", html) == ["p50", "p95", "target"]
    assert 'aria-hidden="true"' in html


def test_a_sparkline_is_decoration() -> None:
    html = write('{% sparkline "runs" values "c2" %}', values=[1, None, 3])
    assert html.count("<svg") == 1 and 'class="spark" aria-hidden="true"' in html
    assert 'id="runs-fill"' in html
    assert "<svg" not in write('{% sparkline "runs" values %}', values=[])
