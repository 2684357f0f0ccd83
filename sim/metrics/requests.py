"""A run as its requests saw it, and as one number to choose by.

In: a trace. Out: arrays with one value a measured request, paired across candidates by request id; an objective. A
request ends when its last build ends; its duration counts from its arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.metrics.bill import Bill, bill, measured_builds, request_arrivals
from sim.trace import Codes, Numbers, Trace

# From best to worst: a request is as bad as its worst build.
OUTCOMES = ("ok", "cancelled", "failed", "timed_out")

Payer = Literal["lease", "runner"]


@dataclass(frozen=True, slots=True)
class Spans:
    """One value a request, in order of request id. Seconds; nan (outcome: None) is unknown."""

    request: Codes
    arrived_s: Numbers
    ended_s: Numbers
    duration_s: Numbers
    outcome: NDArray[np.object_]

    def answered(self) -> NDArray[np.bool_]:
        """Requests that ran to an answer, good or bad: all but the cancelled ones, whose duration says nothing."""
        found: NDArray[np.bool_] = self.outcome != "cancelled"
        return found


@dataclass(frozen=True, slots=True)
class Requests(Spans):
    """With dollars: a request's minutes, its part of the caches, and its waiting, as far as these have prices."""

    cost: Numbers


def per_request(trace: Trace, *, per: Payer | None = None) -> Requests:
    """What each measured request saw. `per` overrides who pays a runner's minute."""
    measured = measured_builds(trace)
    return requests_of(trace, bill(trace, measured), np.flatnonzero(measured), per or trace.meta.prices.per)


def requests_of(trace: Trace, amounts: Bill, rows: Codes, per: Payer) -> Requests:
    """The same over some build rows only: a request then ends with the last of these."""
    seen, of_build = _spans(trace, rows)
    minutes_usd = amounts.lease_usd if per == "lease" else amounts.runner_usd + np.nan_to_num(amounts.standby_usd)
    of_rows = (minutes_usd + np.nan_to_num(amounts.cache_usd))[rows]
    cost = np.bincount(of_build, of_rows, seen.request.size).astype(np.float64)
    if trace.meta.prices.wait_hour:
        cost = cost + seen.duration_s / 3600 * trace.meta.prices.wait_hour
    return Requests(seen.request, seen.arrived_s, seen.ended_s, seen.duration_s, seen.outcome, cost)


def spans(trace: Trace, rows: Codes) -> Spans:
    """When the requests of some build rows arrived and ended, and how."""
    return _spans(trace, rows)[0]


def _spans(trace: Trace, rows: Codes) -> tuple[Spans, Codes]:
    """The spans, and which of them each row belongs to."""
    builds = trace.builds
    ids, all_of_build, arrivals_s = request_arrivals(trace)
    kept, of_build = np.unique(all_of_build[rows], return_inverse=True)
    arrived_s, ended_s = arrivals_s[kept], np.full(kept.size, -np.inf)
    np.maximum.at(ended_s, of_build, builds.numbers("completed_s")[rows])
    labels = builds.words("outcome").labels
    ranks = np.array([*(OUTCOMES.index(label) if label in OUTCOMES else -1 for label in labels), -1], dtype=np.int64)
    worst = np.full(kept.size, -1, dtype=np.int64)
    np.maximum.at(worst, of_build, ranks[builds.words("outcome").codes[rows]])
    outcome = np.array([*OUTCOMES, None], dtype=object)[worst]
    seen = Spans(ids[kept].astype(np.int64), arrived_s, ended_s, ended_s - arrived_s, outcome)
    return seen, of_build.astype(np.int64)


OBJECTIVES: dict[str, Callable[[Requests], float]] = {
    "cost_per_request": lambda seen: float(seen.cost.mean()) if seen.cost.size else np.nan,
    "cost_total": lambda seen: float(seen.cost.sum()),
    "mean_duration": lambda seen: _over_answered(seen, lambda known: float(known.mean())),
    "p50_duration": lambda seen: _over_answered(seen, lambda known: float(np.percentile(known, 50))),
    "p95_duration": lambda seen: _over_answered(seen, lambda known: float(np.percentile(known, 95))),
}


def objective(trace: Trace, name: str, *, per: Payer | None = None) -> float:
    """One number to minimise, in dollars or seconds; nan when the trace cannot tell. InputError: no such objective."""
    if name not in OBJECTIVES:
        raise InputError(f"unknown objective {name!r}", hint=f"choose one of {', '.join(sorted(OBJECTIVES))}")
    return OBJECTIVES[name](per_request(trace, per=per))


def _over_answered(seen: Requests, number: Callable[[Numbers], float]) -> float:
    known = seen.duration_s[seen.answered()]
    known = known[~np.isnan(known)]
    return number(known) if known.size else float("nan")
