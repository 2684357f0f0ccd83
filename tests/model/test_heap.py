"""SimPy's heap stays small however long a run is: what is in it will happen, but for a few timers that came too late.

A month of the bench's full work (tests/bench/full.py), thin enough for a test. Broken on purpose, it fails: let
`Shared._fire` take a timer that was replaced by an earlier one for the live one, and each arms another.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NamedTuple

import pytest
from simpy import Environment

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sim.model import simulate as model
from sim.model.machine.shared import Shared
from sim.model.world import World
from tests.bench.full import full_work, run_full

DAY_S = 86400.0
EVERY = 29
"""Looked at after every so many events: by events, not by time, so that busy minutes count."""


class Look(NamedTuple):
    """One look at a run. `dead` are timers of resources that were armed anew for an earlier time; `bound`: `_bound`."""

    at_s: float
    entries: int
    dead: int
    bound: int


class _Watched(Environment):
    """A heap that is looked at while it runs."""

    def __init__(self, world: World, looks: list[Look], arrived_s: list[float]) -> None:
        super().__init__()
        self._world = world
        self._looks = looks
        self._arrived_s = arrived_s
        self._events = 0

    def step(self) -> None:
        super().step()
        self._events += 1
        if self._events % EVERY == 0:
            self._looks.append(self._look())

    def _look(self) -> Look:
        dead = 0
        for *_, event in self._queue:
            for callback in event.callbacks or ():
                owner = getattr(callback, "__self__", None)
                dead += isinstance(owner, Shared) and event._value != owner._armed_s
        waiting_s = self._world.farm.acquire_timeout_s
        recent = bisect_right(self._arrived_s, self.now) - bisect_left(self._arrived_s, self.now - waiting_s)
        return Look(self.now, len(self._queue), dead, _bound(self._world, recent))


def _bound(world: World, recent: int) -> int:
    """How many entries may live: one for each machine's resource, pending arrival and live step.

    A machine has a CPU, a disk, a network, a boot or an idle time-out, and a garbage collection. A request has its client
    (connecting, waiting for the answer, or being killed); a recent one has the time-outs of its client and of its wait for a
    runner, which are only looked at when they are over. A step in flight has its own timer and a poll for its mounts.
    """
    machines = leases = work = 0
    for site in world._sites.values():
        machines += len(site._runners)
        leases += len(site._leases)
        for runner in site._runners.values():
            if runner.ready_s is not None:
                work += len(runner.daemon.exporter.blobs._packing)
                steps = set()
                for build in runner.daemon.builds:
                    steps.update(build._flights)
                    export = build.delivery._export
                    work += sum(len(vertex.jobs) for vertex in export.vertices) if export is not None else 0
                work += 2 * len(steps)
    return 5 * machines + 2 * leases + work + 2 * recent + 1


@pytest.fixture(scope="module")
def month() -> list[Look]:
    """Thirty days of everything, 80 builds a day."""
    looks: list[Look] = []
    work = full_work(2400, seed=5, rate_per_s=80 / DAY_S)
    arrived_s = [request.arrived_s for request in work.requests]

    class Watching(World):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)
            self.env = _Watched(self, looks, arrived_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "World", Watching)
        patch.setattr(model, "run", _Watched.run)  # by steps, which are looked at
        run_full(work)
    assert looks[-1].at_s > 25 * DAY_S
    return looks


def test_entries_stay_below_machines_and_pending_arrivals_and_live_steps(month):
    assert [look for look in month if look.entries - look.dead > look.bound] == []


def test_dead_timers_stay_below_the_same_bound(month):
    """simulators.md 8.6. A resource leaves one for each time that its next end moved earlier before it came."""
    assert [look for look in month if look.dead > look.bound] == []
    assert sum(look.dead for look in month) < sum(look.entries - look.dead for look in month) / 2


def test_the_heap_does_not_grow_with_time(month):
    half = len(month) // 2
    early, late = (max(look.entries for look in part) for part in (month[:half], month[half:]))
    assert late <= 2 * early
