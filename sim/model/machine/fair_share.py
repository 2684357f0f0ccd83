"""One resource of a machine as a max-min fair share with caps (processor sharing), in exact virtual time.

Jobs enter with work (core-seconds, bytes) and a cap (cores, bytes/s); each runs at min(cap, level), the level found by
water-filling [Bertsekas & Gallager 1992, 6.5.2]. BuildKit's steps share a CPU so to 1-3 % (buildkit-semantics 13.3).

All jobs of one cap run at one rate, so a class of equal caps needs only a clock that advances at that rate: a job
ends when the clock reaches its start plus its work. A change costs O(classes + log jobs), whatever the number of jobs.
A change is any number of `add`, `remove` and `finish` at one time, then one `settle`.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

Job = list[object]
"""A job in progress: [end in its class's clock, arrival number, owner, class]. The owner of one taken out is None."""


class _Class:
    """All jobs of one cap: a clock, its rate now, and a heap of jobs."""

    __slots__ = ("cap", "clock", "heap", "jobs", "rate")

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.clock = 0.0
        self.rate = 0.0
        self.jobs = 0
        self.heap: list[Job] = []


class Machine:
    """Capacity shared max-min fairly. Time only moves forward: every call gives the time now, in seconds."""

    __slots__ = (
        "_arrivals",
        "_busy",
        "_by_cap",
        "_classes",
        "_first",
        "_now",
        "capacity",
        "jobs",
        "next_end_s",
        "work_done",
    )

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.jobs = 0
        self.work_done = 0.0
        self.next_end_s = inf
        self._busy = 0.0
        self._now = 0.0
        self._arrivals = 0
        self._by_cap: dict[float, _Class] = {}
        self._classes: list[_Class] = []
        self._first: _Class | None = None

    def add(self, now: float, work: float, cap: float, owner: object) -> Job:
        """Start a job of `work`, at most `cap` at a time."""
        if now > self._now:
            self._advance(now)
        kind = self._by_cap.get(cap) or self._new_class(cap)
        if not kind.jobs:
            # An empty class starts anew, so that clocks stay small and exact.
            kind.clock = 0.0
            kind.heap.clear()
        self._arrivals += 1
        job: Job = [kind.clock + work, self._arrivals, owner, kind]
        heappush(kind.heap, job)
        kind.jobs += 1
        self.jobs += 1
        return job

    def remove(self, now: float, job: Job) -> float:
        """Take a job out before its end; returns the work left."""
        if now > self._now:
            self._advance(now)
        kind: _Class = job[3]  # type: ignore[assignment]
        left: float = job[0] - kind.clock  # type: ignore[operator]
        job[2] = None
        kind.jobs -= 1
        self.jobs -= 1
        return left if left > 0.0 else 0.0

    def finish(self, now: float) -> object:
        """End the job whose end `next_end_s` is; returns its owner. Others that end now have theirs after `settle`."""
        if now > self._now:
            self._advance(now)
        kind = self._first
        assert kind is not None
        job = heappop(kind.heap)
        # The job's end becomes the clock: it drops the rounding of many small advances.
        kind.clock = job[0]  # type: ignore[assignment]
        kind.jobs -= 1
        self.jobs -= 1
        return job[2]

    def settle(self) -> float:
        """New rates by water-filling over the classes, lowest cap first; returns (and keeps) when the next job ends."""
        free = self.capacity
        left = self.jobs
        soonest = inf
        if left:
            for kind in self._classes:
                jobs = kind.jobs
                if not jobs:
                    kind.rate = 0.0
                    continue
                rate = free / left
                if kind.cap < rate:
                    rate = kind.cap
                kind.rate = rate
                free -= rate * jobs
                left -= jobs
                heap = kind.heap
                while heap[0][2] is None:
                    heappop(heap)
                wait = (heap[0][0] - kind.clock) / rate  # type: ignore[operator]
                if wait < soonest:
                    soonest = wait
                    self._first = kind
            self._busy = self.capacity - free
            self.next_end_s = self._now + soonest if soonest > 0.0 else self._now
        else:
            self._busy = 0.0
            self.next_end_s = inf
        return self.next_end_s

    def _advance(self, now: float) -> None:
        elapsed = now - self._now
        self._now = now
        if self.jobs:
            self.work_done += self._busy * elapsed
            for kind in self._classes:
                kind.clock += kind.rate * elapsed

    def _new_class(self, cap: float) -> _Class:
        kind = _Class(cap)
        self._by_cap[cap] = kind
        self._classes.append(kind)
        self._classes.sort(key=lambda one: one.cap)
        return kind
