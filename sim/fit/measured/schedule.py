"""A measured schedule on the model's machine: every vertex starts when it was seen to start; how long does it take then?

In: an `Observation`, a `Cost` for each execution, a daemon's constants. Out: seconds by execution, and on what they were
spent. Starts are given, so an error in one step's cost moves no other step: what remains is contention, which the model's
own phases, CPU groups, disk and network work out (design section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from simpy import Environment
from simpy.events import Event, Timeout

from sim.fit.measured.clients import Client
from sim.fit.measured.executions import Execution, Observation
from sim.graph.types import Graph, Step
from sim.model.buildkit.edge import CLIENT_CPU, CPU, DAEMON_CPU, DELAY, SLEEPY_CPU, Build, Edge, Phase, Work
from sim.model.buildkit.phases import Costing
from sim.model.engine import HostEngine, RunnerEngine, with_disk
from sim.model.plan.compiled import Compiled
from sim.model.plan.known import Known
from sim.model.store.versioned import Versioned
from sim.profile import Profile
from sim.profile.cost import CLIENT_PARTS, Cost, Daemon
from sim.profile.variation import CONSTANT, Variation
from sim.workload.request import Request

Seconds = NDArray[np.float64]
_GRAPH_KINDS = ("exec", "copy", "context", "source", "merge")
_COPIES = ("copy", "digest")  # both go by what the rules say of the COPY
SHARES = ("daemon", "wait", "cpu", "rest")
# How much of each part of its client's work (`CLIENT_PARTS`) a build's own executions wait for, by their kind.
_WAIT_FOR_CLIENT = (
    {"opening": 1.0},
    {"opening": 0.5, "preamble": 0.5},
    {"opening": 0.5, "preamble": 0.5},
    {"tail": 1.0, "bake tail": 1.0},
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by execution: in all, and by what they were spent on.

    `daemon`: BuildKit's own share of a RUN; `wait`: time that needs no resource; `cpu`: the command's (of a COPY or a source
    the daemon's for it); `rest`: network, disk, the client. `cpu_s`: core-seconds of all, clients left out.
    """

    took_s: Seconds
    daemon: Seconds
    wait: Seconds
    cpu: Seconds
    rest: Seconds
    cpu_s: float


class Schedule:
    """The executions of one observation, ready to be simulated with any costs."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.executions = observation.executions
        steps = tuple(_step(at, one) for at, one in enumerate(self.executions))
        graph = Graph(target="observed", platforms=(), steps=steps, results=())
        self._graph = graph
        self._compiled = Compiled(graph, Profile.ideal())
        copies = {(one.build, one.name): at for at, one in enumerate(self.executions) if one.kind == "copy"}
        self._costed = [  # a digest goes by its COPY, where that was executed
            copies.get((one.build, one.name), at) if one.kind == "digest" else at
            for at, one in enumerate(self.executions)
        ]
        self._seen = {(one.kind, one.build) for one in self.executions}
        self._companions = {build: len(client.builds) for client in observation.clients for build in client.builds}
        self._owner = _Owner(self._compiled, [step.name for step in steps])

    def stated(self, profile: Profile) -> list[Cost]:
        """What a profile says of each execution: its rules, else priors or constants; bytes as they were measured."""
        found = []
        for one, cost in zip(self.executions, profile.costs(self._graph), strict=True):
            if one.kind not in _GRAPH_KINDS and one.kind not in _COPIES:
                cost = Cost()
            elif one.kind in _COPIES and one.bytes:
                cost = replace(cost, write_bytes=one.bytes)
            found.append(replace(cost, spread=0.0))
        return found

    def simulate(self, costs: Sequence[Cost], daemon: Daemon, variation: Variation = CONSTANT, seed: int = 0) -> Spent:
        """How long each execution takes with these costs. One that was cut off ends when it was seen to end.

        Of `variation` the luck of commands that share cores is drawn, by `seed`.
        """
        self._compiled.costs[: len(costs)] = list(costs)
        env, profile = Environment(), Profile(daemon, (), with_priors=False)
        seen = self.observation
        host = HostEngine(env, with_disk(seen.host, daemon)) if seen.host is not None else None
        machines = {at: with_disk(machine, daemon) for at, machine in seen.runners.items()}
        engines = {
            at: (
                RunnerEngine(env, machine, daemon.daemon_cgroup, host, daemon.crowded_share),
                Costing(profile, 0, seen.slowdowns, Versioned(), machine),
            )
            for at, machine in machines.items()
        }
        table = np.zeros((len(SHARES), len(self.executions)))
        chains = []
        for at, one in enumerate(self.executions):
            engine, costing = engines[one.runner]
            cpus = machines[one.runner].cpus
            weight = variation.weight(seed, at, 0, costs[at].cpu_s, cpus) if one.kind == "exec" else 1.0
            chain = _Chain(
                engine, self._phases(at, one, costs[self._costed[at]], costing, daemon), table[:, at], weight
            )
            chains.append(chain)
            Timeout(env, one.started_s).callbacks.append(chain.start)
            if not one.is_whole:
                Timeout(env, one.completed_s).callbacks.append(chain.stop)
        for client in seen.clients if seen.client_cpu_s else ():
            for at_s, part in self._beside(client):
                if client.runner in engines:
                    work = Work([(CLIENT_CPU, seen.client_cpu_s * part, 1.0)])
                    Timeout(env, at_s).callbacks.append(partial(_start, engines[client.runner][0], work))
        env.run()
        counted_s = sum(engine.cpu_s for engine, _ in engines.values())
        if host is None:
            counted_s -= seen.client_cpu_s * sum(client.runner in engines for client in seen.clients)
        return Spent(table.sum(axis=0), table[0], table[1], table[2], table[3], counted_s)

    def _beside(self, client: Client) -> Iterator[tuple[float, float]]:
        """When a client works with nothing that waits for it, and its parts: where an opening or an end is seen, that does."""
        for at_s, part, waits in zip(client.works_s, CLIENT_PARTS, _WAIT_FOR_CLIENT, strict=True):
            waiting = sum(
                share for build in client.builds for kind, share in waits.items() if (kind, build) in self._seen
            )
            yield at_s, part * (1.0 - waiting / len(client.builds))

    def _client_s(self, one: Execution, part: float) -> float:
        """The share of a client's part that one of its builds waits for."""
        return self.observation.client_cpu_s * part / self._companions.get(one.build, 1)

    def _phases(
        self, at: int, one: Execution, cost: Cost, costing: Costing, daemon: Daemon
    ) -> list[tuple[int, list[Phase]]]:
        """The phases of an execution one by one, each with the share that it counts for."""
        if one.kind == "preamble":
            if "load metadata" in one.name:
                return [(1, [(DELAY, daemon.metadata_latency_s, 0.0)])]
            is_definition = "load build definition" in one.name
            part = CLIENT_PARTS.definition if is_definition else CLIENT_PARTS.dockerignore
            sent: Phase = (CLIENT_CPU, self._client_s(one, part / 2), 1.0)
            return [(3, [sent]), (0, [(SLEEPY_CPU, _preamble_s(one, daemon), 1.0)])]
        if one.kind in ("tail", "bake tail"):
            own_s = daemon.bake_target_cpu_s if one.kind == "bake tail" else 0.0
            record: Phase = (SLEEPY_CPU, daemon.tail_cpu_s + own_s, daemon.tail_cores)
            client: Phase = (CLIENT_CPU, self._client_s(one, CLIENT_PARTS.end), 1.0)
            return [(1, [(DELAY, daemon.tail_latency_s, 0.0)]), (0, [record]), (3, [client])]
        if one.kind == "opening":
            loads = daemon.definition_cpu_s + daemon.dockerignore_cpu_s
            work: Phase = (SLEEPY_CPU, daemon.open_cpu_s, daemon.open_cores)
            latency_s = daemon.client_latency_s + daemon.metadata_latency_s
            parts = CLIENT_PARTS.start + (CLIENT_PARTS.definition + CLIENT_PARTS.dockerignore) / 2
            client = (CLIENT_CPU, self._client_s(one, parts), 1.0)
            return [(3, [client]), (1, [(DELAY, latency_s, 0.0)]), (0, [work]), (0, [(SLEEPY_CPU, loads, 1.0)])]
        if one.kind == "digest":
            return [(2, [(DAEMON_CPU, cost.write_bytes * daemon.hash_byte_cpu_s, 1.0)])]
        if one.kind == "export" or (one.kind == "source" and cost.origin == "constant"):
            return [(2, [(DAEMON_CPU, cost.cpu_s, cost.threads)])]
        edge = Edge(self._owner, at, at, False)
        edge.warm = one.is_warm and one.kind == "exec"
        edge.sent_bytes = one.bytes or 0.0 if one.kind == "context" else 0.0
        phases = costing.phases(edge)
        if cost.overlap:  # they run at once: what is not the daemon's counts as CPU
            return [(0, phases[:1]), (2, phases[1:])]
        own = 1 if one.kind == "exec" else 0  # the first phase of a RUN is the daemon's
        return [(0 if place < own else _share(phase), [phase]) for place, phase in enumerate(phases)]


def _start(engine: RunnerEngine, work: Work, _: Event) -> None:
    """Work that nothing waits for."""
    engine.work(work, lambda _: None)


class _Chain:
    """Phases carried out one after the other, each timed."""

    __slots__ = ("_column", "_engine", "_next", "_phases", "_since_s", "_weight", "_work")

    def __init__(
        self, engine: RunnerEngine, phases: list[tuple[int, list[Phase]]], column: Seconds, weight: float
    ) -> None:
        self._engine = engine
        self._phases = [(share, some) for share, some in phases if any(phase[1] > 0.0 for phase in some)]
        self._column = column
        self._next = 0
        self._since_s = 0.0
        self._weight = weight
        self._work: Work | None = None

    def start(self, _: object) -> None:
        """The execution begins."""
        self._since_s = self._engine.now
        self._go_on()

    def stop(self, _: object) -> None:
        """It is killed."""
        if self._work is not None:
            self._engine.stop(self._work)
            self._work = None
        self._next = len(self._phases)

    def _go_on(self) -> None:
        if self._next == len(self._phases):
            self._work = None
            return
        self._work = Work(self._phases[self._next][1])
        self._work.weight = self._weight
        self._engine.work(self._work, self._ended)

    def _ended(self, _: Work) -> None:
        now_s = self._engine.now
        self._column[self._phases[self._next][0]] += now_s - self._since_s
        self._since_s = now_s
        self._next += 1
        self._go_on()


class _Owner(Build):
    """The build that all vertices belong to."""

    build = 0
    runner = 0
    request = Request(0, 0.0, "", ())
    known: Known

    def __init__(self, compiled: Compiled, names: list[str]) -> None:
        self.compiled = compiled
        self.names = names
        self.inputs: list[tuple[str, ...]] = [() for _ in names]

    def vertex_ended(self, edge: Edge, index: int) -> None:
        """Nobody waits."""

    def lost(self, reason: str) -> None:
        """Nobody waits."""


def _step(at: int, one: Execution) -> Step:
    kind = one.kind if one.kind in _GRAPH_KINDS else "copy"
    image = one.command.partition("FROM ")[2] if kind == "source" else ""
    source = image if "://" in image else f"docker-image://{image}" if image else ""
    return Step(str(at), str(at), one.name, kind, one.platform, source=source)  # type: ignore[arg-type]


def _preamble_s(one: Execution, daemon: Daemon) -> float:
    """The work of what BuildKit loads first."""
    if "load build definition" in one.name:
        return daemon.definition_cpu_s
    return daemon.dockerignore_cpu_s if "load .dockerignore" in one.name else 0.0


def _share(phase: Phase) -> int:
    kind = phase[0]
    return 1 if kind == DELAY else 2 if kind in (CPU, DAEMON_CPU, SLEEPY_CPU) else 3
