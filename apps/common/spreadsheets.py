"""Cells for files that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any, Final

_SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""What a formula begins with; the last four are the same in full width, as some countries type."""
FORMULA: Final = re.compile(rf"\A(?=[{_SIGNS}\t\r\n])|(?<=[;\t\r\n])(?= *[{_SIGNS}])")
"""Where a cell with a formula begins: also behind what separates cells in other countries."""


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as CSV (RFC 4180) in UTF-8; no cell is one that a spreadsheet takes for a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([safe_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def safe_cell(cell: Any) -> str:
    """A cell that no spreadsheet takes for a formula (CWE-1236)."""
    return FORMULA.sub("'", "" if cell is None else str(cell))
