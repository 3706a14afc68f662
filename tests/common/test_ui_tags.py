"""Template tags, formats and the htmx helper: what they write, without a database."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from django import forms
from django.http import HttpResponse
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory, override_settings
from django.utils import timezone
from django_htmx.middleware import HtmxDetails

from apps.common import formats
from apps.common.htmx import hx_redirect, render_page_or_partial, see_other, toast
from apps.common.templatetags.ui import JSON_SHOWN, STATUS_ICONS

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
NOW = datetime(2026, 11, 22, 14, 5, 11, tzinfo=UTC)


def write(source: str, **context: object) -> str:
    return Template("{% load ui %}" + source).render(Context(context))


# Icons, words, actions


def test_icon_is_inlined_and_hidden_from_assistive_technology() -> None:
    html = write('{% icon "check" "push" %}')
    assert html.startswith("<svg ")
    assert 'class="icon push"' in html
    assert 'aria-hidden="true"' in html
    assert "style=" not in html


def test_icon_that_stands_alone_has_a_name() -> None:
    html = write('{% icon "check" "" "Allowed" %}')
    assert 'role="img" aria-label="Allowed"' in html
    assert "aria-hidden" not in html


def test_badge_escapes_its_text() -> None:
    assert write("{% badge 'ok' text %}", text="<b>") == '<span class="badge ok">&lt;b&gt;</span>'


def test_unknown_tone_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="unknown tone 'green'"):
        write('{% badge "green" "x" %}')


@pytest.mark.parametrize(
    ("state", "css", "word"),
    [
        ("awaiting_approval", "dot warn", "Awaiting approval"),
        ("running", "dot live", "Running"),
        ("never heard of", "dot", "Never heard of"),
    ],
)
def test_status_is_a_dot_and_a_word(state: str, css: str, word: str) -> None:
    html = write("{% status state %}", state=state)
    assert f'<span class="{css}" aria-hidden="true"></span>{word}</span>' in html


@pytest.mark.parametrize(
    ("state", "css", "word"),
    [
        ("succeeded", "badge ok", "Succeeded"),
        ("running", "badge info", "Running"),
        ("timed_out", "badge bad", "Timed out"),
        ("cancelled", "badge", "Cancelled"),
    ],
)
def test_status_badge_has_tone_icon_and_word(state: str, css: str, word: str) -> None:
    html = write("{% status_badge state %}", state=state)
    assert html.startswith(f'<span class="{css}"><svg ') and html.endswith(f"</svg>{word}</span>")


def test_every_status_has_an_icon_that_can_be_drawn() -> None:
    for state in STATUS_ICONS:
        assert "<svg" in write("{% status_badge state %}", state=state)
    assert write("{% status_badge 'odd' %}") == '<span class="badge">Odd</span>'


def test_json_is_indented_and_escaped() -> None:
    html = write(
        "{% json_block value label %}",
        value={"a": "<script>&", "ü": [1.5, None, True]},
        label="Out <put>",
    )
    assert 'role="group" aria-label="Out &lt;put&gt;"' in html and 'tabindex="0"' in html
    assert "<script>" not in html and "&lt;script&gt;&amp;" in html
    text = unescape(re.sub("<[^>]+>", "", html))
    assert json.loads(text) == {"a": "<script>&", "ü": [1.5, None, True]}
    assert text.splitlines()[1].startswith('  "a"') and "style=" not in html


def test_long_json_is_cut_and_says_so() -> None:
    html = write("{% json_block value 'Output' %}", value={"a": "x" * (JSON_SHOWN + 987)})
    text = re.sub("<[^>]+>", "", html)
    assert text.count("x") <= JSON_SHOWN and "1,000 more characters." in text


def test_button_submits_unless_told_otherwise() -> None:
    assert '<button class="btn primary" type="submit">' in write('{% button "Save" "primary" %}')
    assert 'type="button"' in write('{% button "Save" type="button" %}')


def test_link_button_writes_html_names_and_escapes() -> None:
    html = write("{% link_button 'Open' url aria_label=label %}", url='/a?b="', label="Open <x>")
    assert 'href="/a?b=&quot;"' in html
    assert 'aria-label="Open &lt;x&gt;"' in html


def test_banner_holds_its_content_and_one_link() -> None:
    html = write(
        "{% banner 'warn' url='/b/' action='Review' %}<b>82%</b> {{ x }}{% endbanner %}", x="<"
    )
    assert '<div class="text"><b>82%</b> &lt;</div>' in html
    assert html.count("<a ") == 1


def test_empty_state_has_a_heading_of_its_level() -> None:
    assert "<h1>No key</h1>" in write(
        '{% empty_state "box" "No key" level=1 %}{% endempty_state %}'
    )


def test_copy_box_keeps_the_prompt_out_of_the_copied_text() -> None:
    html = write("{% copy_box text 'command' '$' %}", text="curl '<x>'")
    assert (
        '<code tabindex="0" role="group" aria-label="Command">curl &#x27;&lt;x&gt;&#x27;</code>'
        in html
    )
    assert '<span class="prompt" aria-hidden="true">$</span>' in html


def test_fragment_takes_back_what_body_sets_for_boosted_pages() -> None:
    assert write("{% fragment '#results' %}") == (
        'hx-target="#results" hx-select="unset" hx-select-oob="unset" hx-swap="outerHTML"'
    )


# Forms


class SampleForm(forms.Form):
    name = forms.CharField(help_text="As people know it.")
    note = forms.CharField(required=False)
    agree = forms.BooleanField(label="I agree")
    kinds = forms.MultipleChoiceField(choices=[("a", "A")], widget=forms.CheckboxSelectMultiple)
    version = forms.IntegerField(widget=forms.HiddenInput)


@pytest.fixture
def refused() -> SampleForm:
    from apps.common.forms import UiRenderer

    return SampleForm(data={}, renderer=UiRenderer())


def test_refused_field_is_tied_to_its_help_and_error(refused: SampleForm) -> None:
    html = refused["name"].as_field_group()
    assert '<label for="id_name">Name</label>' in html
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'id="id_name_helptext">As people know it.' in html
    assert 'id="id_name_error"' in html


def test_optional_is_marked_and_required_is_not(refused: SampleForm) -> None:
    assert "(optional)" in refused["note"].as_field_group()
    assert "(optional)" not in refused["name"].as_field_group()


def test_one_box_has_its_label_beside_it_and_a_group_a_legend(refused: SampleForm) -> None:
    box, group = refused["agree"].as_field_group(), refused["kinds"].as_field_group()
    assert box.index("<input") < box.index("<label")
    assert "<legend>Kinds</legend>" in group


def test_error_summary_links_each_field_and_shows_hidden_errors(refused: SampleForm) -> None:
    html = str(refused)
    assert "data-error-summary" in html
    assert '<a class="link" href="#id_name">Name</a>: This field is required.' in html
    assert "<p>This field is required.</p>" in html
    assert html.count('<input type="hidden" name="version"') == 1


def test_form_that_was_not_refused_has_no_summary() -> None:
    from apps.common.forms import UiRenderer

    assert "data-error-summary" not in str(SampleForm(renderer=UiRenderer()))


# Formats


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=4), "4 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=4, hours=4, minutes=53), "Nov 18, 09:12"),
        (timedelta(days=365), "Nov 22, 2025"),
        (timedelta(seconds=-20), "in a moment"),
        (timedelta(hours=-3), "in 3 h"),
    ],
)
def test_moment(before: timedelta, words: str) -> None:
    with timezone.override(UTC):
        assert formats.moment(NOW - before, now=NOW) == words


def test_moment_is_written_in_the_active_zone() -> None:
    with timezone.override(timezone.get_fixed_timezone(120)):
        assert formats.moment(NOW - timedelta(days=2), now=NOW) == "Nov 20, 16:05"


def test_when_gives_the_exact_time_in_its_title() -> None:
    html = write("{% when at utc=True %}", at=NOW)
    assert html == (
        '<time datetime="2026-11-22T14:05:11+00:00" title="2026-11-22 14:05:11 UTC">'
        "2026-11-22 14:05:11 UTC</time>"
    )
    assert write("{% when at none='Never' %}", at=None) == '<span class="muted">Never</span>'


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("{{ v|ms }}", 36, "36 ms"),
        ("{{ v|ms }}", 1380, "1.38 s"),
        ("{{ v|ms }}", 59_999, "1 m 00 s"),
        ("{{ v|ms }}", 124_000, "2 m 04 s"),
        ("{{ v|ms }}", 11_100_000, "3 h 05 m"),
        ("{{ v|cents }}", 112_403, "$1,124.03"),
        ("{{ v|cents }}", -50, "−$0.50"),
        ("{{ v|micros }}", 4200, "$0.0042"),
        ("{{ v|micros }}", 84_000, "$0.08"),
        ("{{ v|micros }}", 0, "$0.00"),
        ("{{ v|count }}", 4102, "4,102"),
        ("{{ v|share }}", 0.974, "97.4%"),
        ("{{ v|share }}", 1.0, "100%"),
        ("{{ v|short_hash }}", "sha256:9f2cb71e9f2cb71e", "sha256:9f2c…b71e"),
        ("{{ v|short_hash }}", "short", "short"),
        *(
            (f"{{{{ v|{name} }}}}", None, "—")
            for name in ("ms", "cents", "micros", "count", "share")
        ),
    ],
)
def test_formats(source: str, value: object, words: str) -> None:
    assert write(source, v=value) == words


# htmx


def ask(**headers: str) -> object:
    request = RequestFactory().get(
        "/x/", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    request.htmx = HtmxDetails(request)  # type: ignore[attr-defined]
    return request


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, True),
        ({"HX_Request": "true", "HX_Boosted": "true"}, True),
        ({"HX_Request": "true"}, False),
    ],
)
def test_whole_page_or_partial(headers: dict[str, str], page: bool, tmp_path: Path) -> None:
    part = "{% partialdef part inline %}<p>{{ x }}</p>{% endpartialdef %}"
    (tmp_path / "page.html").write_text(f"{{% load partials %}}<html>{part}</html>")
    with override_settings(TEMPLATES=_templates(tmp_path)):
        response = render_page_or_partial(ask(**headers), "page.html", "part", {"x": 1}, status=422)
    assert response.content.decode() == ("<html><p>1</p></html>" if page else "<p>1</p>")
    assert response.status_code == 422
    assert response["Vary"] == "HX-Request, HX-Boosted"


def _templates(folder: Path) -> list[dict[str, object]]:
    loader = "template_partials.loader.Loader"
    files = ("django.template.loaders.filesystem.Loader", [folder])
    return [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [(loader, [files])],
                "libraries": {"partials": "template_partials.templatetags.partials"},
            },
        }
    ]


def test_redirects_leave_the_shell_only_by_a_full_load() -> None:
    assert see_other("/a/").status_code == 303
    assert hx_redirect(ask(), "http://b.example/").status_code == 303
    answer = hx_redirect(ask(HX_Request="true"), "http://b.example/")
    assert (answer.status_code, answer["HX-Redirect"]) == (200, "http://b.example/")


def test_toast_joins_other_events() -> None:
    response = HttpResponse(headers={"HX-Trigger": '{"budget:changed": {}}'})
    assert json.loads(toast(response, "Saved.", "warn")["HX-Trigger"]) == {
        "budget:changed": {},
        "toast": {"text": "Saved.", "tone": "warn"},
    }


# Every template


FORBIDDEN = re.compile(
    r"""\sstyle=|<style|\son\w+=|hx-on|["']js:|javascript:|hx-trigger="[^"]*\[(?!name=)|<script(?![^>]*(?:\ssrc=|\stype="application/json"))"""
)
"""A script of type application/json is a block of data, which no browser runs (HTML §4.12.1)."""


def test_no_template_needs_what_the_policy_forbids() -> None:
    pages = sorted(TEMPLATES.rglob("*.html"))
    assert len(pages) > 50
    assert [p.name for p in pages if FORBIDDEN.search(p.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        '<p style="x">',
        "<style>",
        '<a onclick="x">',
        "<script>x</script>",
        '<script type="module">x',
        '<a hx-vals="js:x">',
    ],
)
def test_the_check_finds_what_the_policy_forbids(text: str) -> None:
    assert FORBIDDEN.search(text)


def test_no_template_shows_its_own_source() -> None:
    """Django reads a tag, a variable and a short comment within one line only, or prints them."""
    texts = {page.name: page.read_text() for page in TEMPLATES.rglob("*.*")}
    assert [name for name, text in texts.items() if OPENED.search(WHOLE.sub("", text))] == []
    assert OPENED.search(WHOLE.sub("", "{{ a }}{# begins\nends #}"))


WHOLE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}")
OPENED = re.compile(r"\{%|\{\{|\{#")
