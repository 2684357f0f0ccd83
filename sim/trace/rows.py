"""Rows of a table while they come, kept as columns: a row of 22 Python values takes 600 bytes, as columns 170.

In: tuples in column order. Out: a `Table`, as `Table.from_rows` would make of all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan
from struct import error as StructError
from struct import pack
from typing import Any, Literal

import numpy as np

from sim.trace.table import COLUMNS, KEY, LISTS, TEXTS, Cell, Codes, Kind, Numbers, Table, Words

CHUNK = 4096
# By (is a column of words, is the key).
_DTYPES = {(True, False): np.int32, (False, True): np.int64, (False, False): np.float64}


class Rows:
    """`append` rows, then ask for the `table` once."""

    __slots__ = ("_codes", "_columns", "_kind", "_labels", "_rows")

    def __init__(self, kind: Kind) -> None:
        names = COLUMNS[kind]
        self._kind: Kind = kind
        self._rows: list[Sequence[Cell]] = []
        # Arrays grow in place, so that no second copy of the table is ever there.
        self._columns = {name: array("i" if name in TEXTS | LISTS else "q" if name == KEY else "d") for name in names}
        self._codes: dict[str, dict[object, int]] = {name: {None: -1} for name in names if name in TEXTS | LISTS}
        self._labels: dict[str, dict[str | tuple[str, ...], int]] = {name: {} for name in self._codes}

    def append(self, row: Sequence[Cell]) -> None:
        """One more row. A number that is nan, not None, where it is unknown saves a second look."""
        self._rows.append(row)
        if len(self._rows) >= CHUNK:
            self._pack()

    def table(self) -> Table:
        """All rows. Nothing is kept here afterwards."""
        self._pack()
        found: dict[str, Numbers | Codes | Words] = {}
        for name in COLUMNS[self._kind]:
            column: Any = np.frombuffer(self._columns.pop(name), dtype=_DTYPES[name in self._codes, name == KEY])
            found[name] = Words(column, tuple(self._labels[name])) if name in self._codes else column
        return Table(self._kind, found)

    def _pack(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        for name, values in zip(COLUMNS[self._kind], zip(*rows, strict=True), strict=True):
            code_of = self._codes.get(name)
            if code_of is None:
                self._columns[name].frombytes(_numbers("q" if name == KEY else "d", values))
                continue
            try:
                self._columns[name].frombytes(pack(f"{len(values)}i", *map(code_of.get, values)))
            except StructError:  # there is a new word
                labels = self._labels[name]
                for value in dict.fromkeys(values):
                    if value not in code_of:
                        label = str(value) if name in TEXTS else tuple(map(str, value))
                        code_of[value] = labels.setdefault(label, len(labels))
                self._columns[name].extend(map(code_of.__getitem__, values))


def _numbers(typecode: Literal["q", "d"], values: Sequence[Any]) -> bytes:
    """A column of numbers from its values: packed, for `array` asks what each one is."""
    try:
        return pack(f"{len(values)}{typecode}", *values)
    except StructError:  # there is a None in it
        unknown = 0 if typecode == "q" else nan
        return pack(f"{len(values)}{typecode}", *[unknown if value is None else value for value in values])
