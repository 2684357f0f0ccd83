"""Simple predictors that the model must beat: the median of past builds, the sum of step times, the critical path.

In: the requests, graphs, costs and farm that the model gets. Out: an `Observed` run (without steps). Written without the model,
so that they share no mistake of it; what they leave out (clones, cancelling, failures, exports, bake's barrier) is not predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from sim.fit.validation.observed import BuildId, Observed, Seen
from sim.graph import Graph, Graphs
from sim.profile import Cost, Profile
from sim.scenario.farm import Farm
from sim.workload import Request
from sim.workload.selection import touches


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a plain model adds to the commands: core-seconds a RUN, a COPY and a byte, seconds around a build.

    `preamble_s` is each of the two sources that every build loads first, one after the other; they take slots.
    """

    run_cpu_s: float
    copy_cpu_s: float
    write_byte_cpu_s: float
    before_s: float
    preamble_s: float
    context_s: float
    after_s: float


PLAIN = Overheads(0.09, 0.0, 1e-9, 0.0, 0.0225, 0.0, 0.070)
"""Design section 7, uncalibrated: two sources (definition, .dockerignore) make 45 ms. Its writes are the other one's."""

OBVIOUS = Overheads(0.065, 0.012, 1e-9, 0.014, 0.008, 0.008, 0.065)
"""README of the mixed cases: the constants of an obvious model, by hand."""

Key = tuple[object, ...]


@dataclass(slots=True)
class Part:
    """One build: a target's graph on one runner, its costs, and for each step its key. The rest is `max_min`'s own."""

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


def parts_of(request: Request, graphs: Graphs, farm: Farm, profile: Profile) -> list[Part]:
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
            part = Part(
                BuildId(request.index, target, platforms), (project, platform), cpus, graph, profile.costs(graph)
            )
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
            context = (
                graph.contexts.get(graph.steps[one.step].source) if graph.steps[one.step].kind == "context" else None
            )
            if context is not None:
                changed = [each for each in request.content.versions if touches(context, one.paths, each[0])]
                given.append((context.folder, one.paths, tuple(changed)))
            else:
                given.append((one.paths, holds[one.step]) if one.by_content else keys[one.step])
        if step.kind == "context" or (request.no_cache and step.kind in ("copy", "exec")):
            given.append(request.index)
        keys.append(tuple(given))
        holds.append((step.digest,) if costs[index].same_output is True else keys[index])
    return keys


def phases_of(cost: Cost, kind: str, overheads: Overheads) -> list[tuple[float, float]]:
    """(amount, cap): cap 0 is a sleep in seconds, else core-seconds on so many cores. Bytes from afar take no time."""
    if kind == "exec":
        daemon_s = overheads.run_cpu_s
    elif kind == "copy":
        daemon_s = overheads.copy_cpu_s
    else:
        return [(overheads.context_s, 0.0)] if kind == "context" and overheads.context_s else []
    own_s = cost.cpu_s if kind == "exec" else 0.0
    phases = [
        (daemon_s, 1.0),
        (cost.latency_s, 0.0),
        (own_s, cost.threads),
        (cost.write_bytes * overheads.write_byte_cpu_s, 1.0),
    ]
    return [phase for phase in phases if phase[0] > 0.0]


def alone_s(cost: Cost, kind: str, cpus: float, overheads: Overheads) -> float:
    """How long a step takes with nothing beside it."""
    return sum(amount / min(cap, cpus) if cap else amount for amount, cap in phases_of(cost, kind, overheads))


def sum_of_steps(
    requests: Sequence[Request], graphs: Graphs, farm: Farm, profile: Profile, overheads: Overheads = PLAIN
) -> Observed:
    """Each build as the sum of what its steps take alone; those that an earlier request had built take nothing."""
    return _alone(requests, graphs, farm, profile, overheads, sum)


def critical_path(
    requests: Sequence[Request], graphs: Graphs, farm: Farm, profile: Profile, overheads: Overheads = PLAIN
) -> Observed:
    """Each build as the longest chain of its steps, as if each had the machine for itself."""
    return _alone(requests, graphs, farm, profile, overheads, None)


def _alone(
    requests: Sequence[Request],
    graphs: Graphs,
    farm: Farm,
    profile: Profile,
    overheads: Overheads,
    total: Callable[[Sequence[float]], float] | None,
) -> Observed:
    builds: dict[BuildId, Seen] = {}
    ended_s: dict[int, float] = {}
    built: dict[tuple[str, str], set[Key]] = {}
    for request in requests:
        before = request.needs or (() if request.after is None else (request.after,))
        delay_s = request.after_s if request.needs else request.think_s
        arrived_s = max(ended_s[other] for other in before) + delay_s if before else request.arrived_s
        ended_s[request.index] = arrived_s
        for part in parts_of(request, graphs, farm, profile):
            known = built.setdefault(part.runner, set())
            takes_s = [
                0.0 if key in known else alone_s(cost, step.kind, part.cpus, overheads)
                for key, cost, step in zip(part.keys, part.costs, part.graph.steps, strict=True)
            ]
            known |= set(part.keys)
            steps_s = total(takes_s) if total else _longest(part.graph, takes_s)
            end_s = arrived_s + overheads.before_s + 2 * overheads.preamble_s + steps_s + overheads.after_s
            builds[part.build] = Seen(arrived_s, end_s, "ok", {})
            ended_s[request.index] = max(ended_s[request.index], end_s)
    return Observed(builds)


def _longest(graph: Graph, takes_s: Sequence[float]) -> float:
    ends_s: list[float] = []
    for step, own_s in zip(graph.steps, takes_s, strict=True):
        ends_s.append(own_s + max((ends_s[given.step] for given in step.inputs), default=0.0))
    return max(ends_s, default=0.0)


def median_of_past(measured: Observed, elsewhere: Sequence[Observed]) -> Observed:
    """Each build as the median of its target's builds that had ended in this run; else of all that had; else of other runs'.

    What a CI's own estimate does. `elsewhere`: runs of other scenarios, for builds without any past.
    """
    strangers = [run.duration_s(build) for run in elsewhere for build in run.builds]
    builds: dict[BuildId, Seen] = {}
    for build, one in measured.builds.items():
        past = [other for other, seen in measured.builds.items() if seen.ended_s <= one.arrived_s]
        own = [measured.duration_s(other) for other in past if other[1:] == build[1:]]
        known = own or [measured.duration_s(other) for other in past] or strangers
        builds[build] = Seen(one.arrived_s, one.arrived_s + (median(known) if known else 0.0), "ok", {})
    return Observed(builds)
