"""The colour tokens: every text on every ground it may stand on, in both themes (WCAG 2.2)."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

SHEET = (Path(__file__).resolve().parents[2] / "static/ui/ui.css").read_text()
TOKENS = re.search(r"^@layer tokens \{$.*?^\}$", SHEET, re.DOTALL | re.MULTILINE)[0]  # type: ignore[index]
THEMES = {"light": 0, "dark": 1}

GROUNDS = ("bg", "sidebar", "surface", "raised", "sunken", "hover", "active")
PLAIN_TEXT = [
    *product(("text", "muted"), GROUNDS),
    *product(("faint",), ("bg", "sidebar", "surface", "raised", "sunken")),
    *product(("accent",), ("bg", "surface", "raised", "sunken", "accent-soft")),
]
TONED_TEXT = [
    (tone, ground)
    for tone in ("ok", "warn", "bad", "info", "violet")
    for ground in (f"{tone}-soft", "bg", "surface", "raised", "sunken")
]
ON_TONES = [("text", f"{tone}-soft") for tone in ("ok", "warn", "bad", "accent")]
SOLID = [("on-ink", "ink"), ("on-accent", "accent-solid"), ("muted", "ok-soft")]
TEXT_PAIRS = [*PLAIN_TEXT, *TONED_TEXT, *ON_TONES, *SOLID]

# What is not text but must be seen: outlines of controls, dots, bars, the focus ring.
SHAPE_PAIRS = list(
    product(
        (
            "control",
            "ok-dot",
            "warn-dot",
            "bad-dot",
            "accent",
            "c1",
            "c2",
            "c3",
            "c4",
            "c5",
            "c6",
            "c7",
        ),
        ("bg", "surface", "sunken"),
    )
)


def test_contrast_formula_knows_its_two_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_a_contrast_of_4_5(theme: str) -> None:
    assert too_faint(TEXT_PAIRS, theme, least=4.5) == []


@pytest.mark.parametrize("theme", THEMES)
def test_shapes_have_a_contrast_of_3(theme: str) -> None:
    assert too_faint(SHAPE_PAIRS, theme, least=3.0) == []


def test_the_check_finds_a_pair_that_is_too_faint() -> None:
    assert too_faint([("line", "bg")], "light", least=3.0) == ["line on bg: 1.19"]


def test_colours_stand_in_tokens_only() -> None:
    """A colour written elsewhere escapes both themes and this test.

    Exempt: white on the gradient of a tile, the gradient, QR codes (white in both themes, or no
    phone reads them) and what dims a page.
    """
    found = re.findall(r"#[0-9a-f]{3,8}\b(?=[;, )])", SHEET.replace(TOKENS, ""))
    assert sorted(set(found)) == ["#2c3a8f", "#5a72f0", "#ffffff"]
    assert contrast("#ffffff", "#2c3a8f") >= 4.5


def test_every_token_that_is_used_is_defined() -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", SHEET))
    assert used - set(re.findall(r"--([\w-]+):", SHEET)) == set()


def too_faint(pairs: list[tuple[str, str]], theme: str, *, least: float) -> list[str]:
    tokens = read_tokens(theme)
    ratios = {pair: contrast(tokens[pair[0]], tokens[pair[1]]) for pair in pairs}
    return [f"{a} on {b}: {ratio:.2f}" for (a, b), ratio in ratios.items() if ratio < least]


def read_tokens(theme: str) -> dict[str, str]:
    pattern = r"--([\w-]+):\s*(?:light-dark\((#\w{6}), (#\w{6})\)|(#\w{6}));"
    found = re.findall(pattern, TOKENS)
    return {name: both or (light, dark)[THEMES[theme]] for name, light, dark, both in found}


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, "contrast ratio"."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_layer_is_opened_at_the_top_and_closed() -> None:
    """A brace that is missing would put all that follows into the rule before it."""
    depth, wrong = 0, []
    for line in re.sub(r"/\*.*?\*/", "", SHEET, flags=re.DOTALL).splitlines():
        if line.startswith("@layer") and depth:
            wrong.append(line)
        depth += line.count("{") - line.count("}")
    assert (wrong, depth) == ([], 0)
