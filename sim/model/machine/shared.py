"""A fair share in SimPy's time: one live timer a resource.

In: jobs. Out: `done(owner)` as each ends. The timer is armed again only when the next end moves earlier; one that fires too
early arms itself again (simulators.md 1d): no interrupt, and never more than a stale event or two in SimPy's heap.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any, Final

from simpy import Environment

from sim.model.machine.fair_share import STEPS, FairShare, Job

_OBJECTS_A_LOOK = 100_000
_NORMAL: Final = 1  # simpy.events.NORMAL


class Clock:
    """SimPy's time, its queue and its count of events, at hand: each is looked up once and not for every event."""

    __slots__ = ("count", "env", "queue")

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.queue: list[Any] = env._queue
        self.count: Callable[[], int] = env._eid.__next__


class Timer:
    """What fires once: SimPy's `Timeout` without what it checks and keeps for processes, half its cost."""

    __slots__ = ("_ok", "_value", "callbacks")

    def __init__(self, clock: Clock, at_s: float, value: object, callbacks: list[Callable[[Any], None]]) -> None:
        self._ok = True
        self.set(clock, at_s, value, callbacks)

    def set(self, clock: Clock, at_s: float, value: object, callbacks: list[Callable[[Any], None]]) -> None:
        """Fire at a time; one that has fired may be set again. Nobody changes the list, so timers may share one."""
        self.callbacks: list[Callable[[Any], None]] | None = callbacks
        self._value = value
        heappush(clock.queue, (at_s, _NORMAL, clock.count(), self))


def run(env: Environment) -> None:
    """`env.run()`: the loop of SimPy's `step` without a call an event.

    Python's garbage collector looks less often meanwhile: next to nothing in a run goes in circles.
    """
    queue: list[tuple[float, int, int, Any]] = env._queue  # type: ignore[assignment]
    thresholds = gc.get_threshold()
    gc.set_threshold(max(thresholds[0], _OBJECTS_A_LOOK), *thresholds[1:])
    try:
        while queue:
            env._now, _, _, event = heappop(queue)
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
    finally:
        gc.set_threshold(*thresholds)


class Shared:
    """A `FairShare` in SimPy's time: `done(owner)` is called when a job ends; what it adds is settled once, together."""

    __slots__ = ("_armed_s", "_callbacks", "_clock", "_done", "_firing", "share")

    def __init__(self, env: Environment, share: FairShare, done: Callable[[object], None]) -> None:
        self.share = share
        self._clock = Clock(env)
        self._done = done
        self._armed_s = inf
        self._firing = False
        self._callbacks: list[Callable[[Any], None]] = [self._fire]

    def add(
        self,
        work: float,
        cap: float,
        owner: object,
        group: int = STEPS,
        weight: float = 1.0,
        is_sleepy: bool = False,
    ) -> Job:
        """Start a job."""
        job = self.share.add(self._clock.env._now, work, cap, owner, group, weight, is_sleepy)
        if not self._firing:
            end_s = self.share.settle()
            if end_s < self._armed_s:
                self._arm(end_s)
        return job

    def remove(self, job: Job) -> float:
        """Take a job out; returns the work left."""
        left = self.share.remove(self._clock.env._now, job)
        if not self._firing:
            end_s = self.share.settle()
            if end_s < self._armed_s:
                self._arm(end_s)
        return left

    def _arm(self, end_s: float) -> None:
        self._armed_s = end_s
        now_s = self._clock.env._now
        Timer(self._clock, end_s if end_s > now_s else now_s, end_s, self._callbacks)  # where several end at once

    def _fire(self, timer: Timer) -> None:
        armed_s: float = timer._value  # type: ignore[assignment]
        if armed_s != self._armed_s:
            return  # armed anew, for an earlier time
        self._armed_s = inf
        share = self.share
        if share.next_end_s <= armed_s:
            self._firing = True
            self._done(share.finish(armed_s))
            self._firing = False
        end_s = share.settle()
        if end_s < inf:
            self._armed_s = end_s
            now_s = self._clock.env._now
            timer.set(self._clock, end_s if end_s > now_s else now_s, end_s, self._callbacks)
