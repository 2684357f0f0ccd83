"""THE contract between simulation and measurement: four tables and what must be known about the run (design section 5).

In: rows of plain tuples in column order, or `DIR/trace/` (parquet or JSON lines). Out: typed columns, the same files.
Times are seconds from the run's start, amounts are bytes and core-seconds; what a source cannot know is null, never 0.
"""

from sim.trace.files import Format
from sim.trace.meta import TRACE_SCHEMA, Json, Meta, Prices
from sim.trace.run import Trace, read_trace
from sim.trace.table import (
    BUILDS,
    COLUMNS,
    KILLED,
    OUT_OF_MEMORY,
    RUNNERS,
    SAMPLES,
    STEPS,
    Cell,
    Codes,
    Kind,
    Numbers,
    Table,
    Words,
    arrow_schema,
)

__all__ = [
    "BUILDS",
    "COLUMNS",
    "KILLED",
    "OUT_OF_MEMORY",
    "RUNNERS",
    "SAMPLES",
    "STEPS",
    "TRACE_SCHEMA",
    "Cell",
    "Codes",
    "Format",
    "Json",
    "Kind",
    "Meta",
    "Numbers",
    "Prices",
    "Table",
    "Trace",
    "Words",
    "arrow_schema",
    "read_trace",
]
