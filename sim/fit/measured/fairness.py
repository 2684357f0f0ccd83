"""How unfairly the kernel shares a runner's cores out: the spread of the weights with which commands seem to take part.

In: measured schedules with what their commands cost. Out: a spread for `Variation.share`. A command that shares cores takes
longer or shorter than an even share would let it. By how much weights of a given spread would do that depends on who else
runs, and who is early makes room: so the schedules are simulated with drawn weights, and what those do is the measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from sim.fit.measured.schedule import Schedule
from sim.profile.cost import Cost, Daemon
from sim.profile.variation import Variation, unevenness

_CROWDED, _MANY = 1.3, 20  # how much longer than alone a command takes that shares its cores; how many show how fairly
LONG_S = 0.2  # shorter ones say nothing of how cores are shared
_TRIED, _DRAWS = 0.2, 8  # a spread near the corpus' own; how often each schedule is drawn


@dataclass(frozen=True, slots=True)
class Crowded:
    """A schedule's commands that shared several cores: their places, and seconds that an even share gives them."""

    schedule: Schedule
    costs: Sequence[Cost]
    daemon: Daemon
    even_s: Sequence[float]
    places: tuple[int, ...]

    def unfairness(self, took_s: Sequence[float]) -> Iterator[float]:
        """How much longer each took, in logarithms, as of a command of one core-second."""
        for at in self.places:
            cpus = self.schedule.observation.runners[self.schedule.executions[at].runner].cpus
            yield log(took_s[at] / self.even_s[at]) / unevenness(self.costs[at].cpu_s, cpus)


def crowded(schedule: Schedule, costs: Sequence[Cost], daemon: Daemon, even_s: Sequence[float]) -> Crowded:
    """Find them. `even_s`: what each execution takes where cores are shared evenly."""
    places = []
    for at, (one, cost) in enumerate(zip(schedule.executions, costs, strict=True)):
        cpus = schedule.observation.runners[one.runner].cpus
        alone_s = cost.latency_s + cost.cpu_s / min(cost.threads, cpus)
        is_long = one.kind == "exec" and one.is_whole and one.took_s > LONG_S
        is_crowded = even_s[at] > _CROWDED * alone_s and cost.cpu_s > _CROWDED * cost.latency_s
        if is_long and is_crowded and unevenness(cost.cpu_s, cpus):
            places.append(at)
    return Crowded(schedule, costs, daemon, even_s, tuple(places))


def core_share(found: Sequence[Crowded]) -> tuple[float, int]:
    """The spread of weights under which they would differ as they did, and how many show it; 0, 0: too few, or none whose
    neighbours are commands of its own runner, for weights tell nothing then.
    """
    measured = [
        off for one in found for off in one.unfairness([execution.took_s for execution in one.schedule.executions])
    ]
    if len(measured) < _MANY:
        return 0.0, 0
    drawn = [
        off
        for number, one in enumerate(found)
        for draw in range(_DRAWS)
        for off in one.unfairness(_drawn(one, number * _DRAWS + draw))
    ]
    moved = _width(drawn)
    return (_TRIED * _width(measured) / moved, len(measured)) if moved > 0.0 else (0.0, 0)


def _drawn(one: Crowded, seed: int) -> list[float]:
    spent = one.schedule.simulate(one.costs, one.daemon, Variation(share=_TRIED), seed)
    took_s: list[float] = spent.took_s.tolist()
    return took_s


def _width(logs: Sequence[float]) -> float:
    """Where 95 % of them lie: bands want the tails, which are longer than a normal law's."""
    low, high = np.quantile(logs, (0.025, 0.975))
    return float(high - low)
