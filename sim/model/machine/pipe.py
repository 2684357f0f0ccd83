"""A resource that all jobs share equally, in exact virtual time: a disk.

In and out as `FairShare`'s, so that `Shared` drives either.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

from sim.model.machine.fair_share import STEPS, FairShare, Job


class Pipe(FairShare):
    """A resource without groups and caps, as a disk is: every job has an equal share, so one clock is enough.

    As any `FairShare`, but that all jobs are of one kind.
    """

    __slots__ = ("_clock", "_heap", "capacity")

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self._clock = 0.0
        self._heap: list[Job] = []
        super().__init__([])

    def add(
        self,
        now: float,
        work: float,
        cap: float,
        owner: object,
        group: int = STEPS,
        weight: float = 1.0,
        is_sleepy: bool = False,
    ) -> Job:
        """Start a job of `work`."""
        if self.jobs:
            self._clock += (now - self._now) * self.capacity / self.jobs
        else:
            self._clock = 0.0
            self._heap.clear()
        self._now = now
        self._arrivals += 1
        self.jobs += 1
        job: Job = [self._clock + work, self._arrivals, owner]
        heappush(self._heap, job)
        return job

    def remove(self, now: float, job: Job) -> float:
        """Take a job out before its end; returns the work left."""
        self._clock += (now - self._now) * self.capacity / self.jobs
        self._now = now
        self.jobs -= 1
        job[2] = None
        left: float = job[0] - self._clock  # type: ignore[operator]
        return left if left > 0.0 else 0.0

    def finish(self, now: float) -> object:
        """End the job whose end `next_end_s` is; returns its owner."""
        job = heappop(self._heap)
        self._clock = job[0]  # type: ignore[assignment]
        self._now = now
        self.jobs -= 1
        return job[2]

    def settle(self) -> float:
        """After a change; returns (and keeps) when the next job ends."""
        if not self.jobs:
            self.next_end_s = inf
            return inf
        heap = self._heap
        while heap[0][2] is None:
            heappop(heap)
        wait = (heap[0][0] - self._clock) * self.jobs / self.capacity  # type: ignore[operator]
        self.next_end_s = end_s = self._now + wait if wait > 0.0 else self._now
        return end_s
