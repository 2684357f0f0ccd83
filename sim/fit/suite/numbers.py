"""What a suite's builds say: the daemon's constants, and what else there is to know of the machine.

In: a `Suite`, the constants to begin with. Out: `ConstantFit`s; `Seen` numbers by name, for people and for a farm's `boot` and
`clone`. The constants that a vertex's length depends on are fitted with the model (`constants_fit`); exports are taken apart
by subtraction, as in buildkit-semantics 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np

from sim.fit.constants_fit import (
    COUNTED,
    COUNTED_ERROR,
    FITTED,
    LOADS,
    ConstantFit,
    Known,
    fit_constants,
    median_fit,
    recosted,
)
from sim.fit.suite.measure import BIG_BYTES, CROWD, SHORT_CPU_S, Suite
from sim.profile.constants import CONSTANTS
from sim.profile.cost import Daemon

_CACHED_BUILD_CPU_S = 0.024  # of the daemon, where `COUNTED` was read


@dataclass(frozen=True, slots=True)
class Seen:
    """A number that is no constant of the daemon: its median, sigma of single ones (of logarithms), how many, what it is."""

    value: float
    spread: float
    n: int
    source: str


_UNSEEN = ("sync_byte_s", "sync_latency_s", "crowded_share", "source_cpu_s", *LOADS)
SHOWN = tuple(name for name in FITTED if name not in _UNSEEN)
"""What a suite's schedules can tell. Its builds stand alone: `write_byte_cpu_s` takes the wait for the disk, too, `run_cpu_s`
that for an unmount, and no core is crowded. Asking for an image's metadata has a median of its own.
"""


def constants_of(suite: Suite, daemon: Daemon) -> list[ConstantFit]:
    """All constants that the suite shows."""
    every = [ran for one in suite.rounds for ran in one]
    found = []
    for name, part in LOADS.items():
        if name not in COUNTED:
            found += median_fit(name, [took_s for ran in every for took_s in ran.took_s(part)])
    # What stands between these and the first step is the opening's: its waiting is fitted.
    parts = _counted(suite)
    daemon = replace(daemon, **parts, **{one.name: one.value for one in found})  # type: ignore[arg-type]
    found += fit_constants(suite.known(), daemon, SHOWN, tuple(parts))
    told = {one.name for one in found}
    for name in (name for name in parts if name not in told):  # no vertex of a lone build tells its spread
        found.append(ConstantFit(name, parts[name], CONSTANTS[name].spread, COUNTED_ERROR, len(suite.of("cached"))))
    found += median_fit("hash_byte_cpu_s", _hashed(suite))
    small = _exports(suite, "export small")
    large = [one - small_s for one, small_s in zip(_exports(suite, "export large"), small, strict=True)]
    stream = _exports(suite, "stream large")
    found += median_fit("manifest_cpu_s", small)
    found += median_fit("gzip_byte_cpu_s", [one / BIG_BYTES for one in large])
    found += median_fit("stream_byte_cpu_s", [one / BIG_BYTES for one in stream])
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


def _counted(suite: Suite) -> dict[str, float]:
    """What a cached build takes of the daemon's cores, in its parts (where no control group counts it, as `COUNTED` was read);
    and what it takes more with a context of one file.
    """
    cpu_s, with_context_s = _used_s(suite, "cached"), _used_s(suite, "cached context")
    parts = {name: share * (cpu_s or _CACHED_BUILD_CPU_S) for name, share in COUNTED.items()}
    if with_context_s > cpu_s > 0.0:
        parts["context_cpu_s"] = with_context_s - cpu_s
    return parts


def _used_s(suite: Suite, label: str) -> float:
    """Core-seconds of such a build by its control group, the median; 0 where none counts."""
    used = [ran.cpu_s for ran in suite.of(label) if ran.cpu_s]
    return float(np.median(used)) if used else 0.0


def seen_of(values: Sequence[float], source: str) -> Seen:
    """The number that measurements above 0 give."""
    logs = [log(one) for one in values if one > 0.0]
    sigma = float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0
    return Seen(float(np.median(values)), sigma, len(values), source)


def _some(name: str, values: Sequence[float], source: str) -> dict[str, Seen]:
    return {name: seen_of(values, source)} if values else {}


def _exports(suite: Suite, label: str) -> list[float]:
    return [sum(ran.took_s("exporting to")) for ran in suite.of(label)]


def _hashed(suite: Suite) -> list[float]:
    """A COPY starts when what it takes of a stage is hashed: how much longer that takes for each byte than for nearly none."""
    taken = "COPY --from=a"
    least_s = float(np.median([min(ran.waited_s(taken)) for ran in suite.of("sharing")]))
    large = {"bytes": BIG_BYTES, "writes": 2 * BIG_BYTES}
    return [
        (waited_s - least_s) / size_bytes
        for label, size_bytes in large.items()
        for ran in suite.of(label)
        for waited_s in ran.waited_s(taken)
    ]


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
