"""How much memory commands take, from what their runners were seen to have in use.

In: runs of commands, readings of each runner (a replay's samples). Out: bytes by command. A reading is of all commands that run
at that time together: non-negative least squares over the largest reading of each such company shares it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np

from sim.trace import Trace

Run = tuple[int, str, float, float]
"""A command's run: its runner, the command, start and end in seconds."""

_LEAST_READINGS = 2
"""A command that was seen running less often may have had more in between."""


def memory_by_command(runs: Sequence[Run], trace: Trace) -> dict[str, float]:
    """Bytes beyond the runner's least reading, of commands that were seen running often enough."""
    from scipy.optimize import nnls

    readings = _readings(trace)
    seen: Counter[str] = Counter()
    largest: dict[tuple[str, ...], float] = {}
    for runner, points in readings.items():
        idle_bytes = min(used_bytes for _, used_bytes in points)
        mine = [run[1:] for run in runs if run[0] == runner]
        for time_s, used_bytes in points:
            company = sorted(command for command, started_s, ended_s in mine if started_s <= time_s <= ended_s)
            seen.update(set(company))
            if company:
                key = tuple(company)
                largest[key] = max(largest.get(key, 0.0), used_bytes - idle_bytes)
    names = [name for name, count in seen.items() if count >= _LEAST_READINGS]
    if not names:
        return {}
    counts = np.array([[company.count(name) for name in names] for company in largest], dtype=float)
    found, _ = nnls(counts, np.array(list(largest.values())))
    return dict(zip(names, found.tolist(), strict=True))


def _readings(trace: Trace) -> Mapping[int, list[tuple[float, float]]]:
    """By runner, (time, bytes in use)."""
    found: dict[int, list[tuple[float, float]]] = {}
    columns = (trace.samples.numbers(name).tolist() for name in ("runner", "time_s", "memory"))
    for runner, time_s, used_bytes in zip(*columns, strict=True):
        if not isnan(used_bytes):
            found.setdefault(int(runner), []).append((time_s, used_bytes))
    return found
