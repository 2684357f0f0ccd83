"""The same requests that the simulator takes, run on real BuildKit daemons of this machine: a measured trace.

In: a farm, requests, a profile (what synthetic steps cost), graphs. Out: `Replayed`: the trace, notes for people, and what
ended it early. The policy is `sim.pool`'s; nothing is mocked. When it returns, nothing of it is left on the machine.
"""

from __future__ import annotations

import os
import platform as system
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path

from sim import tools
from sim.graph import Graphs, GraphSpec
from sim.graph.types import Graph
from sim.profile import Profile
from sim.real.as_is import as_is
from sim.real.builds import Source, joint_platforms, keys_of, stand_ins, synthetic
from sim.real.clients import Clients
from sim.real.daemon import Daemon, RemoteDaemon, Tls
from sim.real.drive.chance import Chance
from sim.real.drive.loop import Loop
from sim.real.drive.order import Arrivals
from sim.real.drive.ready import check, prime, scaled, warm
from sim.real.drive.world import World
from sim.real.fleet import Fleet, native_platforms
from sim.real.measured.load import BUSY_SHARE, Load, Watch
from sim.real.measured.memory import Backed, back
from sim.real.measured.raw import keep_logs
from sim.real.measured.sampling import Sampler, cache_bytes
from sim.real.node import left
from sim.real.recipe import Control, Key
from sim.real.record import rows_of
from sim.scenario.farm import Farm
from sim.trace import Json, Meta, Trace
from sim.workload.request import Request

Say = Callable[[str], None]
Progress = Callable[[int, int], None]

_LOOK_S = 0.3  # how long the machine is watched before and after
_SETTLE_S = 30.0
_STALL_S = 300.0  # and three times the longest wait that a step is told
# Programs that we start beside clients and daemons; they are ended when a replay is.
_HELPERS = ("cp", "find", "xargs", "snapshots", "buildctl")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to replay. `scale`: of times and bytes; `as_is`: the true Dockerfiles, on `bases` (image name to a folder).

    `folder` is the fleet's, short and writable; `nodes` remote daemons by platform; `registry` HOST:PORT to push to; `raw`:
    where clients' logs are kept.
    """

    scale: float = 1.0
    as_is: bool = False
    bases: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    registry: str = ""
    samples_s: float = 1.0
    raw: Path | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was measured. `stopped`: what ended the replay before its work was done; raise it after the trace is written."""

    trace: Trace
    notes: tuple[str, ...] = ()
    stopped: BaseException | None = None


def replay(
    farm: Farm,
    requests: Sequence[Request],
    profile: Profile,
    graphs: Graphs,
    *,
    spec: GraphSpec,
    seed: int = 0,
    meta: Meta | None = None,
    horizon_s: float = inf,
    settings: Settings = Settings(),
    say: Say = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> Replayed:
    """Run the requests on local daemons. InputError: the farm does not fit this machine; EnvironmentMissing: no daemon can run.

    What goes wrong later (^C, a dead daemon, a full disk) ends the replay and is in `stopped`; so is a second ^C, then without
    rows. `spec` says where the scenario's own files are.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    check(farm, requests, graphs, cpus, settings.nodes)
    for tool in ("buildkitd", "buildctl", "snapshots", *(["buildx"] if graphs.bake else [])):
        tools.ensure(tool, say)  # type: ignore[arg-type]
    running = _Run(farm, requests, profile, graphs, spec, seed, cpus, settings, say, progress)
    with ExitStack() as open_now:
        running.set_up(open_now)
        stopped = running.drive(horizon_s)
        return running.finish(meta or Meta(source="measured"), stopped)


class _Run:
    """One replay: made ready, driven, written down."""

    def __init__(
        self,
        farm: Farm,
        requests: Sequence[Request],
        profile: Profile,
        graphs: Graphs,
        spec: GraphSpec,
        seed: int,
        cpus: float,
        settings: Settings,
        say: Say,
        progress: Progress,
    ) -> None:
        self.farm, self.requests = scaled(farm, requests, settings.scale)
        self.profile, self.graphs, self.spec, self.seed, self.cpus = profile, graphs, spec, seed, cpus
        self.settings, self.say, self.progress = settings, say, progress
        self.native = stand_ins(farm, native_platforms())
        self.keys: Mapping[Key, Graph] = keys_of(requests, graphs, farm)
        self.notes: list[str] = []
        self.loads: dict[str, Load] = {}
        self.memory: Backed | None = None
        self.world: World
        self.arrivals: Arrivals
        self.sampler: Sampler

    def set_up(self, open_now: ExitStack) -> None:
        """Daemons stand, caches are warm where they shall be, files are written."""
        settings, say = self.settings, self.say
        fleet = open_now.enter_context(Fleet(settings.folder, say=say))
        work = fleet.folder / left.WORK
        open_now.callback(shutil.rmtree, work, ignore_errors=True)
        open_now.callback(self._abandon)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        chance = Chance(self.keys, self.profile, self.seed)
        control = ""
        if not settings.as_is and chance.is_needed(self.requests):
            control = open_now.enter_context(Control(chance.decide)).address
        source = self._source(work, control)
        chance.fail(self.requests, self.keys, source, self._keys_of)
        clients = Clients(
            work,
            tools.ensure("buildctl", say),
            tools.ensure("buildx", say) if self.graphs.bake else None,
            settings.registry,
        )
        remotes = {platform: RemoteDaemon(platform, at, settings.tls) for platform, at in settings.nodes.items()}
        for platform, remote in remotes.items():
            fleet.add(remote, platform)
        self.world = World(
            loop=Loop(),
            farm=self.farm,
            graphs=self.graphs,
            source=source,
            fleet=fleet,
            clients=clients,
            seed=self.seed,
            platforms=joint_platforms(self.farm, self.native),
            host_cpus=self.cpus,
            remotes=remotes,
        )
        say("starting daemons")
        self.world.prepare(self.requests)
        programs = {site: tools.ensure("load", say, self.native[site[1]]) for site in self.world.sites}
        prime(self.world, self.requests, programs, work)
        self.world.checkouts.stock(self.requests)
        if self.farm.cache.start == "warm":
            say("warming the caches: one build of everything")
            warm(self.world, self.requests)

    def drive(self, horizon_s: float) -> BaseException | None:
        """From time zero to the last client's end; returns what ended it early."""
        world, loop, done = self.world, self.world.loop, [0]

        def one_more() -> None:
            done[0] += 1
            self.progress(done[0], len(self.requests))

        self.arrivals = Arrivals(world, self.requests, horizon_s * self.settings.scale, one_more)
        self.sampler = Sampler(world, self.settings.samples_s, self._stall_s())
        world.is_up = self.sampler.begun
        stopped: BaseException | None = None
        watch: Watch | None = None
        try:
            self.memory = back()
            self.loads["before"] = self._look()
            self.say(f"{len(world.sites)} daemons are up; {len(self.requests)} requests to come")
            watch = Watch(_alive(world))
            loop.begin()
            self.arrivals.start()
            self.sampler.start()
            loop.run(lambda: self.arrivals.is_over)
            for site in world.sites.values():
                site.stop_all("end of run")
        except BaseException as error:
            stopped = error
        with tools.sheltered():
            self._stop(stopped)
            if watch is not None:
                reaped = [daemon for daemon in world.lives if not daemon.is_alive()]
                self.loads["during"] = watch.load(_alive(world), reaped)
                self.loads["after"] = self._look()
        return stopped

    def finish(self, meta: Meta, stopped: BaseException | None) -> Replayed:
        """Read what the daemons remember. A second ^C while that goes on leaves the trace out."""
        world = self.world
        try:
            for runner in world.runners:
                if isinstance(runner.daemon, Daemon) and runner.daemon.is_alive():
                    runner.usage = runner.daemon.usage()
                    runner.cache_bytes = cache_bytes(runner.daemon)
            rows = rows_of(world)
            if self.settings.raw is not None:
                keep_logs(world, self.settings.raw)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            return Replayed(Trace.from_rows({}, meta), ("stopped while the trace was put together",), error)
        notes = [*self.notes, *rows.notes, *sorted(world.clients.unheard), *self._busy_notes()]
        scale = self.settings.scale
        meta = replace(
            meta,
            source="measured",
            horizon_s=None if meta.horizon_s is None else meta.horizon_s * scale,
            warmup_s=meta.warmup_s * scale,
            machine=self._machine(notes),
            versions={**meta.versions, **tools.versions(), "runc": _runc_version()},
            standby_usd=world.provider.standby_usd(world.loop.now_s),
        )
        trace = Trace.from_rows({**rows.tables(), "samples": self.sampler.rows}, meta)
        return Replayed(trace, tuple(notes), stopped)

    def _source(self, work: Path, control: str) -> Source:
        if self.settings.as_is:
            return as_is(self.spec, self.graphs, self.keys, work, self.settings.bases)
        return synthetic(
            self.keys,
            self.graphs,
            self.farm,
            self.profile,
            work / "recipe",
            native=self.native,
            scale=self.settings.scale,
            control=control,
            say=self.say,
        )

    def _keys_of(self, request: Request) -> list[Key]:
        return [key for key in self.keys if key[0] in request.targets and key[1] == request.args]

    def _look(self) -> Load:
        """How busy the machine is while we do nothing."""
        watch = Watch(_alive(self.world))
        time.sleep(_LOOK_S)
        return watch.load(_alive(self.world))

    def _stall_s(self) -> float:
        waits = (cost.latency_s for graph in self.keys.values() for cost in self.profile.costs(graph))
        return _STALL_S + 3 * self.settings.scale * max(waits, default=0.0)

    def _stop(self, stopped: BaseException | None) -> None:
        """No client runs any more, and no thread of ours works on the fleet."""
        world = self.world
        world.clients.stop_all()
        if stopped is not None:
            _end_helpers()
            for site in world.sites.values():
                site.stop_all("the replay was stopped")
            self._note_missing()
        if not world.loop.settle(_SETTLE_S):
            self.notes.append("a copy of a cache did not end in time")

    def _abandon(self) -> None:
        """Before the fleet goes, whatever happened: no client, no thread that starts a daemon behind our back."""
        if not hasattr(self, "world"):
            return
        with tools.sheltered():
            self.world.clients.stop_all()
            if not self.world.loop.settle(0.0):
                _end_helpers()
                self.world.loop.settle(_SETTLE_S)

    def _note_missing(self) -> None:
        """What a stopped replay lacks, in words; builds under way are told apart from cancelled ones by their reason."""
        now_s = self.world.loop.now_s
        for attempt in self.world.attempts:
            if attempt.ended_s == 0.0:
                attempt.outcome, attempt.reason, attempt.ended_s = "cancelled", "the replay was stopped", now_s
        under_way = self.arrivals.unfinished()
        seen = {attempt.request.index for attempt in self.world.attempts} | set(under_way)
        lost = len(self.requests) - len(seen)
        self.notes.append(
            f"stopped after {now_s:.1f} s: {len(under_way)} requests were under way"
            + (f" ({', '.join(map(str, under_way[:10]))})" if under_way else "")
            + f", {lost} of {len(self.requests)} never came"
        )

    def _busy_notes(self) -> list[str]:
        during = self.loads.get("during")
        if during is None or during.others <= BUSY_SHARE:
            return []
        return [
            f"warning: the machine was busy: other programs used {100 * during.others:.0f} % of it; "
            "these times are not to be trusted"
        ]

    def _machine(self, notes: Sequence[str]) -> dict[str, Json]:
        """What the meta data say of the machine, its load, and each runner as a whole."""
        world, during = self.world, self.loads.get("during")
        runners: dict[str, Json] = {
            str(one.number): {
                "cpu_s": one.usage.cpu_s,
                "boot_cpu_s": one.boot_cpu_s,
                "steps_cpu_s": one.usage.steps_cpu_s,
                "memory_peak_bytes": one.usage.memory_peak_bytes,
                "cache_bytes": one.cache_bytes,
            }
            for one in world.runners
            if one.usage is not None
        }
        return {
            "cpus": self.cpus,
            "system": f"{system.system()} {system.release()} {system.machine()}",
            "busy": during is None or during.others > BUSY_SHARE,
            "load": {name: asdict(load) for name, load in self.loads.items()},
            "memory": None if self.memory is None else asdict(self.memory),
            "scale": self.settings.scale,
            "as_is": self.settings.as_is,
            "stands_for": dict(self.native),
            "started_ns": world.loop.origin_ns,
            "runners": runners,
            "clients_cpu_s": _clients_cpu_s(world),
            "notes": list(notes),
        }


def _clients_cpu_s(world: World) -> float:
    """Of the run's clients: those before it made the daemons ready."""
    return sum(one.cpu_s for one in world.clients.started if one.started_ns >= world.loop.origin_ns)


def _alive(world: World) -> list[Daemon]:
    return [daemon for daemon in world.lives if daemon.is_alive()]


def _runc_version() -> str:
    done = subprocess.run([str(tools.runc()), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].removeprefix("runc version ")


def _end_helpers() -> None:
    """Copies and questions under way: children of ours by number, so that no thread waits for them any longer."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for pid in map(int, (task / "children").read_text().split()):
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip().startswith(_HELPERS):
                        os.kill(pid, signal.SIGKILL)
