"""What a suite's builds say: the daemon's constants, and what else there is to know of the machine.

In: a `Suite`, the constants to begin with. Out: `ConstantFit`s; `Seen` numbers by name, for people and for a farm's `boot` and
`clone`. The constants that a vertex's length depends on are fitted with the model (`constants_fit`); exports are taken apart
by subtraction, as in buildkit-semantics 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np

from sim.fit.constants_fit import FITTED, LOADS, ConstantFit, Known, fit_constants, recosted, robust_sigma
from sim.fit.suite.measure import BIG_BYTES, CROWD, SHORT_CPU_S, Suite
from sim.profile.cost import Daemon

_MEDIAN_ERROR = 1.2533  # sd of a median over that of a mean, normal law


@dataclass(frozen=True, slots=True)
class Seen:
    """A number that is no constant of the daemon: its median, sigma of single ones (of logarithms), how many, what it is."""

    value: float
    spread: float
    n: int
    source: str


_UNSEEN = ("sync_byte_s", "sync_latency_s", "crowded_share", *LOADS)
SHOWN = tuple(name for name in FITTED if name not in _UNSEEN)
"""What a suite's schedules can tell. Its builds stand alone: `write_byte_cpu_s` takes the wait for the disk, too, `run_cpu_s`
that for an unmount, and no core is crowded. What BuildKit loads first has medians of its own.
"""


def constants_of(suite: Suite, daemon: Daemon) -> list[ConstantFit]:
    """All constants that the suite shows."""
    every = [ran for one in suite.rounds for ran in one]
    found = []
    for name, part in LOADS.items():
        found += _constant(name, [took_s for ran in every for took_s in ran.took_s(part)])
    # What stands between these and the first step is the opening's, which is fitted.
    daemon = replace(daemon, **{one.name: one.value for one in found})  # type: ignore[arg-type]
    found += fit_constants(suite.known(), daemon, SHOWN)
    small = _exports(suite, "export small")
    large = [one - small_s for one, small_s in zip(_exports(suite, "export large"), small, strict=True)]
    stream = _exports(suite, "stream large")
    found += _constant("manifest_cpu_s", small)
    found += _constant("gzip_byte_cpu_s", [one / BIG_BYTES for one in large])
    found += _constant("stream_byte_cpu_s", [one / BIG_BYTES for one in stream])
    return found


def seen(suite: Suite, daemon: Daemon) -> dict[str, Seen]:
    """What else the suite shows, with the fitted constants: how right max-min is, CPU time by accounting, the cores' speed."""
    found = {"burn_s": seen_of(suite.burns_s, "core-seconds of 48 MiB of SHA-256, between rounds")}
    ratios = [one for part in suite.known() for one in _sharing(part, suite, daemon)]
    found |= _some("sharing_ratio", ratios, "measured / max-min: 1 thread beside 4, two steps")
    used = [ran.cpu_s for ran in suite.of("crowd") if ran.cpu_s]
    idle = [ran.cpu_s for ran in suite.of("cached") if ran.cpu_s]
    if used and idle:
        runs = 2 * CROWD
        beside_s = float(np.median(idle)) + CROWD * daemon.copy_cpu_s + runs * SHORT_CPU_S
        by_accounting = [(one - beside_s) / runs for one in used]
        found |= _some(
            "run_cpu_by_accounting_s", by_accounting, "control group: core-seconds of a RUN beside its command"
        )
    found |= _some("cached_build_cpu_s", idle, "control group: core-seconds of a cached build")
    busy = max(suite.foreign_cores, default=0.0)
    return found | {"foreign_cores": Seen(busy, 0.0, len(suite.foreign_cores), "cores that others kept busy, at worst")}


def _constant(name: str, values: Sequence[float]) -> list[ConstantFit]:
    kept = [one for one in values if one > 0.0]
    if not kept:
        return []
    sigma = robust_sigma([log(one) for one in kept])
    error = _MEDIAN_ERROR * sigma / sqrt(len(kept))
    return [ConstantFit(name, float(np.median(kept)), sigma, error, len(kept))]


def seen_of(values: Sequence[float], source: str) -> Seen:
    """The number that measurements above 0 give."""
    logs = [log(one) for one in values if one > 0.0]
    sigma = float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0
    return Seen(float(np.median(values)), sigma, len(values), source)


def _some(name: str, values: Sequence[float], source: str) -> dict[str, Seen]:
    return {name: seen_of(values, source)} if values else {}


def _exports(suite: Suite, label: str) -> list[float]:
    return [sum(ran.took_s("exporting to")) for ran in suite.of(label)]


def _sharing(part: Known, suite: Suite, daemon: Daemon) -> list[float]:
    """Measured over simulated length of the steps that share the cores."""
    labels = [ran.label for ran in next(one for one in suite.rounds)]
    part = replace(part, costs=tuple(recosted(part, daemon, daemon)))
    spent = part.schedule.simulate(part.costs, daemon)
    return [
        one.took_s / float(spent.took_s[at])
        for at, one in enumerate(part.schedule.executions)
        if one.kind == "exec" and labels[one.build] == "sharing"
    ]
