"""Cells of a trace's tables as what they are.

In: rows, values of a trace. Out: dicts by column, numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from sim.trace import COLUMNS, Cell, Json, Trace

LOADS = re.compile(r"\bload (build definition|metadata|\.dockerignore)")
"""What every build loads before its graph is known (buildkit-semantics 5)."""


def named(trace: Trace, kind: Literal["builds", "steps"]) -> list[dict[str, Cell]]:
    """The rows of a table, each by column."""
    return [dict(zip(COLUMNS[kind], row, strict=True)) for row in trace.table(kind).rows()]


def mapping(value: Json) -> Mapping[str, Json]:
    """A JSON object; of anything else none."""
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float:
    """A number of a cell that holds one."""
    return float(value)  # type: ignore[arg-type]


def whole(value: object) -> int:
    """A whole number of a cell that holds one."""
    return int(value)  # type: ignore[call-overload, no-any-return]
