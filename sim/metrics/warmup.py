"""Is a run's warm-up long enough? MSER-5 over the durations of its requests in order of arrival (simulators.md 4).

In: a series; a trace. Out: how many of its first values to leave out, and when that is in the run. A short run is not judged:
a start that is the whole story, such as two builds at given times, is no warm-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.metrics.requests import spans
from sim.trace import Numbers, Trace

BATCH = 5
# The statistic of the last batches is the spread of almost nothing, and small by chance (Hoad, Robinson & Davies 2010).
_LAST_BATCHES = 5
MIN_REQUESTS = 50  # ten batches: the half of them that may be cut can then be told from the rest


@dataclass(frozen=True, slots=True)
class Mser5:
    """Leave out the first `cut` of `n` values. `cut` None: the series is too short, for more than half would go."""

    n: int
    cut: int | None


@dataclass(frozen=True, slots=True)
class Warmup:
    """A run's `given_s` beside what MSER-5 wants: `needed_s`, the arrival of the first request to count (0: all count).

    `needed_s` None: the run is too short to tell. `is_enough`: the given one leaves the same requests out, or more.
    `mean_s`, `mean_needed_s`: mean duration with the one and the other.
    """

    requests: int
    given_s: float
    needed_s: float | None
    is_enough: bool
    mean_s: float | None
    mean_needed_s: float | None


def mser5(values: Sequence[float] | Numbers) -> Mser5:
    """The cut of MSER-5 [White, Cobb & Spratt 2000]: with means Y_i of batches of 5, the d that makes
    sum over i > d of (Y_i - mean)^2 / (n - d)^2 smallest; rejected beyond the middle.
    """
    array = np.asarray(values, dtype=np.float64)
    batches = array.size // BATCH
    if batches <= _LAST_BATCHES:
        return Mser5(array.size, None)
    means = array[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    means = means - means.mean()  # sums of squares lose digits far from 0
    left = np.arange(batches, 0, -1)
    total, squares = np.cumsum(means[::-1])[::-1], np.cumsum((means**2)[::-1])[::-1]
    statistic = ((squares - total**2 / left) / left**2)[: batches - _LAST_BATCHES + 1]
    best = int(statistic.argmin())
    return Mser5(array.size, None if best > batches / 2 else best * BATCH)


def warmup_of(trace: Trace) -> Warmup | None:
    """Judge a run that has a horizon or at least 50 answered requests; None for any other."""
    if not len(trace.builds):
        return None
    seen = spans(trace, np.arange(len(trace.builds)))
    counts = seen.answered() & ~np.isnan(seen.duration_s + seen.arrived_s)
    if counts.sum() < MIN_REQUESTS and trace.meta.horizon_s is None:
        return None
    order = np.flatnonzero(counts)[np.argsort(seen.arrived_s[counts], kind="stable")]
    arrived_s, duration_s = seen.arrived_s[order], seen.duration_s[order]
    given_s = trace.meta.warmup_s
    cut = mser5(duration_s).cut if order.size >= MIN_REQUESTS else None
    mean_s = _mean_from(given_s, arrived_s, duration_s)
    if cut is None:
        return Warmup(order.size, given_s, None, False, mean_s, None)
    needed_s = float(arrived_s[cut]) if cut else 0.0
    is_enough = cut == 0 or given_s > float(arrived_s[cut - 1])
    return Warmup(order.size, given_s, needed_s, is_enough, mean_s, _mean_from(needed_s, arrived_s, duration_s))


def _mean_from(since_s: float, arrived_s: Numbers, duration_s: Numbers) -> float | None:
    late = duration_s[arrived_s >= since_s]
    return float(late.mean()) if late.size else None
