"""THE contract between simulation and measurement: four tables and what must be known about the run (design section 5).

In: rows of plain tuples in column order, or `DIR/trace/` (parquet or JSON lines). Out: typed columns, the same files.
Times are seconds from the run's start, amounts are bytes and core-seconds; what a source cannot know is null, never 0.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite, isnan
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.errors import EnvironmentMissing, InputError

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from sim.scenario.farm import Farm

TRACE_SCHEMA = 1

Kind = Literal["builds", "steps", "runners", "samples"]
Format = Literal["parquet", "jsonl"]
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Cell: TypeAlias = "int | float | str | Sequence[str] | None"
Numbers: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]

# fmt: off
BUILDS = (
    "build", "request", "lease", "target", "project", "platforms", "commit", "arrived_s", "ready_s", "started_s",
    "completed_s", "outcome", "reason", "runner", "context_bytes", "export_bytes",
)
STEPS = (
    "build", "step", "key", "inputs", "kind", "outcome", "reason", "ready_s", "started_s", "completed_s", "lock_wait_s",
    "shared_with", "runner", "cpu_s", "threads", "read_bytes", "written_bytes", "received_bytes", "sent_bytes",
    "memory_peak_bytes", "miss",
)
RUNNERS = ("runner", "project", "platform", "cpus", "clone_of", "requested_s", "ready_s", "stopped_s", "reason")
# `memory` is bytes in use, `disk` bytes a second read and written.
SAMPLES = ("time_s", "runner", "busy_cpus", "memory", "disk", "cache_bytes", "leases")
# fmt: on
COLUMNS: Mapping[Kind, tuple[str, ...]] = {"builds": BUILDS, "steps": STEPS, "runners": RUNNERS, "samples": SAMPLES}

# A column of one name has one type in every table; every column not named here is a float64.
_INTEGERS = frozenset({"build", "request", "lease", "runner", "shared_with", "clone_of", "leases"})
_TEXTS = frozenset({"step", "target", "project", "platform", "commit", "kind", "outcome", "reason", "miss"})
_LISTS = frozenset({"platforms", "inputs"})
_KEY = "key"  # 64 bits, so float64 would not hold it; 0 stands for unknown


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
        return cls(kind, {name: _column(name, list(map(itemgetter(at), rows))) for at, name in enumerate(names)})

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
                if wanted.name in _LISTS:
                    arrays.append(pa.array(column.labels, wanted.type).take(codes))
                else:
                    arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(column.labels, pa.string())))
            else:
                null = column == 0 if wanted.name == _KEY else np.isnan(column)
                values = np.where(null, 0, column).astype(np.int64) if pa.types.is_integer(wanted.type) else column
                arrays.append(pa.array(values, wanted.type, mask=null))
        return pa.Table.from_arrays(arrays, schema=schema)


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars; None is unknown. `minute` maps a pool (`project platform`) to a minute of its runner.

    `per`: who pays that minute: each lease, or the runner once (farm-facts A1). `wait_hour`: an hour of a person.
    """

    minute: Mapping[str, float] = field(default_factory=dict)
    per: Literal["lease", "runner"] = "lease"
    cache_gb_month: float | None = None
    wait_hour: float | None = None

    @classmethod
    def of(cls, farm: Farm) -> Prices:
        """The prices of a configuration, one minute price a pool."""
        projects = sorted(set(farm.projects.values()))
        minute = {f"{p} {on}": farm.runner_for(p, on).price_per_minute for p in projects for on in farm.platforms}
        return cls(minute, farm.price.per, farm.price.cache_gb_month, farm.price.wait_hour)


@dataclass(frozen=True, slots=True)
class Meta:
    """What must be known about a run to judge its tables.

    `scenario` is the resolved one. `origin_s`: predicted time by where its cost is from; `cache_byte_s`: the integral of the
    base caches' bytes (clones are free: farm-facts A1); `stretch`: all executed RUNs' time over what they take alone.
    """

    source: Literal["simulated", "measured"]
    name: str = ""
    scenario: Mapping[str, Json] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)
    seed: int | None = None
    profile: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Json] = field(default_factory=dict)
    horizon_s: float | None = None
    warmup_s: float = 0.0
    origin_s: Mapping[str, float] = field(default_factory=dict)
    cache_byte_s: float | None = None
    stretch: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """One run, simulated or measured."""

    builds: Table
    steps: Table
    runners: Table
    samples: Table
    meta: Meta

    @classmethod
    def from_rows(cls, rows: Mapping[Kind, Sequence[Sequence[Cell]]], meta: Meta) -> Trace:
        """Build all four tables at once; a kind not named is empty."""
        builds, steps, runners, samples = (Table.from_rows(kind, rows.get(kind, ())) for kind in COLUMNS)
        return cls(builds, steps, runners, samples, meta)

    def table(self, kind: Kind) -> Table:
        """The table of a kind."""
        table: Table = getattr(self, kind)
        return table

    def frame(self, kind: Kind) -> pandas.DataFrame:
        """A table as a pandas DataFrame, for notebooks."""
        frame: pandas.DataFrame = self.table(kind).to_arrow().to_pandas()
        return frame

    def write(self, folder: Path | str, format: Format = "parquet") -> Path:
        """Write `folder/trace/` whole or not at all, over an older trace. EnvironmentMissing: the disk refuses."""
        target, work = Path(folder) / "trace", None
        try:
            found = list(target.iterdir()) if target.is_dir() else [target] if target.exists() else []
            if not all(path.name == "meta.json" or path.stem in COLUMNS for path in found):
                raise InputError("is not a trace; not overwritten", where=str(target), hint="give -o another folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".trace.", dir=target.parent))
            fresh, old = work / "new", work / "old"
            fresh.mkdir()
            for kind in COLUMNS:
                _write_table(self.table(kind), fresh / f"{kind}.{format}")
            text = json.dumps(_plain({"schema": TRACE_SCHEMA} | asdict(self.meta)), indent=1, allow_nan=False)
            (fresh / "meta.json").write_text(text + "\n", encoding="utf-8")
            if found:
                target.rename(old)
            fresh.rename(target)
        except OSError as error:
            what, hint = f"cannot write: {error.strerror or error}", "choose a writable place with free space"
            raise EnvironmentMissing(what, where=str(target), hint=hint) from error
        finally:
            if work is not None:
                shutil.rmtree(work, ignore_errors=True)
        return target


def read_trace(path: Path | str) -> Trace:
    """Read the trace in `path` or `path/trace`, of either format. InputError: none, broken, or of another schema."""
    given = Path(path)
    try:
        folder = given / "trace" if (given / "trace" / "meta.json").is_file() else given
        if not (folder / "meta.json").is_file():
            hint = "give the folder that `buildcast run -o DIR` or `buildcast import -o DIR` wrote"
            raise InputError("no trace here (no meta.json)", where=str(given), hint=hint)
        meta = _read_meta(folder / "meta.json")
        builds, steps, runners, samples = (_read_table(kind, folder) for kind in COLUMNS)
    except OSError as error:
        raise InputError(f"cannot read the trace: {error.strerror or error}", where=str(given)) from error
    return Trace(builds, steps, runners, samples, meta)


def arrow_schema(kind: Kind) -> pyarrow.Schema:
    """The Arrow types of a table's columns."""
    import pyarrow as pa

    types = dict.fromkeys(_LISTS, pa.list_(pa.string())) | dict.fromkeys(_TEXTS, pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys({*_INTEGERS, _KEY}, pa.int64())
    return pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS[kind]])


def _column(name: str, values: list[Cell]) -> Numbers | Codes | Words:
    """One column from Python values."""
    if name in _TEXTS:
        return Words.of(values, str)
    if name in _LISTS:
        return Words.of(values, lambda value: tuple(map(str, value)))  # type: ignore[call-overload]
    if name == _KEY:
        return np.array([value or 0 for value in values], dtype=np.int64)
    return np.array(values, dtype=np.float64)


def _cells(name: str, column: NDArray[Any]) -> Iterator[Cell]:
    """A column's values for `rows`: the inverse of `_column`."""
    if name in _TEXTS or name in _LISTS:
        return iter(column.tolist())
    null = column == 0 if name == _KEY else np.isnan(column)
    whole = int if name in _INTEGERS or name == _KEY else float
    return (None if gone else whole(value) for value, gone in zip(column.tolist(), null.tolist(), strict=True))


def _plain(value: object) -> Json:
    """JSON has no infinity and no nan: they become "inf" (which float() reads back) and null."""
    if isinstance(value, float) and not isfinite(value):
        return None if isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _write_table(table: Table, path: Path) -> None:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.write_table(table.to_arrow(), path, compression="zstd")
        return
    with path.open("w", encoding="utf-8") as file:
        for row in table.rows():
            file.write(json.dumps(_plain(dict(zip(COLUMNS[table.kind], row, strict=True))), allow_nan=False) + "\n")


def _broken(error: Exception, where: Path | str) -> InputError:
    what = str(error).partition("\n")[0] + (" is missing" if isinstance(error, KeyError) else "")
    return InputError(f"broken: {what}", where=str(where), hint="write the trace again")


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _read_meta(path: Path) -> Meta:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != TRACE_SCHEMA:
            hint = f"this buildcast reads {TRACE_SCHEMA}; write it again"
            raise InputError(f"a trace of schema {found['schema']!r}", where=str(path), hint=hint)
        prices = Prices(**{one.name: found["prices"][one.name] for one in fields(Prices)})
        minute = {pool: float(price) for pool, price in prices.minute.items()}
        meta = Meta(**{one.name: found[one.name] for one in fields(Meta)} | {"prices": prices})
        if meta.source not in ("simulated", "measured") or prices.per not in ("lease", "runner"):
            raise ValueError("source or prices.per has an unknown value")
        return replace(
            meta,
            prices=Prices(minute, prices.per, _number(prices.cache_gb_month), _number(prices.wait_hour)),
            origin_s={origin: float(seconds) for origin, seconds in meta.origin_s.items()},
            horizon_s=_number(meta.horizon_s),
            warmup_s=float(meta.warmup_s),
            cache_byte_s=_number(meta.cache_byte_s),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(error, path) from error


def _read_table(kind: Kind, folder: Path) -> Table:
    for read, path in ((_read_parquet, folder / f"{kind}.parquet"), (_read_jsonl, folder / f"{kind}.jsonl")):
        if path.is_file():
            return read(kind, path)
    raise InputError(f"the table {kind} is missing", where=str(folder), hint="write the trace again; it is incomplete")


def _read_parquet(kind: Kind, path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.ParquetFile(path).read()
        return Table(kind, {name: _from_arrow(name, found[name].combine_chunks()) for name in COLUMNS[kind]})
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise _broken(error, path) from error


def _from_arrow(name: str, array: pyarrow.Array) -> Numbers | Codes | Words:
    import pyarrow as pa

    if name in _LISTS:
        return _lists_from_arrow(array.cast(pa.list_(pa.string())))
    if name in _TEXTS:
        coded = array if pa.types.is_dictionary(array.type) else array.cast(pa.string()).dictionary_encode()
        codes = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        return Words(codes, tuple(coded.dictionary.cast(pa.string()).to_pylist()))
    plain = array.cast(pa.int64()).fill_null(0) if name == _KEY else array.cast(pa.float64())
    values: Numbers | Codes = plain.to_numpy(zero_copy_only=False)
    return values


def _lists_from_arrow(array: pyarrow.Array) -> Words:
    """Lists repeat: rows are told apart by the bytes of their codes, so that only distinct ones become tuples."""
    coded = array.flatten().dictionary_encode()
    texts, indices = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths, dtype=np.int64) * indices.itemsize
    packed, known = indices.tobytes(), array.is_valid().to_pylist()
    begins = ends - lengths * indices.itemsize
    pieces = [packed[a:b] if ok else None for a, b, ok in zip(begins.tolist(), ends.tolist(), known, strict=True)]
    return Words.of(pieces, lambda piece: tuple(texts[code] for code in np.frombuffer(piece, np.int32)))  # type: ignore[call-overload]


def _read_jsonl(kind: Kind, path: Path) -> Table:
    names, rows, line = COLUMNS[kind], [], 0
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                line += 1
                row = json.loads(text)
                rows.append(tuple(tuple(row[n]) if n in _LISTS and row[n] is not None else row[n] for n in names))
        return Table.from_rows(kind, rows)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _broken(error, f"{path}:{line}") from error
