"""How much went on at each moment.

In: a trace. Out: step functions of builds waiting for a runner, builds running, and runners up: value i holds from
`time_s[i]` until `time_s[i + 1]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.metrics.bill import end_s
from sim.trace import Codes, Numbers, Trace


@dataclass(frozen=True, slots=True)
class Timeline:
    """Step functions over the whole run, warm-up included."""

    time_s: Numbers
    waiting: Codes
    running: Codes
    runners: Codes


def timeline(trace: Trace) -> Timeline:
    """Concurrency over time. A span of unknown end is left out; a runner that never stopped is up until the end."""
    builds, runners = trace.builds, trace.runners
    arrived_s, ready_s, ended_s = (builds.numbers(name) for name in ("arrived_s", "ready_s", "completed_s"))
    stopped_s = runners.numbers("stopped_s")
    stopped_s = np.where(np.isnan(stopped_s), end_s(trace), stopped_s)
    spans = [
        (arrived_s, np.where(np.isnan(ready_s), ended_s, ready_s)),
        (ready_s, ended_s),
        (runners.numbers("ready_s"), stopped_s),
    ]
    kept = [(begun[known], ended[known]) for begun, ended in spans for known in [~np.isnan(begun + ended)]]
    time_s = np.unique(np.concatenate([edge for span in kept for edge in span]))
    waiting, running, up = (_active(time_s, begun, ended) for begun, ended in kept)
    return Timeline(time_s, waiting, running, up)


def _active(time_s: Numbers, begun_s: Numbers, ended_s: Numbers) -> Codes:
    begun = np.searchsorted(np.sort(begun_s), time_s, side="right")
    ended = np.searchsorted(np.sort(ended_s), time_s, side="right")
    return (begun - ended).astype(np.int64)
