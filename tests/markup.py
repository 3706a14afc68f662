"""What stands in a page: its elements, each with its attributes and what it stands within."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qs, urljoin, urlsplit

VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)


@dataclass(frozen=True)
class Element:
    """One element; `within` are its ancestors, the outermost first."""

    tag: str
    attributes: dict[str, str]
    within: tuple[Element, ...]

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def stands_in(self, tag: str) -> bool:
        return any(around.tag == tag for around in self.within)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.found.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at].tag == tag:
                del self._open[at:]
                return


def elements(html: str) -> list[Element]:
    """All elements of a document or a part of one, in their order."""
    reader = _Reader()
    reader.feed(html)
    return reader.found


def addresses(html: str, *, base: str) -> list[str]:
    """Where the links of a page lead on its own host, each once, without their fragments."""
    found = {}
    for element in elements(html):
        href = element.get("href") if element.tag == "a" else None
        url = urlsplit(urljoin(base, href or "#"))
        if href and url.netloc == urlsplit(base).netloc:
            found[url._replace(fragment="").geturl()] = None
    return list(found)


PLACES: Final = ("href", "action", "formaction", "hx-get", "hx-post", "sse-connect")
# What isn't narrowed to a project: sign-out, files, the apex, the API, the whole installation.
FREE: Final = ("/logout", "/static/", "/account/", "/v1/", "/status/", "/.well-known/")
SWITCHES: Final = {"menu-project", "palette-list"}
"""Lists of links that lead to other projects on purpose."""


def forgotten(html: str, project: str, *, base: str) -> Iterator[tuple[str, str]]:
    """The addresses of a page of this host that lose the selected project: (element, address)."""
    found = elements(html)
    for element in found:
        if SWITCHES & {around.get("id") for around in element.within}:
            continue
        for place in PLACES:
            address = element.get(place)
            if address and not _carries(element, found, urljoin(base, address), project):
                yield f"{element.tag} {place}", address


def _within(inner: Element, outer: Element) -> bool:
    return any(around is outer for around in inner.within)


def _carries(element: Element, found: list[Element], address: str, project: str) -> bool:
    parts = urlsplit(address)
    is_elsewhere = parts.scheme.startswith("http") or parts.path.startswith(FREE)
    if is_elsewhere or parse_qs(parts.query).get("project") == [project]:
        return True
    if element.get("hx-include") == "#chosen-project":
        return True
    if element.tag != "form" or (element.get("method") or "get") != "get":
        return False
    fields = (field for field in found if field.tag == "input" and _within(field, element))
    return any((f.get("name"), f.get("value")) == ("project", project) for f in fields)
