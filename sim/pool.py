"""Routing, builds per instance, clones and idle stop of one project on one architecture: a state machine without a clock.

In: leases that arrive and end, runners that became ready, idle time-outs. Out: actions (boot, assign, stop, watch) that the
model carries out in simulated time and a fleet of real daemons in real time (design section 2). Neither is known here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from random import Random

from sim.scenario.farm import OnFull, Routing


@dataclass(frozen=True, slots=True)
class Boot:
    """Provision a runner. `clone_of`: the runner whose cache it clones; None: it is main and works on the base cache."""

    runner: int
    clone_of: int | None


@dataclass(frozen=True, slots=True)
class Assign:
    """The lease starts on the runner."""

    lease: int
    runner: int


@dataclass(frozen=True, slots=True)
class WatchIdle:
    """The runner has nothing to do: call `idle(runner, spell)` when the idle time-out has passed."""

    runner: int
    spell: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The runner stops. A clone's own records are written back or discarded as the farm says; main's base stays."""

    runner: int
    is_main: bool


Action = Boot | Assign | WatchIdle | Stop


class _Runner:
    """A runner's state: booting or ready, main or clone, and the leases on it."""

    __slots__ = ("is_main", "leases", "ready", "spell")

    def __init__(self, is_main: bool) -> None:
        self.is_main = is_main
        self.ready = False
        self.leases: set[int] = set()
        self.spell = 0


class Pool:
    """All runners of one project on one architecture.

    `limit` is builds per instance (inf: auto-scaling is off), `max_instances` the number of runners at once. Runner numbers
    are given in order of booting and never reused. The first runner, and the first after main has stopped, is main.
    """

    def __init__(
        self,
        limit: float = inf,
        max_instances: float = 1,
        on_full: OnFull = "queue",
        routing: Routing = "fill_first",
        random: Random | None = None,
    ) -> None:
        self.limit = limit
        self.max_instances = max_instances
        self.on_full = on_full
        self.routing = routing
        self.waiting: deque[int] = deque()
        self.runners: dict[int, _Runner] = {}
        self._random = random or Random(0)
        self._booted = 0
        self._sticky: dict[int, int] = {}

    def arrive(self, lease: int, sticky: int = 0) -> list[Action]:
        """A lease wants a runner. `sticky` is a hash of its target, for that routing."""
        if self.routing == "sticky":
            self._sticky[lease] = sticky
        self.waiting.append(lease)
        return self._match()

    def ready(self, runner: int) -> list[Action]:
        """A runner that was booting is ready."""
        self.runners[runner].ready = True
        return self._match() + self._watch(runner)

    def release(self, lease: int, runner: int) -> list[Action]:
        """A lease has ended on its runner."""
        self.runners[runner].leases.discard(lease)
        return self._match() + self._watch(runner)

    def withdraw(self, lease: int) -> bool:
        """A lease that still waits gives up (cancelled, or its acquire time-out passed); False if it has a runner."""
        if lease not in self.waiting:
            return False
        self.waiting.remove(lease)
        return True

    def idle(self, runner: int, spell: int) -> list[Action]:
        """The idle time-out of a `WatchIdle` has passed; it counts only if the runner was idle all the time."""
        state = self.runners.get(runner)
        if state is None or state.leases or not state.ready or state.spell != spell:
            return []
        del self.runners[runner]
        return [Stop(runner, state.is_main)]

    def _match(self) -> list[Action]:
        """Give waiting leases, first come first served, to runners with room; boot one more where the room is short."""
        actions: list[Action] = []
        while self.waiting:
            runner = self._choose(self.waiting[0])
            if runner is None:
                break
            lease = self.waiting.popleft()
            self.runners[runner].leases.add(lease)
            self.runners[runner].spell += 1
            actions.append(Assign(lease, runner))
        room = sum(self.limit for state in self.runners.values() if not state.ready)
        while len(self.waiting) > room and len(self.runners) < self.max_instances:
            actions.append(self._boot())
            room += self.limit
        return actions

    def _boot(self) -> Boot:
        runner = self._booted
        self._booted += 1
        main = next((number for number, state in self.runners.items() if state.is_main), None)
        self.runners[runner] = _Runner(is_main=main is None)
        return Boot(runner, clone_of=main)

    def _choose(self, lease: int) -> int | None:
        """The ready runner that the routing prefers among those with room; on a full farm `share` takes the least loaded."""
        ready = sorted(
            (number for number, state in self.runners.items() if state.ready),
            key=lambda number: (not self.runners[number].is_main, number),
        )
        free = [number for number in ready if len(self.runners[number].leases) < self.limit]
        if not free:
            full = len(self.runners) >= self.max_instances and len(ready) == len(self.runners)
            return self._least_loaded(ready) if ready and full and self.on_full == "share" else None
        if self.routing == "least_loaded":
            return self._least_loaded(free)
        if self.routing == "sticky":
            return free[self._sticky.get(lease, 0) % len(free)]
        if self.routing == "random":
            return free[self._random.randrange(len(free))]
        return free[0]

    def _least_loaded(self, numbers: list[int]) -> int:
        return min(numbers, key=lambda number: (len(self.runners[number].leases), number))

    def _watch(self, runner: int) -> list[Action]:
        state = self.runners.get(runner)
        if state is None or state.leases or not state.ready:
            return []
        state.spell += 1
        return [WatchIdle(runner, state.spell)]
