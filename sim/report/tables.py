"""Plain aligned tables for a terminal, and the same as Markdown.

In: a header and rows of text. Out: lines. A column of numbers is set flush right.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# A cell that starts like a quantity: `12`, `-3.4 s`, `$0.12`, `+5 %`; and what stands for a missing one.
_QUANTITY = re.compile(r"\[?[-+]?\$?[-+]?\d|n/a$|-$|never$|$")
_GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The header, then one line a row; no line ends in blanks."""
    cells = [list(header), *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(width(row[at]) for row in cells) for at in range(len(header))]
    right = _right(len(header), cells[1:])
    return [
        _GAP.join(_padded(cell, wide, flush) for cell, wide, flush in zip(row, widths, right, strict=True)).rstrip()
        for row in cells
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as a Markdown table."""
    right = _right(len(header), rows)
    lines = [list(header), ["---:" if flush else "---" for flush in right], *(list(map(_escaped, row)) for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in lines]


def width(text: str) -> int:
    """Columns that a text takes in a terminal: wide East Asian letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int) -> str:
    """One line of at most so many columns."""
    flat = _one_line(text)
    if width(flat) <= columns:
        return flat
    while width(flat) > columns - 1:
        flat = flat[:-1]
    return flat + "…"


def _right(columns: int, rows: Sequence[Sequence[str]]) -> list[bool]:
    return [all(_QUANTITY.match(row[at]) for row in rows) for at in range(columns)]


def _padded(cell: str, wide: int, flush_right: bool) -> str:
    blanks = " " * (wide - width(cell))
    return blanks + cell if flush_right else cell + blanks


def _one_line(text: str) -> str:
    """Names come from users' files: no line breaks and no control characters reach a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _escaped(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
