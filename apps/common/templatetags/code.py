"""Code to read: in colour, and what changed between two versions of it."""

from __future__ import annotations

import json
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import JsonLexer, RegoLexer

from apps.common.diff import compare

register = template.Library()

LEXERS: Final[dict[str, Lexer]] = {
    "json": JsonLexer(stripnl=False, ensurenl=False),
    "rego": RegoLexer(stripnl=False, ensurenl=False),
}
_HTML: Final = HtmlFormatter(nowrap=True, classprefix="hl-")


@register.simple_tag
def code_block(text: str, language: str, label: str) -> SafeString:
    """Code to read, in colour, in a box of its own that scrolls; `label` names it."""
    if language not in LEXERS:
        known = sorted(LEXERS)
        raise template.TemplateSyntaxError(f"unknown language {language!r}: one of {known}")
    return format_html(
        '<pre class="code block" tabindex="0" role="group" aria-label="{}">{}</pre>',
        label,
        mark_safe(highlight(text, LEXERS[language], _HTML)),  # noqa: S308  Pygments escapes it
    )


@register.inclusion_tag("ui/diff.html")
def diff(old: str, new: str, old_label: str, new_label: str, label: str) -> dict[str, Any]:
    """Two versions side by side, one below the other where it is narrow.

    The labels say what each side is ("Version 3"), and `label` what is compared.
    """
    return {
        "diff": compare(old, new),
        "old_label": old_label,
        "new_label": new_label,
        "label": label,
    }


@register.filter
def as_json(value: Any) -> str:
    """A value as the text that people read and compare: indented, a member a line."""
    return json.dumps(value, indent=2, ensure_ascii=False)
