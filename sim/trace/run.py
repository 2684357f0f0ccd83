"""One run, simulated or measured: four tables and what must be known about it, whole on disk or not at all.

In: rows of plain tuples, or `DIR/trace/`. Out: a `Trace`, or the same files.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import EnvironmentMissing, InputError
from sim.trace.files import Format, read_table, write_table
from sim.trace.meta import Meta, read_meta, write_meta
from sim.trace.table import COLUMNS, Cell, Kind, Table

if TYPE_CHECKING:
    import pandas


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
                write_table(self.table(kind), fresh / f"{kind}.{format}")
            write_meta(self.meta, fresh / "meta.json")
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
        meta = read_meta(folder / "meta.json")
        builds, steps, runners, samples = (read_table(kind, folder) for kind in COLUMNS)
    except OSError as error:
        raise InputError(f"cannot read the trace: {error.strerror or error}", where=str(given)) from error
    return Trace(builds, steps, runners, samples, meta)
