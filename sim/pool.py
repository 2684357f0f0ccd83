"""Routing, builds per instance, clones, write-back and idle stop of one project on one architecture: no clock in it.

In: leases that arrive and end, runners that became ready, idle time-outs. Out: actions (boot, assign, stop, watch) that the
model carries out in simulated time and a fleet of real daemons in real time (design section 2). Neither is known here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import inf
from random import Random

from sim.scenario.farm import OnFull, Routing, WriteBack

_MASK = 0xFFFFFFFFFFFFFFFF


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
    """The runner stops. `is_main`: what it holds is the base, which stays. `commit`: what it holds becomes the base.

    With neither, what it has learned is lost.
    """

    runner: int
    is_main: bool
    commit: bool = False


Action = Boot | Assign | WatchIdle | Stop


class _Runner:
    """A runner's state: booting or ready, main or not, the leases on it, and which base it has a copy of.

    `fork` is the base's version when it took its copy, None before that; `has_news`: it has learned something since.
    """

    __slots__ = ("fork", "has_news", "is_main", "leases", "ready", "spell")

    def __init__(self, is_main: bool) -> None:
        self.is_main = is_main
        self.ready = False
        self.leases: set[int] = set()
        self.spell = 0
        self.fork: int | None = None
        self.has_news = False


class Pool:
    """All runners of one project on one architecture.

    `limit` is builds per instance (inf: auto-scaling is off), `max_instances` the number of runners at once. Runner numbers
    are given in order of booting and never reused.

    Main is the runner that holds the base; nobody or one does. It works on the base itself, every other one on a copy.
    The first runner is main, and so is the next to boot when nobody holds the base: main has stopped, or another's copy
    has taken the base's place, so that main goes on with what is a copy now (`write_back`, design section 1).
    """

    def __init__(
        self,
        limit: float = inf,
        max_instances: float = 1,
        on_full: OnFull = "queue",
        routing: Routing = "fill_first",
        write_back: WriteBack = "discard",
        random: Random | None = None,
    ) -> None:
        self.limit = limit
        self.max_instances = max_instances
        self.on_full = on_full
        self.routing = routing
        self.write_back = write_back
        self.waiting: OrderedDict[int, int] = OrderedDict()
        self.runners: dict[int, _Runner] = {}
        self._random = random or Random(0)
        self._booted = 0
        self._version = 0

    def arrive(self, lease: int, sticky: int = 0) -> list[Action]:
        """A lease wants a runner. `sticky` is a hash of its target, for that routing."""
        self.waiting[lease] = sticky
        return self._match()

    def forked(self, runner: int) -> None:
        """The runner takes its copy of the base now. Without this call it is taken when the runner is ready."""
        self.runners[runner].fork = self._version

    def moved(self, runner: int) -> None:
        """The runner's cache has got something new. Call it before what depends on it: `forked` of any, `idle` of this one."""
        state = self.runners[runner]
        state.has_news = True
        if state.is_main:
            self._version += 1

    def ready(self, runner: int) -> list[Action]:
        """A runner that was booting is ready."""
        state = self.runners[runner]
        state.ready = True
        if state.fork is None:
            state.fork = self._version
        return self._match() + self._watch(runner)

    def release(self, lease: int, runner: int) -> list[Action]:
        """A lease has ended on its runner."""
        self.runners[runner].leases.discard(lease)
        return self._match() + self._watch(runner)

    def withdraw(self, lease: int) -> bool:
        """A lease that still waits gives up (cancelled, or its acquire time-out passed); False if it has a runner.

        A runner that boots for it goes on: it serves others, or stops when it has been idle.
        """
        return self.waiting.pop(lease, None) is not None

    def idle(self, runner: int, spell: int) -> list[Action]:
        """The idle time-out of a `WatchIdle` has passed; it counts only if the runner was idle all the time."""
        state = self.runners.get(runner)
        if state is None or state.leases or not state.ready or state.spell != spell:
            return []
        del self.runners[runner]
        commit = self._may_commit(state)
        if commit:
            self._replace_base()
        return [Stop(runner, state.is_main, commit)]

    def _match(self) -> list[Action]:
        """Give waiting leases, first come first served, to runners with room; boot one more where the room is short."""
        actions: list[Action] = []
        while self.waiting:
            lease, sticky = next(iter(self.waiting.items()))
            runner = self._choose(sticky)
            if runner is None:
                break
            del self.waiting[lease]
            self.runners[runner].leases.add(lease)
            self.runners[runner].spell += 1
            actions.append(Assign(lease, runner))
        room = sum(self.limit for state in self.runners.values() if not state.ready)
        while len(self.waiting) > room and len(self.runners) < self.max_instances:
            actions.append(self._boot())
            room += self.limit
        return actions

    def _choose(self, sticky: int) -> int | None:
        """The ready runner that the routing prefers among those with room; on a full farm `share` takes the least loaded."""
        ready = [number for number, state in self.runners.items() if state.ready]
        free = [number for number in ready if len(self.runners[number].leases) < self.limit]
        if not free:
            full = len(self.runners) >= self.max_instances and len(ready) == len(self.runners)
            return self._least_loaded(ready) if ready and full and self.on_full == "share" else None
        if self.routing == "least_loaded":
            return self._least_loaded(free)
        if self.routing == "sticky":
            return max(free, key=lambda number: _affinity(sticky, number))
        if self.routing == "random":
            return free[self._random.randrange(len(free))]
        return min(free, key=lambda number: (not self.runners[number].is_main, number))

    def _least_loaded(self, numbers: list[int]) -> int:
        return min(numbers, key=lambda number: (len(self.runners[number].leases), number))

    def _boot(self) -> Boot:
        runner = self._booted
        self._booted += 1
        main = next((number for number, state in self.runners.items() if state.is_main), None)
        self.runners[runner] = _Runner(is_main=main is None)
        return Boot(runner, clone_of=main)

    def _watch(self, runner: int) -> list[Action]:
        state = self.runners.get(runner)
        if state is None or state.leases or not state.ready:
            return []
        state.spell += 1
        return [WatchIdle(runner, state.spell)]

    def _may_commit(self, state: _Runner) -> bool:
        """Whether a copy takes the base's place: the last to stop always, or only one of the base as it still is.

        The first is what vendors say they do (farm-facts B, Blacksmith and Namespace): also a copy that has learned nothing
        takes the place of a base that has. `registry` has nothing to write back: each build has exported already.
        """
        if state.is_main:
            return False
        if self.write_back == "fork_commit":
            return state.has_news and state.fork == self._version
        return self.write_back == "last_write_wins"

    def _replace_base(self) -> None:
        """A copy is the base now. Main goes on with what was the base; one that still boots will find the new one."""
        for state in self.runners.values():
            if state.is_main and state.ready:
                state.is_main = False
                state.fork = self._version
        self._version += 1


def _affinity(sticky: int, runner: int) -> int:
    """A hash of both. The runner with a target's highest keeps it as others come and go [Thaler & Ravishankar 1998].

    So only a stopped runner's targets move, and a new one takes its share of each. Mixed by splitmix64's finaliser.
    """
    bits = (sticky * 0x9E3779B97F4A7C15 ^ (runner + 1) * 0xD1B54A32D192ED03) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)
