"""Whether anything changed since the database was last brought to the code's version.

Setting up costs seconds of imports even when there is nothing to do. The same code over the same
embedded cluster needs none, so a start remembers what it set up: every source file of the
product, its locked packages and its settings module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("apps", "config")
FILES = ("manage.py", "requirements/base.txt")


def of_code(root: Path, *extra: str) -> str:
    """A digest over names and contents; `extra` is what else the result depends on."""
    digest = hashlib.sha256()
    for path in sorted(_sources(root)):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update("\0".join(extra).encode())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (root / folder).rglob("*") if path.suffix in {".py", ".sql"})
    yield from (root / name for name in FILES if (root / name).exists())
