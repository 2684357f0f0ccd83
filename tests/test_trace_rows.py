"""Rows that come one by one make the same table as all at once."""

import numpy as np
import pytest

from sim.trace.rows import CHUNK, Rows
from sim.trace.table import RUNNERS, Table, Words


@pytest.mark.parametrize("count", [0, 1, CHUNK, 2 * CHUNK + 7])
def test_the_same_table_however_many_rows(count):
    rows = [
        (n, f"p{n % 7}", "linux/amd64", 2.0, None if n % 3 else n, 0.5 * n, None, 9.0, "idle") for n in range(count)
    ]
    kept = Rows("runners")
    for row in rows:
        kept.append(row)
    mine, whole = kept.table(), Table.from_rows("runners", rows)
    assert len(mine) == count
    for name in RUNNERS:
        one, other = mine.columns[name], whole.columns[name]
        if isinstance(other, Words):
            assert one.labels == other.labels
            one, other = one.codes, other.codes
        else:
            assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
