"""Confidence intervals over replications.

In: one number a replication (independent and equally distributed by construction). Out: mean and t-interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its two-sided confidence interval; low and high are nan with fewer than two values."""

    mean: float
    low: float
    high: float


def t_interval(values: Sequence[float], alpha: float = 0.05) -> Interval:
    """Mean +- t(n-1, 1-alpha/2) s/sqrt(n) [Law 2015, 4.5]. For paired candidates give the differences."""
    from scipy.stats import t

    array = np.asarray(values, dtype=float)
    n = array.size
    mean = float(array.mean()) if n else nan
    if n < 2:
        return Interval(mean, nan, nan)
    half = float(t.ppf(1 - alpha / 2, n - 1)) * float(array.std(ddof=1)) / sqrt(n)
    return Interval(mean, mean - half, mean + half)


def chance_better(differences: Sequence[float]) -> float:
    """One minus the one-sided p-value that the mean difference (other - winner) is positive: how sure the winner is.

    A paired t-test; no correction for the number of candidates, so it is a quick look, not a guarantee.
    """
    from scipy.stats import t

    array = np.asarray(differences, dtype=float)
    n = array.size
    spread = float(array.std(ddof=1)) if n > 1 else nan
    if n < 2:
        return nan
    if spread == 0.0:
        return 1.0 if array.mean() > 0 else 0.5
    return float(t.cdf(float(array.mean()) / (spread / sqrt(n)), n - 1))
