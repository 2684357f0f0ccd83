"""The plain max-min model of design section 7, from scratch: what the real model must beat.

In: the requests, graphs, costs and farm that the model gets. Out: an `Observed` run. Steps share a runner's cores max-min
fairly, slots are FIFO, equal keys in flight execute once, what is built stays built; one runner a pool. No more than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from math import inf

from sim.fit.validation.observed import BuildId, Observed, Seen
from sim.fit.validation.predictors import PLAIN, Key, Overheads, Part, parts_of, phases_of
from sim.graph import Graphs
from sim.profile import Profile
from sim.scenario.farm import Farm
from sim.workload import Request


def max_min(
    requests: Sequence[Request], graphs: Graphs, farm: Farm, profile: Profile, overheads: Overheads = PLAIN
) -> Observed:
    """The plain max-min model of design section 7; keys by content, in-flight sharing, FIFO slots, one runner a pool."""
    return _MaxMin(graphs, farm, profile, overheads).run(requests)


@dataclass(slots=True)
class _Job:
    """An execution: its phases, what comes after it, and the rate at which it works now."""

    runner: _Runner
    phases: deque[tuple[float, float]]
    key: Key = ()
    waiters: list[tuple[Part, int]] = field(default_factory=list)
    then: Callable[[], None] | None = None
    left: float = 0.0
    rate: float = 0.0


@dataclass(slots=True)
class _Runner:
    """A machine: what it has built, what is in flight, what works, what waits for a slot."""

    cpus: float
    slots: float
    done: set[Key] = field(default_factory=set)
    flying: dict[Key, _Job] = field(default_factory=dict)
    working: list[_Job] = field(default_factory=list)
    queue: deque[_Job] = field(default_factory=deque)
    held: int = 0

    def fill(self) -> None:
        """Max-min fair rates over the steps that compute."""
        free, left = self.cpus, sorted((job for job in self.working), key=lambda job: job.phases[0][1])
        for at, job in enumerate(left):
            job.rate = min(job.phases[0][1], free / (len(left) - at))
            free -= job.rate


class _MaxMin:
    """Steps of all builds on their runners: FIFO slots, keys, equal keys in flight execute once."""

    def __init__(self, graphs: Graphs, farm: Farm, profile: Profile, overheads: Overheads) -> None:
        self._graphs, self._farm, self._profile, self._overheads = graphs, farm, profile, overheads
        self._now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._runners: dict[tuple[str, str], _Runner] = {}
        self.builds: dict[BuildId, Seen] = {}
        self._open: dict[int, int] = {}
        self._followers: dict[int, list[Request]] = {}
        self._needs: dict[int, set[int]] = {}

    def run(self, requests: Sequence[Request]) -> Observed:
        """All requests, to the end."""
        for request in requests:
            before = request.needs or (() if request.after is None else (request.after,))
            self._needs[request.index] = set(before)
            for other in before:
                self._followers.setdefault(other, []).append(request)
            if not before:
                self._at(request.arrived_s, partial(self._arrive, request))
        while self._step():
            pass
        return Observed(self.builds)

    def _at(self, time_s: float, call: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (time_s, self._count, call))

    def _step(self) -> bool:
        """To the next event, or the next end of a phase that computes."""
        working = [job for runner in self._runners.values() for job in runner.working]
        first = min(working, key=lambda job: job.left / job.rate, default=None)
        end_s = self._now_s + first.left / first.rate if first is not None else inf
        event_s = self._events[0][0] if self._events else inf
        if min(end_s, event_s) == inf:
            return False
        elapsed_s, self._now_s = min(end_s, event_s) - self._now_s, min(end_s, event_s)
        for job in working:
            job.left = max(job.left - job.rate * elapsed_s, 0.0)
        if event_s <= end_s:
            heappop(self._events)[2]()
        elif first is not None:
            first.runner.working.remove(first)
            self._phase_over(first)
        for runner in self._runners.values():
            runner.fill()
        return True

    def _arrive(self, request: Request) -> None:
        parts = parts_of(request, self._graphs, self._farm, self._profile)
        self._open[request.index] = len(parts)
        for part in parts:
            part.arrived_s = self._now_s
            part.waits = [len({one.step for one in step.inputs}) for step in part.graph.steps]
            part.left = len(part.graph.steps)
            self._at(self._now_s + self._overheads.before_s, partial(self._load, part, 1))

    def _load(self, part: Part, sources: int) -> None:
        """The sources that every build loads before it knows its graph."""
        runner = self._runner(part)
        then = partial(self._load, part, sources - 1) if sources else partial(self._begin, part)
        runner.queue.append(_Job(runner, deque([(self._overheads.preamble_s, 0.0)]), then=then))
        self._fill_slots(runner)

    def _begin(self, part: Part) -> None:
        for index in [index for index, waits in enumerate(part.waits) if not waits]:
            self._ready(part, index)

    def _runner(self, part: Part) -> _Runner:
        return self._runners.setdefault(part.runner, _Runner(part.cpus, self._farm.max_parallelism or inf))

    def _ready(self, part: Part, index: int) -> None:
        runner, key = self._runner(part), part.keys[index]
        if key in runner.done:
            self._done(part, index)
        elif key in runner.flying:
            runner.flying[key].waiters.append((part, index))
        else:
            phases = phases_of(part.costs[index], part.graph.steps[index].kind, self._overheads)
            job = runner.flying[key] = _Job(runner, deque(phases), key=key, waiters=[(part, index)])
            runner.queue.append(job)
            self._fill_slots(runner)

    def _fill_slots(self, runner: _Runner) -> None:
        while runner.queue and runner.held < runner.slots:
            runner.held += 1
            self._next_phase(runner.queue.popleft())

    def _next_phase(self, job: _Job) -> None:
        if not job.phases:
            self._finish(job)
        elif job.phases[0][1] == 0.0:
            self._at(self._now_s + job.phases[0][0], partial(self._phase_over, job))
        else:
            job.left = job.phases[0][0]
            job.runner.working.append(job)

    def _phase_over(self, job: _Job) -> None:
        job.phases.popleft()
        self._next_phase(job)

    def _finish(self, job: _Job) -> None:
        runner = job.runner
        runner.held -= 1
        if job.then is not None:
            job.then()
        else:
            runner.done.add(job.key)
            del runner.flying[job.key]
        for part, index in job.waiters:
            self._done(part, index)
        self._fill_slots(runner)

    def _done(self, part: Part, index: int) -> None:
        part.left -= 1
        for consumer in set(part.consumers[index]):
            part.waits[consumer] -= 1
            if not part.waits[consumer]:
                self._ready(part, consumer)
        if not part.left:
            self._at(self._now_s + self._overheads.after_s, partial(self._end, part))

    def _end(self, part: Part) -> None:
        self.builds[part.build] = Seen(part.arrived_s, self._now_s, "ok", {})
        ended = part.build.request
        self._open[ended] -= 1
        if self._open[ended]:
            return
        for request in self._followers.pop(ended, ()):
            self._needs[request.index].discard(ended)
            if not self._needs[request.index]:
                delay_s = request.after_s if request.needs else request.think_s
                self._at(self._now_s + delay_s, partial(self._arrive, request))
