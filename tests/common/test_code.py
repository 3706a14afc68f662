"""Code on pages: how it is coloured, how a change of it is shown, and the editor it is typed in."""

from __future__ import annotations

import pytest
from django import forms
from django.template import Context, Template, TemplateSyntaxError

from apps.common.forms import CodeInput, JsonObjectField


def write(source: str, **context: object) -> str:
    return Template("{% load code %}" + source).render(Context(context))


class InputForm(forms.Form):
    input = JsonObjectField(label="Input", rows=4, otherwise="Give an object.")


def test_rego_is_coloured_and_escaped() -> None:
    html = write('{% code_block text "rego" "A rule" %}', text='allow if input.x == "<b>"')
    assert 'aria-label="A rule"' in html and 'tabindex="0"' in html
    assert '<span class="hl-k">if</span>' in html
    assert "&lt;b&gt;" in html and "<b>" not in html and "style=" not in html


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="unknown language 'cobol': one of"):
        write('{% code_block "x" "cobol" "Code" %}')


def test_a_change_is_told_in_words_and_marked() -> None:
    html = write('{% diff "a: 1" "a: <2>" "Before" "After" "Changes" %}')
    assert 'role="region" aria-label="Changes" tabindex="0"' in html
    assert "<span>Before</span><span>After</span>" in html
    assert "Taken out: " in html and "Put in: " in html
    assert "<del>1</del>" in html and "<ins>&lt;2&gt;</ins>" in html


def test_a_line_that_stayed_is_read_out_once() -> None:
    html = write('{% diff "a" "a" "Before" "After" "Changes" %}')
    assert html.count('aria-hidden="true">a</span>') == 1 and "Taken out" not in html


def test_long_sameness_is_folded_and_still_there() -> None:
    old = "\n".join(f"line {n}" for n in range(20))
    html = write("{% diff old new 'Before' 'After' 'Changes' %}", old=old, new=old + "\nmore")
    assert "17 lines are the same" in html and "<details" in html and "line 3" in html


def test_as_json_is_what_people_read() -> None:
    assert write("{{ value|as_json|safe }}", value={"ä": [1]}) == '{\n  "ä": [\n    1\n  ]\n}'


def test_an_editor_is_a_text_area_without_scripts() -> None:
    html = str(InputForm(initial={"input": {"a": "<b>"}})["input"])
    assert '<div class="editor" data-editor="json">' in html
    assert '<textarea name="input"' in html and 'rows="4"' in html
    assert "&lt;b&gt;" in html and "data-error-line" not in html
    assert 'data-editor="rego"' in CodeInput(language="rego").render("rule", "")


@pytest.mark.parametrize(
    ("text", "line"), [('{\n  "a": ,\n}', 2), ('{"a": 1', 1), ("[1]", None), ('{"a": NaN}', None)]
)
def test_a_refusal_names_its_line(text: str, line: int | None) -> None:
    form = InputForm({"input": text})
    assert not form.is_valid()
    html = str(form["input"])
    assert ("data-error-line" in html) is (line is not None)
    if line:
        assert f'data-error-line="{line}"' in html
        assert f"at line {line}" in form.errors["input"][0]


def test_what_is_right_marks_no_line() -> None:
    form = InputForm({"input": '{"a": 1}'})
    assert form.is_valid() and form.cleaned_data["input"] == {"a": 1}
    assert "data-error-line" not in str(form["input"])
