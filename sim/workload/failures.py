"""Which pushes fail, and at which step: failures have a memory, and a commit fails where its change arrives.

In: the long-run rate and the chance of a failure after a failure; the graphs of a push's jobs. Out: a chain of yes and
no; digests of the step that fails. Source: farm-facts D1 (12.3 % in all, 71.5 % after a failure, 4.3 % after none).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.errors import InputError
from sim.graph.types import Graph
from sim.workload.selection import touches


def failure_chain(rng: np.random.Generator, rate: float, after_failure: float | None) -> Iterator[bool]:
    """A two-state Markov chain in its long run: True fails. Without memory (None) every push fails with `rate`.

    Stationarity gives p(fail | ok) = rate (1 - after_failure) / (1 - rate). `InputError` when that exceeds 1.
    """
    stay = rate if after_failure is None else after_failure
    begin = after_success(rate, stay)
    failing = bool(rng.random() < rate)
    while True:
        yield failing
        failing = bool(rng.random() < (stay if failing else begin))


def after_success(rate: float, after_failure: float) -> float:
    """The chance of a failure after a success that makes `rate` the long-run rate."""
    if not 0 <= rate <= 1 or not 0 <= after_failure <= 1:
        raise InputError("fails: rate and after_failure are shares between 0 and 100 %")
    if rate == 1:
        return 1.0
    begin = rate * (1 - after_failure) / (1 - rate)
    if begin > 1 or (after_failure == 1 and rate > 0):
        raise InputError(
            f"no chain of pushes fails {rate:.0%} of the time and {after_failure:.0%} after a failure",
            hint="raise after_failure" if begin > 1 else "lower after_failure below 100 %",
        )
    return begin


@dataclass(frozen=True, slots=True)
class TargetGraphs:
    """One target of a job: its graph on each of its platforms."""

    graphs: tuple[Graph, ...]
    digests: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        every = frozenset(step.digest for graph in self.graphs for step in graph.steps)
        object.__setattr__(self, "digests", every)

    def exec_steps(self) -> list[tuple[int, frozenset[str]]]:
        """RUNs in the first platform's order: the place there, and the digests of the same ordinal on all platforms."""
        first, *others = ([at for at, step in enumerate(graph.steps) if step.kind == "exec"] for graph in self.graphs)
        found = []
        for ordinal, place in enumerate(first):
            digests = {self.graphs[0].steps[place].digest}
            for graph, places in zip(self.graphs[1:], others, strict=True):
                if places:
                    digests.add(graph.steps[places[min(ordinal, len(places) - 1)]].digest)
            found.append((place, frozenset(digests)))
        return found


def failing_step(targets: Sequence[TargetGraphs], changed: tuple[str, ...], pick: float) -> frozenset[str]:
    """The digests (one a platform) of the step that fails: one of those that the changed paths reach, at random.

    `pick` is uniform in [0, 1). When they reach no RUN, it is the last RUN; empty when there is none at all.
    """
    reached: list[frozenset[str]] = []
    last: frozenset[str] = frozenset()
    for target in targets:
        downstream = reached_steps(target.graphs[0], changed)
        for place, digests in target.exec_steps():
            last = digests
            if place in downstream and digests not in reached:
                reached.append(digests)
    return reached[int(pick * len(reached))] if reached else last


def reached_steps(graph: Graph, changed: tuple[str, ...]) -> frozenset[int]:
    """The steps downstream of a context selection that one of the changed paths falls into."""
    reached: set[int] = set()
    for place, step in enumerate(graph.steps):
        for given in step.inputs:
            source = graph.steps[given.step]
            context = graph.contexts.get(source.source) if source.kind == "context" else None
            is_changed = context is not None and any(touches(context, given.paths, path) for path in changed)
            if is_changed or given.step in reached:
                reached.add(place)
                break
    return frozenset(reached)
