"""The parts that pages are made of: icons, badges, buttons, banners, copy boxes, times, fields.

Shared looks live here and in `templates/ui/`, so that a page says what a thing is and never how
it looks. What a tag takes is escaped; a tone is always given with a word.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import lucide
from django import template
from django.contrib.messages.storage.base import Message
from django.forms import BaseForm
from django.forms.utils import flatatt
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import JsonLexer

from apps.common import formats, links
from apps.common.text import initials as letters_of

register = template.Library()

TONES: Final = frozenset({"", "ok", "warn", "bad", "info", "violet", "accent", "line"})
KINDS: Final = frozenset({"", "primary", "danger", "ghost"})

# What a status is called decides its dot; an unknown word gets the neutral one.
STATUS_TONES: Final = {
    "active": "ok",
    "succeeded": "ok",
    "verified": "ok",
    "accepted": "ok",
    "running": "live",
    "provisioning": "live",
    "queued": "info",
    "next": "info",
    "pending": "warn",
    "awaiting_approval": "warn",
    "expiring": "warn",
    "closing": "warn",
    "suspended": "bad",
    "lapsed": "bad",
    "failed": "bad",
    "denied": "bad",
    "timed_out": "bad",
}

# The icon that stands in a status's badge; an unknown word gets none.
STATUS_ICONS: Final = {
    "active": "circle-check",
    "succeeded": "circle-check",
    "running": "loader",
    "queued": "clock",
    "awaiting_approval": "hourglass",
    "draft": "pencil",
    "suspended": "circle-pause",
    "failed": "circle-x",
    "denied": "ban",
    "cancelled": "circle-slash",
    "timed_out": "timer-off",
    "retired": "archive",
    "verified": "circle-check",
    "pending": "clock",
    "lapsed": "circle-x",
    "revoked": "ban",
    "discarded": "circle-slash",
}
BADGE_TONES: Final = {"live": "info"}

JSON_SHOWN: Final = 20_000
"""Characters of a JSON value that a page shows; the rest is for programs."""

BANNER_ICONS: Final = {
    "ok": "circle-check",
    "info": "info",
    "warn": "triangle-alert",
    "bad": "octagon-alert",
}

MESSAGE_TONES: Final = {"success": "ok", "warning": "warn", "error": "bad"}


# Icons ----------------------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, css: str = "", label: str = "") -> SafeString:
    """Inline a Lucide icon: hidden from assistive technology, unless it stands alone (`label`)."""
    return _icon(str(name), str(css), str(label))


@lru_cache(maxsize=512)
def _icon(name: str, css: str, label: str) -> SafeString:
    # Arguments are plain `str` here: ElementTree escapes them itself.
    described = {"role": "img", "aria-label": label} if label else {"aria-hidden": "true"}
    attributes = {"class": f"icon {css}".strip(), **described}
    return mark_safe(lucide._render_icon(name, 16, **attributes))  # noqa: S308  the package's own


# Words with a tone ----------------------------------------------------------------------------


@register.simple_tag
def badge(tone: str, text: str, icon_name: str = "") -> SafeString:
    """A short fact about the thing beside it. Raises TemplateSyntaxError for an unknown tone."""
    _require(tone, TONES, "tone")
    mark = icon(icon_name) if icon_name else ""
    return format_html('<span class="{}">{}{}</span>', _classes("badge", tone), mark, text)


@register.simple_tag
def status(state: str, label: str = "") -> SafeString:
    """A dot and the word for a state: `{% status "awaiting_approval" %}` → Awaiting approval."""
    tone = STATUS_TONES.get(str(state), "")
    return format_html(
        '<span class="status"><span class="{}" aria-hidden="true"></span>{}</span>',
        _classes("dot", tone),
        label or _word(state),
    )


def _word(state: str) -> str:
    return str(state).replace("_", " ").capitalize()


@register.simple_tag
def status_badge(state: str, label: str = "") -> SafeString:
    """A state as the badge beside a heading, with its icon."""
    tone = STATUS_TONES.get(str(state), "")
    return badge(
        BADGE_TONES.get(tone, tone), label or _word(state), STATUS_ICONS.get(str(state), "")
    )


@register.filter
def message_tone(message: Message) -> str:
    """The tone of one of Django's messages, by its level."""
    return MESSAGE_TONES.get(message.level_tag, "info")


@register.simple_tag
def banner_icon(tone: str) -> SafeString:
    return icon(BANNER_ICONS[tone])


# Actions --------------------------------------------------------------------------------------


@register.simple_tag
def button(
    label: str, kind: str = "", icon_name: str = "", size: str = "", **attrs: Any
) -> SafeString:
    """A button that submits its form unless `type` says otherwise; `aria_label` → aria-label."""
    attributes = {"type": "submit", "class": _button_classes(kind, size), **_html_names(attrs)}
    spinner = icon("loader-circle", "spinner") if attributes["type"] == "submit" else ""
    return format_html(
        "<button{}>{}{}{}</button>", flatatt(attributes), spinner, _mark(icon_name), label
    )


@register.simple_tag
def link_button(
    label: str, url: str, kind: str = "", icon_name: str = "", size: str = "", **attrs: Any
) -> SafeString:
    """A link that looks like a button: it goes somewhere and changes nothing."""
    attributes = {"href": url, "class": _button_classes(kind, size), **_html_names(attrs)}
    return format_html("<a{}>{}{}</a>", flatatt(attributes), _mark(icon_name), label)


@register.simple_tag(takes_context=True)
def menu_link(context: template.Context, label: str, url: str) -> SafeString:
    """A quiet link of a menu that says when it leads to the page being shown."""
    path = getattr(context.get("request"), "path", None)
    current = {"aria-current": "page"} if path == url else {}
    return format_html(
        "<a{}>{}</a>", flatatt({"class": "btn ghost", "href": url, **current}), label
    )


@register.simple_tag(takes_context=True)
def tab_link(context: template.Context, label: str, url: str) -> SafeString:
    """One of the tabs above a page, marked where it is the page being shown."""
    path = getattr(context.get("request"), "path", None)
    return format_html(
        "<a{}>{}</a>",
        flatatt({"href": url, **({"aria-current": "page"} if path == url else {})}),
        label,
    )


def _button_classes(kind: str, size: str) -> str:
    _require(kind, KINDS, "kind")
    return _classes("btn", kind, size)


def _mark(icon_name: str) -> SafeString:
    return icon(icon_name) if icon_name else SafeString("")


# Blocks ---------------------------------------------------------------------------------------


@register.simple_block_tag
def banner(content: SafeString, tone: str = "warn", url: str = "", action: str = "") -> SafeString:
    """The one thing a page must say first: figure, consequence, date and at most one link."""
    _require(tone, frozenset(BANNER_ICONS), "tone")
    link = link_button(action, url, size="sm") if url else ""
    return format_html(
        '<div class="banner {}" role="note">{}<div class="text">{}</div>{}</div>',
        tone,
        icon(BANNER_ICONS[tone]),
        content,
        link,
    )


@register.simple_block_tag
def empty_state(
    content: SafeString, icon_name: str, title: str, tone: str = "", level: int = 2
) -> SafeString:
    """An empty place: what it is and why it is worth having; the content adds text and actions."""
    return format_html(
        '<div class="empty"><span class="{}">{}</span><h{level}>{}</h{level}>{}</div>',
        _classes("mark", tone),
        icon(icon_name),
        title,
        content,
        level=level,
    )


@register.simple_tag
def copy_box(text: str, label: str, prompt: str = "", wraps: bool = False) -> SafeString:
    """Text to take away, with a button that copies it; `label` says what it is ("command").

    The prompt cannot be selected, so that a pasted command runs.
    """
    return format_html(
        '<div class="{}">{}<code tabindex="0" role="group" aria-label="{}">{}</code>'
        '<button type="button" class="btn ghost square sm needs-js" data-copy=""'
        ' aria-label="Copy {}">{}</button></div>',
        _classes("copy", "wraps" if wraps else ""),
        format_html('<span class="prompt" aria-hidden="true">{}</span>', prompt) if prompt else "",
        label[:1].upper() + label[1:],
        text,
        label,
        icon("copy"),
    )


@register.simple_tag
def json_block(value: Any, label: str) -> SafeString:
    """JSON to read: indented, coloured, in a box of its own that scrolls; cut if it is long."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    note = ""
    if (left := len(text) - JSON_SHOWN) > 0:
        text = text[:JSON_SHOWN]
        note = format_html(
            '<p class="code-note">{} more characters. The API gives all of it.</p>',
            formats.count(left),
        )
    return format_html(
        '<pre class="code block" tabindex="0" role="group" aria-label="{}">{}</pre>{}',
        label,
        mark_safe(highlight(text, _JSON, _HTML)),  # noqa: S308  Pygments escapes the text
        note,
    )


_JSON: Final = JsonLexer(stripnl=False, ensurenl=False)
_HTML: Final = HtmlFormatter(nowrap=True, classprefix="hl-")


# Links ----------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def page_url(context: template.Context, name: str, *args: Any, **query: str) -> str:
    """The address of a page, with the selected project: `{% page_url "runs:run" id as url %}`."""
    return links.link(context["request"], name, *args, **query)


@register.simple_tag(takes_context=True)
def sort_head(
    context: template.Context, name: str, label: str, css: str = "", presumed: str = ""
) -> SafeString:
    """The head of a column that a list can be sorted by: `?sort=name`, then `?sort=-name`.

    `presumed` is the order of the list where the address says none.
    """
    query = context["request"].GET
    here = query.get("sort") or presumed
    order = {name: "ascending", f"-{name}": "descending"}.get(here, "none")
    kept = {key: said for key, said in query.items() if key not in ("before", "after", "seen")}
    url = links.with_query("", {**kept, "sort": f"-{name}" if here == name else name})
    mark = {"ascending": "arrow-up", "descending": "arrow-down"}.get(order, "")
    return format_html(
        '<th scope="col"{} aria-sort="{}"><a href="{}">{}{}</a></th>',
        flatatt({"class": css} if css else {}),
        order,
        url,
        label,
        icon(mark, "sm in-cell") if mark else "",
    )


# Forms ----------------------------------------------------------------------------------------


@register.inclusion_tag("ui/form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """The summary above a form that was refused: each error linked to its field."""
    return {
        "form": form,
        "fields": [field for field in form if field.errors and not field.is_hidden],
        "general": [*form.non_field_errors(), *_hidden_errors(form)],
    }


def _hidden_errors(form: BaseForm) -> list[str]:
    return [str(error) for field in form.hidden_fields() for error in field.errors]


@register.filter
def is_check(field: Any) -> bool:
    """Tell whether a field is one box, whose label stands beside it and not above."""
    return getattr(field.field.widget, "input_type", "") == "checkbox" and not field.use_fieldset


# htmx -----------------------------------------------------------------------------------------


@register.simple_tag
def fragment(target: str, swap: str = "outerHTML") -> SafeString:
    """Attributes of an element whose answer is a fragment for `target`.

    `<body>` sets defaults for boosted pages and htmx inherits them; here, and only here, they
    are taken back, so that the answer is swapped as it comes.
    """
    return format_html(
        'hx-target="{}" hx-select="unset" hx-select-oob="unset" hx-swap="{}"', target, swap
    )


# Formats --------------------------------------------------------------------------------------


@register.simple_tag
def when(value: datetime | None, utc: bool = False, none: str = formats.NONE) -> SafeString:
    """A `<time>`: relative within a day, the full UTC time in its title; `utc` for logs."""
    if value is None:
        return format_html('<span class="muted">{}</span>', none)
    exact = formats.moment_utc(value)
    shown = exact if utc else formats.moment(value, now=timezone.now())
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), exact, shown)


@register.filter
def cents(value: int | None) -> str:
    return formats.dollars_of_cents(value)


@register.filter
def micros(value: int | None) -> str:
    return formats.dollars_of_micros(value)


@register.filter
def ms(value: float | None) -> str:
    return formats.duration(value)


@register.filter
def count(value: int | None) -> str:
    return formats.count(value)


@register.filter
def share(value: float | None) -> str:
    return formats.percent(value)


@register.filter
def short_hash(value: str) -> str:
    return formats.short_hash(value)


@register.filter
def initial(name: str) -> str:
    """The letter on an organization's tile."""
    return str(name).strip()[:1].upper() or "·"


@register.filter
def initials(name: str) -> str:
    """The letters that stand for a person, in the shell and in lists."""
    return letters_of(str(name))


# Small helpers --------------------------------------------------------------------------------


def _classes(*names: str) -> str:
    return " ".join(name for name in names if name)


def _html_names(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}


def _require(value: str, known: frozenset[str], what: str) -> None:
    if value not in known:
        raise template.TemplateSyntaxError(f"unknown {what} {value!r}: one of {sorted(known)}")
