"""Policies to begin with, as they come with the product: each with its title, purpose and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from apps.common.errors import NotFound

FOLDER: Final = Path(__file__).parents[1] / "library"
STARTER: Final = "starter"
_TESTS: Final = "_test"


@dataclass(frozen=True, slots=True)
class Template:
    """A policy's text and its tests, under the name of its file."""

    slug: str
    title: str
    purpose: str
    rego_text: str
    tests: str


@cache
def list_templates() -> Sequence[Template]:
    """All there are, the starter first."""
    files = [path for path in FOLDER.glob("*.rego") if not path.stem.endswith(_TESTS)]
    found = [_read(path) for path in files]
    return tuple(sorted(found, key=lambda one: (one.slug != STARTER, one.title)))


def get_template(slug: str) -> Template:
    """One of them; raises NotFound."""
    found = next((one for one in list_templates() if one.slug == slug), None)
    if found is None:
        raise NotFound("There is no such template.")
    return found


def _read(path: Path) -> Template:
    text = path.read_text(encoding="utf-8")
    tests = path.with_name(f"{path.stem}{_TESTS}.rego")
    return Template(
        slug=path.stem,
        title=_header(text, "title") or path.stem,
        purpose=_header(text, "purpose"),
        rego_text=text,
        tests=tests.read_text(encoding="utf-8") if tests.exists() else "",
    )


def _header(text: str, name: str) -> str:
    """What a comment among the first lines says: `# title: …`."""
    mark = f"# {name}:"
    lines = (line for line in text.splitlines()[:5] if line.startswith(mark))
    return next(lines, mark).removeprefix(mark).strip()
