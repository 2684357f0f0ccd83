"""What CI systems put around the lines of a log: colours, times of day, carriage returns.

In: a line. Out: the line as the build's client wrote it, and the time in front of it.
"""

from __future__ import annotations

import re

from sim.inputs.status import as_ns

_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# GitHub: `2024-05-01T10:00:00.1234567Z text`; GitLab adds ` 00O `, Jenkins brackets the time.
_TIME = re.compile(
    r"\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?\]?(?: \d\d[OE][+ ]?)?[ \t]?"
)


def clean(line: str) -> tuple[str, int | None]:
    """The line without colours, and its time in ns since 1970 where one stands in front; without zone it is UTC."""
    text = line.rstrip("\r\n")
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    text = text.rpartition("\r")[2]  # what a terminal shows of a line drawn again
    found = _TIME.match(text) if text[:1] in "[0123456789" else None
    if found is None:
        return text, None
    day, clock, part, zone = found.groups()
    zone = "Z" if zone is None or zone == "Z" else f"{zone[:3]}:{zone[-2:]}"
    try:
        at_ns = as_ns(f"{day}T{clock}{'.' + part if part else ''}{zone}")
    except (ValueError, OverflowError):
        return text, None
    return text[found.end() :], at_ns
