"""When pushes come: a renewal process in rescaled time, whose rate follows the hours of a week.

In: a mean rate, a pattern, a coefficient of variation, the phase of the week. Out: arrival times in order, without end.
Gaps of mean 1 are drawn in operational time and mapped through the inverse of the cumulative rate [Cinlar 1975, 4.7].
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

HOUR_S = 3600.0
WEEK_HOURS = 168
WEEK_S = WEEK_HOURS * HOUR_S
CHUNK = 256

# farm-facts D1: 44,231 Docker Hub builds by hour of the day (UTC) and by weekday (Mon..Sun), shares in percent.
HOUR_SHARES = (
    *(6.0, 4.0, 3.9, 2.8, 2.3, 3.1, 2.7, 2.4, 2.3, 2.5, 2.5, 2.3),
    *(2.5, 2.2, 2.6, 3.8, 4.4, 5.5, 6.9, 7.9, 7.5, 6.7, 6.6, 6.8),
)
WEEKDAY_SHARES = (13.0, 19.4, 19.1, 16.9, 16.1, 10.1, 5.5)

# One team in one time zone, Mon-Fri: full from 9 to 17, half as much an hour before and after, nothing else. A plain
# guess: D1 mixes all time zones and so shows no such edge.
OFFICE_HOURS = {8: 0.5, 17: 0.5} | dict.fromkeys(range(9, 17), 1.0)

PATTERNS = ("flat", "office_hours", "weekly")


def week_weights(pattern: str) -> NDArray[np.float64]:
    """The rate of each hour of a week (from Monday 00:00) over the mean rate: 168 numbers of mean 1."""
    if pattern == "flat":
        weights = np.ones(WEEK_HOURS)
    elif pattern == "weekly":
        weights = np.outer(WEEKDAY_SHARES, HOUR_SHARES).ravel()
    elif pattern == "office_hours":
        day = [OFFICE_HOURS.get(hour, 0.0) for hour in range(24)]
        weights = np.array(day * 5 + [0.0] * 48)
    else:
        raise InputError(f"unknown pattern '{pattern}'", hint=f"one of {', '.join(PATTERNS)}")
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def arrivals(
    rng: np.random.Generator, rate_per_s: float, pattern: str = "flat", cv: float = 1.0, phase_s: float = 0.0
) -> Iterator[float]:
    """Arrival times in seconds from the run's start, without end; `phase_s` is the start's place in the week.

    The mean over a week is `rate_per_s`. The first gap is the equilibrium's, so the rate holds from the start on.
    """
    if not 0 < rate_per_s < float("inf"):
        raise InputError(f"arrivals.rate must be above zero, not {rate_per_s * HOUR_S:g}/h")
    clock = _WeekClock(week_weights(pattern), phase_s)
    operational = 0.0
    for gaps in _gap_chunks(rng, cv):
        times = operational + np.cumsum(gaps)
        operational = float(times[-1])
        yield from clock.seconds(times / rate_per_s).tolist()


def _gap_chunks(rng: np.random.Generator, cv: float) -> Iterator[NDArray[np.float64]]:
    """Gaps of mean 1 and coefficient of variation `cv`, in chunks of one size, so that a longer run only appends.

    cv 1: exponential (Poisson arrivals). Above: two-phase hyperexponential with balanced means [Tijms 1994, B.2]: most
    gaps short, a few long, as batches look (farm-facts D1: cv 2.72, a third of the gaps under 10 minutes). Below: gamma
    of shape 1/cv^2; 0: a steady beat.
    """
    if not 0 <= cv <= 100:
        raise InputError(f"arrivals.cv must lie between 0 and 100, not {cv:g}", hint="1 is Poisson; CI is near 2.7")
    first = True
    share = (1 + sqrt(max(0.0, (cv * cv - 1) / (cv * cv + 1)))) / 2
    shape = 1 / (cv * cv) if cv > 0 else 0.0
    while True:
        if cv >= 1:
            picks = rng.random(CHUNK)
            rates = np.where(picks < share, 2 * share, 2 * (1 - share))
            if first:  # each phase covers half of the time, so an observer falls into either with probability 1/2
                rates[0] = 2 * share if picks[0] < 0.5 else 2 * (1 - share)
            gaps = rng.standard_exponential(CHUNK) / rates
        elif cv > 0:
            picks = rng.random(CHUNK)
            gaps = rng.standard_gamma(shape, CHUNK) / shape
            if first:  # a length-biased gap, of which an observer sees a uniform part
                gaps[0] = picks[0] * rng.standard_gamma(shape + 1) / shape
        else:
            gaps = np.ones(CHUNK)
            if first:
                gaps[0] = rng.random()
        first = False
        yield gaps


class _WeekClock:
    """The inverse of the cumulative weight: from seconds at the mean rate to seconds of the run."""

    def __init__(self, weights: NDArray[np.float64], phase_s: float) -> None:
        self._phase_s = phase_s % WEEK_S
        self._edges_s = np.arange(WEEK_HOURS + 1) * HOUR_S
        self._cumulative_s = np.concatenate([[0.0], np.cumsum(weights)]) * HOUR_S
        self._cumulative_s[-1] = WEEK_S
        self._offset_s = float(np.interp(self._phase_s, self._edges_s, self._cumulative_s))

    def seconds(self, mean_rate_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where each of the given amounts of mean-rate time, counted from the phase, is reached."""
        weeks, rest = np.divmod(mean_rate_s + self._offset_s, WEEK_S)
        hour = np.clip(np.searchsorted(self._cumulative_s, rest, side="left") - 1, 0, WEEK_HOURS - 1)
        width = self._cumulative_s[hour + 1] - self._cumulative_s[hour]
        within = np.divide(rest - self._cumulative_s[hour], width, out=np.zeros_like(rest), where=width > 0)
        return np.asarray(weeks * WEEK_S + (hour + within) * HOUR_S - self._phase_s, dtype=np.float64)


def expected(rate_per_s: float, pattern: str, phase_s: float, horizon_s: float) -> int:
    """How many arrivals fall into the horizon, whole hours counted, to refuse a run that would not fit into memory."""
    weights = week_weights(pattern)
    full, rest_s = divmod(horizon_s, WEEK_S)
    hours = (np.arange(int(rest_s // HOUR_S) + 1) + int(phase_s // HOUR_S)) % WEEK_HOURS
    return ceil(rate_per_s * (full * WEEK_S + float(weights[hours].sum()) * HOUR_S))
