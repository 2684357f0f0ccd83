"""The tables of a trace: their columns, and rows as typed arrays.

In: rows of plain tuples in column order. Out: numbers as float64, ids of 64 bits as int64, texts and lists as codes with
labels. Times are seconds from the run's start, amounts are bytes and core-seconds; what a source cannot know is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

Kind = Literal["builds", "steps", "runners", "samples"]
Cell: TypeAlias = "int | float | str | Sequence[str] | None"
Numbers: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]

# fmt: off
BUILDS = (
    "build", "request", "lease", "target", "project", "platforms", "commit", "arrived_s", "ready_s", "started_s",
    "completed_s", "outcome", "reason", "runner", "context_bytes", "export_bytes",
)
# A reason begins with the first where the kernel killed a step for its memory; where only the exit code of a SIGKILL says so, it
# is the second (buildkit-semantics 13.5).
OUT_OF_MEMORY, KILLED = "out of memory", "out of memory (exit code 137)"
# A step row pays `cpu_s` where it executed or took an execution over; otherwise `saved_cpu_s` is what executing it would
# have used. `reason`: a failure's cause, as `KILLED`. `miss`: cold, changed, evicted, clone, no_cache.
STEPS = (
    "build", "step", "key", "inputs", "kind", "outcome", "reason", "ready_s", "started_s", "completed_s", "lock_wait_s",
    "shared_with", "runner", "cpu_s", "saved_cpu_s", "threads", "read_bytes", "written_bytes", "received_bytes",
    "sent_bytes", "memory_peak_bytes", "miss",
)
RUNNERS = ("runner", "project", "platform", "cpus", "clone_of", "requested_s", "ready_s", "stopped_s", "reason")
# `memory` is bytes in use, `disk` bytes a second read and written.
SAMPLES = ("time_s", "runner", "busy_cpus", "memory", "disk", "cache_bytes", "leases")
# fmt: on
COLUMNS: Mapping[Kind, tuple[str, ...]] = {"builds": BUILDS, "steps": STEPS, "runners": RUNNERS, "samples": SAMPLES}

# A column of one name has one type in every table; every column not named here is a float64.
_INTEGERS = frozenset({"build", "request", "lease", "runner", "shared_with", "clone_of", "leases"})
TEXTS = frozenset({"step", "target", "project", "platform", "commit", "kind", "outcome", "reason", "miss"})
LISTS = frozenset({"platforms", "inputs"})
KEY = "key"  # 64 bits, so float64 would not hold it; 0 stands for unknown


@dataclass(frozen=True, slots=True)
class Words:
    """A column of few distinct values: `labels[code]` a row; -1 is null. A label is a text or a tuple of texts."""

    codes: Codes
    labels: tuple[str | tuple[str, ...], ...]

    @classmethod
    def of(cls, values: Sequence[object], as_label: Callable[[object], str | tuple[str, ...]]) -> Words:
        """Encode hashable values; None is null."""
        code_of: dict[object, int] = {}
        labels: dict[str | tuple[str, ...], int] = {}
        for value in dict.fromkeys(values):
            code_of[value] = -1 if value is None else labels.setdefault(as_label(value), len(labels))
        return cls(np.fromiter(map(code_of.__getitem__, values), np.int64, len(values)), tuple(labels))

    def expand(self) -> NDArray[np.object_]:
        """One label a row, None for null."""
        shown = np.empty(len(self.labels) + 1, dtype=object)
        for code, label in enumerate(self.labels):
            shown[code] = label
        return shown[self.codes]


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns in the contract's order. Numbers are float64 (nan: null), `key` int64, texts and lists `Words`."""

    kind: Kind
    columns: Mapping[str, Numbers | Codes | Words]

    @classmethod
    def from_rows(cls, kind: Kind, rows: Sequence[Sequence[Cell]]) -> Table:
        """Build from tuples in column order. Lists must be tuples; a text may be given as a number (a commit)."""
        names = COLUMNS[kind]
        if rows and len(rows[0]) != len(names):
            raise ValueError(f"a row of {kind} has {len(rows[0])} values; it takes {len(names)}: {', '.join(names)}")
        return cls(kind, {name: column_of(name, list(map(itemgetter(at), rows))) for at, name in enumerate(names)})

    def __len__(self) -> int:
        return len(self[COLUMNS[self.kind][0]])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column as an array: float64 with nan for null, int64 for `key`, objects with None for texts and lists."""
        column = self.columns[name]
        return column.expand() if isinstance(column, Words) else column

    def numbers(self, name: str) -> Numbers:
        """A numeric column; nan is null."""
        column = self.columns[name]
        assert not isinstance(column, Words), f"{name} is no column of numbers"
        return column.astype(np.float64, copy=False)

    def words(self, name: str) -> Words:
        """A column of texts or lists as codes and labels: the cheap form for grouping."""
        column = self.columns[name]
        assert isinstance(column, Words), f"{name} is no column of texts"
        return column

    def equals(self, name: str, label: str) -> NDArray[np.bool_]:
        """Where a text column has this value."""
        words = self.words(name)
        found: NDArray[np.bool_] = words.codes == (words.labels.index(label) if label in words.labels else -2)
        return found

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Tuples in column order as `from_rows` takes them: None for null, whole ids as int."""
        return zip(*(_cells(name, self[name]) for name in COLUMNS[self.kind]), strict=True)

    def to_arrow(self) -> pyarrow.Table:
        """The table as Arrow: the types of `arrow_schema`, texts dictionary-encoded."""
        import pyarrow as pa

        schema, arrays = arrow_schema(self.kind), []
        for wanted in schema:
            column = self.columns[wanted.name]
            if isinstance(column, Words):
                codes = pa.array(column.codes.astype(np.int32), mask=column.codes < 0)
                # parquet cannot hold a dictionary of lists, so these are spelt out
                if wanted.name in LISTS:
                    arrays.append(pa.array(column.labels, wanted.type).take(codes))
                else:
                    arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(column.labels, pa.string())))
            else:
                null = column == 0 if wanted.name == KEY else np.isnan(column)
                values = np.where(null, 0, column).astype(np.int64) if pa.types.is_integer(wanted.type) else column
                arrays.append(pa.array(values, wanted.type, mask=null))
        return pa.Table.from_arrays(arrays, schema=schema)


def arrow_schema(kind: Kind) -> pyarrow.Schema:
    """The Arrow types of a table's columns."""
    import pyarrow as pa

    types = dict.fromkeys(LISTS, pa.list_(pa.string())) | dict.fromkeys(TEXTS, pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys({*_INTEGERS, KEY}, pa.int64())
    return pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS[kind]])


def column_of(name: str, values: list[Cell]) -> Numbers | Codes | Words:
    """One column from Python values."""
    if name in TEXTS:
        return Words.of(values, str)
    if name in LISTS:
        return Words.of(values, lambda value: tuple(map(str, value)))  # type: ignore[call-overload]
    if name == KEY:
        return np.array([value or 0 for value in values], dtype=np.int64)
    return np.array(values, dtype=np.float64)


def _cells(name: str, column: NDArray[Any]) -> Iterator[Cell]:
    """A column's values for `rows`: the inverse of `column_of`."""
    if name in TEXTS or name in LISTS:
        return iter(column.tolist())
    null = column == 0 if name == KEY else np.isnan(column)
    whole = int if name in _INTEGERS or name == KEY else float
    return (None if gone else whole(value) for value, gone in zip(column.tolist(), null.tolist(), strict=True))
