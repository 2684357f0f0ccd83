"""Sums and quantiles that know what they do not know.

In: an array with nan for unknown. Out: numbers, or None. A sum with one unknown part is unknown; a mean or a quantile
is taken over the known values, and `count` says how many these were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.trace import Codes, Numbers


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a quantity is spread over its `count` known values; quantiles interpolate linearly. None is n/a."""

    count: int = 0
    total: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Numbers) -> Distribution:
        """Summarise an array; no values at all make a total of 0."""
        known = values[~np.isnan(values)]
        total = whole(values)
        if not known.size:
            return cls(0, total)
        p50, p90, p95, p99 = np.percentile(known, (50, 90, 95, 99)).tolist()
        return cls(known.size, total, float(known.mean()), p50, p90, p95, p99, float(known.max()))


def whole(values: Numbers) -> float | None:
    """The sum, or None when a part of it is unknown."""
    return known_or_none(float(values.sum()))


def known_or_none(value: float) -> float | None:
    """None for nan."""
    return None if np.isnan(value) else float(value)


def locate(ids: Numbers, wanted: Numbers) -> Codes:
    """The row of each wanted id among `ids`; -1 where there is none, or the id is null."""
    if not ids.size:
        return np.full(wanted.size, -1, dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, wanted, sorter=order), ids.size - 1)
    rows = order[at]
    return np.where(ids[rows] == wanted, rows, -1)
