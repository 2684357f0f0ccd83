"""A table of a trace as a file: parquet, or a JSON object a line.

In: a `Table` and a path; a folder and the kind of a table. Out: the file; the table. What is broken is told with file and line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sim.errors import InputError
from sim.trace.meta import broken, plain
from sim.trace.table import COLUMNS, KEY, LISTS, TEXTS, Codes, Kind, Numbers, Table, Words

if TYPE_CHECKING:
    import pyarrow

Format = Literal["parquet", "jsonl"]


def write_table(table: Table, path: Path) -> None:
    """Write one table; the ending tells the format."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.write_table(table.to_arrow(), path, compression="zstd")
        return
    with path.open("w", encoding="utf-8") as file:
        for row in table.rows():
            file.write(json.dumps(plain(dict(zip(COLUMNS[table.kind], row, strict=True))), allow_nan=False) + "\n")


def read_table(kind: Kind, folder: Path) -> Table:
    """The table of a kind in a folder, of either format. InputError: none, or broken."""
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
        raise broken(error, path) from error


def _from_arrow(name: str, array: pyarrow.Array) -> Numbers | Codes | Words:
    import pyarrow as pa

    if name in LISTS:
        return _lists_from_arrow(array.cast(pa.list_(pa.string())))
    if name in TEXTS:
        coded = array if pa.types.is_dictionary(array.type) else array.cast(pa.string()).dictionary_encode()
        codes = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        return Words(codes, tuple(coded.dictionary.cast(pa.string()).to_pylist()))
    plain = array.cast(pa.int64()).fill_null(0) if name == KEY else array.cast(pa.float64())
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
                rows.append(tuple(tuple(row[n]) if n in LISTS and row[n] is not None else row[n] for n in names))
        return Table.from_rows(kind, rows)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise broken(error, f"{path}:{line}") from error
