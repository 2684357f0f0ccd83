"""Three simple predictors that the model must beat: the median of past builds, the sum of step times, plain max-min.

In: the requests, graphs, costs and farm that the model gets. Out: an `Observed` run (without steps). Written without the model,
so that they share no mistake of it; what they leave out (clones, cancelling, failures, exports, bake's barrier) is not predicted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from statistics import median

from sim.fit.observed import BuildId, Observed, Seen
from sim.graph import Graph, Graphs
from sim.profile import Cost, Profile
from sim.scenario.farm import Farm
from sim.workload import Request
from sim.workload.selection import touches


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a plain model adds to the commands: core-seconds a RUN, a COPY and a byte, seconds around a build."""

    run_cpu_s: float
    copy_cpu_s: float
    write_byte_cpu_s: float
    before_s: float
    source_s: float
    after_s: float


PLAIN = Overheads(0.09, 0.0, 1e-9, 0.045, 0.0, 0.070)
"""Design section 7, uncalibrated; it has no writes, so these are taken from the other one."""

OBVIOUS = Overheads(0.065, 0.012, 1e-9, 0.014, 0.008, 0.065)
"""README of the mixed cases: the constants of an obvious model, by hand."""

Key = tuple[object, ...]


@dataclass(slots=True)
class _Part:
    """One build: a target's graph on one runner, its costs, and for each step its key and what its result holds."""

    build: BuildId
    runner: tuple[str, str]
    cpus: float
    graph: Graph
    costs: Sequence[Cost]
    keys: list[Key] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    consumers: list[list[int]] = field(default_factory=list)
    left: int = 0
    arrived_s: float = 0.0


def parts_of(request: Request, graphs: Graphs, farm: Farm, profile: Profile) -> list[_Part]:
    """The builds of a request: a target on each native platform; emulated ones go to the first platform's runner."""
    found = []
    first = next(iter(farm.platforms))
    for target in request.targets:
        on: dict[str, tuple[str, ...]] = {}
        for platform in graphs.platforms(target):
            runs_on = platform if farm.platforms[platform] == 1.0 else first
            on[runs_on] = (*on.get(runs_on, ()), platform)
        for platform, platforms in on.items():
            graph, project = graphs.graph(target, request.args, platforms), farm.projects[target]
            cpus = farm.runner_for(project, platform).cpus
            part = _Part(BuildId(request.index, target, platforms), (project, platform), cpus, graph, profile.costs(graph))
            part.keys = _keys(graph, part.costs, request)
            part.consumers = graph.consumers()
            found.append(part)
    return found


def _keys(graph: Graph, costs: Sequence[Cost], request: Request) -> list[Key]:
    """A key a step: the operation, the keys of its inputs, the content of what it copies. --no-cache shares nothing."""
    keys: list[Key] = []
    holds: list[Key] = []  # what a result holds: equal for equal keys, or for all commits where the output survives
    for index, step in enumerate(graph.steps):
        given: list[object] = [step.op, step.platform if step.kind == "exec" else ""]
        for one in step.inputs:
            context = graph.contexts.get(graph.steps[one.step].source) if graph.steps[one.step].kind == "context" else None
            if context is not None:
                changed = [each for each in request.content.versions if touches(context, one.paths, each[0])]
                given.append((context.folder, one.paths, tuple(changed)))
            else:
                given.append((one.paths, holds[one.step]) if one.by_content else keys[one.step])
        if request.no_cache and step.kind in ("copy", "exec"):
            given.append(request.index)
        keys.append(tuple(given))
        holds.append((step.digest,) if costs[index].same_output is True else keys[index])
    return keys


def _phases(cost: Cost, kind: str, overheads: Overheads) -> list[tuple[float, float]]:
    """(amount, cap): cap 0 is a sleep in seconds, else core-seconds on so many cores. Bytes from afar take no time."""
    if kind == "exec":
        daemon_s = overheads.run_cpu_s
    elif kind == "copy":
        daemon_s = overheads.copy_cpu_s
    else:
        return []
    own_s = cost.cpu_s if kind == "exec" else 0.0
    phases = [(daemon_s, 1.0), (cost.latency_s, 0.0), (own_s, cost.threads), (cost.write_bytes * overheads.write_byte_cpu_s, 1.0)]
    return [phase for phase in phases if phase[0] > 0.0]


def alone_s(cost: Cost, kind: str, cpus: float, overheads: Overheads) -> float:
    """How long a step takes with nothing beside it."""
    return sum(amount / min(cap, cpus) if cap else amount for amount, cap in _phases(cost, kind, overheads))


# Plain max-min -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """An execution: its phases, who waits for it, and the rate at which it works now."""

    runner: _Runner
    phases: deque[tuple[float, float]]
    key: Key
    waiters: list[tuple[_Part, int]]
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
                self._at(request.arrived_s, lambda request=request: self._arrive(request))  # type: ignore[misc]
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
            sources = sum(step.kind in ("source", "context") for step in part.graph.steps) + 2
            before_s = self._overheads.before_s + sources * self._overheads.source_s
            self._at(self._now_s + before_s, lambda part=part: self._begin(part))  # type: ignore[misc]

    def _begin(self, part: _Part) -> None:
        for index in [index for index, waits in enumerate(part.waits) if not waits]:
            self._ready(part, index)

    def _ready(self, part: _Part, index: int) -> None:
        runner = self._runners.setdefault(part.runner, _Runner(part.cpus, self._farm.max_parallelism or inf))
        key = part.keys[index]
        if key in runner.done:
            self._done(part, index)
        elif key in runner.flying:
            runner.flying[key].waiters.append((part, index))
        else:
            phases = _phases(part.costs[index], part.graph.steps[index].kind, self._overheads)
            job = runner.flying[key] = _Job(runner, deque(phases), key, [(part, index)])
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
            self._at(self._now_s + job.phases[0][0], lambda: self._phase_over(job))
        else:
            job.left = job.phases[0][0]
            job.runner.working.append(job)

    def _phase_over(self, job: _Job) -> None:
        job.phases.popleft()
        self._next_phase(job)

    def _finish(self, job: _Job) -> None:
        runner = job.runner
        runner.held -= 1
        runner.done.add(job.key)
        del runner.flying[job.key]
        for part, index in job.waiters:
            self._done(part, index)
        self._fill_slots(runner)

    def _done(self, part: _Part, index: int) -> None:
        part.left -= 1
        for consumer in set(part.consumers[index]):
            part.waits[consumer] -= 1
            if not part.waits[consumer]:
                self._ready(part, consumer)
        if not part.left:
            self._at(self._now_s + self._overheads.after_s, lambda: self._end(part))

    def _end(self, part: _Part) -> None:
        self.builds[part.build] = Seen(part.arrived_s, self._now_s, "ok", {})
        ended = part.build.request
        self._open[ended] -= 1
        if self._open[ended]:
            return
        for request in self._followers.pop(ended, ()):
            self._needs[request.index].discard(ended)
            if not self._needs[request.index]:
                delay_s = request.after_s if request.needs else request.think_s
                self._at(self._now_s + delay_s, lambda request=request: self._arrive(request))  # type: ignore[misc]


def max_min(
    requests: Sequence[Request], graphs: Graphs, farm: Farm, profile: Profile, overheads: Overheads = PLAIN
) -> Observed:
    """The plain max-min model of design section 7; keys by content, in-flight sharing, FIFO slots, one runner a pool."""
    return _MaxMin(graphs, farm, profile, overheads).run(requests)
