"""What all requests of a replay share: time, the fleet, pools, clients' files, numbers; and the builds that were tried.

In: `Settings` and what is to be built. Out: `World`. Nothing here decides; `order` and `site` do.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.dispatch.leases import Part, Place, leases_of
from sim.dispatch.provider import Provider
from sim.errors import EnvironmentMissing
from sim.graph import Graphs
from sim.real.builds import Source
from sim.real.clients import Client, Clients
from sim.real.daemon import Daemon, DaemonSpec, RemoteDaemon
from sim.real.drive.checkouts import Checkouts
from sim.real.drive.loop import Loop
from sim.real.drive.site import Runner, Site
from sim.real.fleet import Fleet
from sim.scenario.farm import Farm
from sim.scenario.farm import Runner as Size
from sim.workload.request import Request


@dataclass(slots=True, eq=False)
class Attempt:
    """A build that was asked for: a row of `builds`, whether it ever ran or not. Times are seconds from the run's start.

    `shown` are the targets of its client: buildx puts a target's name in front of steps where there are several. `imports`:
    the name of the context by base, of bases that another project has handed over.
    """

    build: int
    request: Request
    target: str
    place: Place
    platforms: tuple[str, ...]
    arrived_s: float
    lease: int | None = None
    acquired_s: float | None = None
    runner: Runner | None = None
    client: Client | None = None
    volume: str = ""
    outcome: str = "ok"
    reason: str = ""
    ended_s: float = 0.0
    shown: tuple[str, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class World:
    """All that a replay shares. `lives` are all daemons that ever ran here, one entry a start."""

    loop: Loop
    farm: Farm
    graphs: Graphs
    source: Source
    fleet: Fleet
    clients: Clients
    seed: int
    platforms: Mapping[str, tuple[str, ...]]
    host_cpus: float
    remotes: Mapping[str, RemoteDaemon] = field(default_factory=dict)
    is_up: Callable[[Runner], None] = lambda runner: None
    runners: list[Runner] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    lives: list[Daemon] = field(default_factory=list)
    pinned: list[DaemonSpec] = field(default_factory=list)
    sites: dict[Place, Site] = field(default_factory=dict)
    _leases: int = 0
    _parts: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], dict[Place, dict[str, Part]]] = field(
        default_factory=dict
    )
    checkouts: Checkouts = field(init=False)
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = Provider(self.farm, self.seed)
        self.checkouts = Checkouts(self.loop, self.source.checkout, self.clients.folder)

    def parts(self, request: Request) -> dict[Place, dict[str, Part]]:
        """The parts of a request by lease."""
        asked = (request.targets, request.args)
        if asked not in self._parts:
            self._parts[asked] = leases_of(request, self.graphs, self.farm)
        return self._parts[asked]

    def prepare(self, requests: Sequence[Request]) -> None:
        """A pool for each place that a request needs, each with the daemon of its base."""
        for place in dict.fromkeys(place for request in requests for place in self.parts(request)):
            self.sites[place] = Site(self, *place, self.platforms[place[1]])
        for site in self.sites.values():
            site.prepare()

    def quota_of(self, size: Size) -> float:
        """Cores that a runner's control group may use; 0 where it may use all that the machine has."""
        return 0.0 if size.cpus >= self.host_cpus else size.cpus

    def pin(self, spec: DaemonSpec) -> DaemonSpec:
        """The spec with cores of its own, if it has whole ones and each runner can have its own: so has a machine.

        A quota is what is left: it lets a runner have both cores for half a period and none for the other half.
        """
        if not spec.cpus.is_integer() or not spec.cpus or self._most_cpus() > self.host_cpus:
            return spec
        cores = sorted(os.sched_getaffinity(0))[: int(self.host_cpus)]
        users = Counter(core for other in self.pinned for core in other.cores)
        chosen = sorted(cores, key=lambda core: (users[core], core))[: int(spec.cpus)]
        return replace(spec, cores=tuple(sorted(chosen)))

    def unpin(self, spec: DaemonSpec) -> None:
        """Its runner has stopped: others may have its cores."""
        self.pinned = [other for other in self.pinned if other != spec]

    def _most_cpus(self) -> float:
        """Of all runners that may be up at once."""
        scaling = self.farm.autoscaling
        return sum((scaling.max_instances if scaling else 1) * site.size.cpus for site in self.sites.values())

    def next_lease(self) -> int:
        """Leases are numbered in order of their appearance."""
        self._leases += 1
        return self._leases - 1

    def new_runner(self, site: Site, clone_of: int | None) -> Runner:
        """Runners are numbered in order of their appearance."""
        runner = Runner(len(self.runners), site, self.loop.now_s, clone_of)
        self.runners.append(runner)
        return runner

    def attempt(
        self, request: Request, target: str, place: Place, platforms: tuple[str, ...], arrived_s: float
    ) -> Attempt:
        """Note a build that is tried now, or that never will be."""
        made = Attempt(len(self.attempts), request, target, place, platforms, arrived_s)
        self.attempts.append(made)
        return made

    def arguments(self, attempt: Attempt) -> dict[str, str]:
        """The build arguments of a build whose values must not be shown."""
        return self.graphs.secrets(attempt.target, attempt.request.args)

    def news_of(self, runner: Runner) -> int:
        """How much a runner's cache has got so far: steps that its builds have executed, running ones too."""
        clients = {id(one.client): one.client for one in self.attempts if one.runner is runner and one.client}
        return sum(executed(client.log) for client in clients.values())

    def check_alive(self) -> None:
        """EnvironmentMissing: a daemon of a runner that is up has died."""
        for runner in self.runners:
            daemon = runner.daemon
            up = runner.ready_s is not None and runner.stopped_s is None
            if up and isinstance(daemon, Daemon) and not daemon.is_alive():
                raise EnvironmentMissing(
                    f"the daemon of runner {runner.number} ({daemon.name}) has died",
                    where=str(daemon.log),
                    hint="its log says why; start the replay again",
                )


def executed(log: Path) -> int:
    """Steps in a client's log that ran and ended."""
    found: set[str] = set()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"completed"' not in line:
            continue
        try:
            vertexes = json.loads(line).get("vertexes") or ()
        except (ValueError, AttributeError):
            continue
        for vertex in vertexes:
            if (
                vertex.get("completed")
                and not vertex.get("cached")
                and not vertex.get("error")
                and vertex.get("inputs")
            ):
                found.add(vertex["digest"])
    return len(found)
