"""The farm in simulated time: a pool for each project and architecture, its runners, their caches.

In: leases, and a `Farm`. Out: calls when a lease has its runner; rows of runners. Decisions are `sim.pool`'s; here they
take time (boot, clone, idle time-out) and move caches (clone, write-back).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from random import Random

from simpy import Environment
from simpy.events import Timeout

from sim.dispatch.driver import Driver
from sim.dispatch.provider import Provider
from sim.model.buildkit.daemon import Daemon, Seen
from sim.model.engine import HostEngine, RunnerEngine
from sim.model.record import Recorder
from sim.model.registry import Registry
from sim.model.store.volume import Volume
from sim.pool import Boot, Stop, WatchIdle
from sim.profile import Profile
from sim.scenario.farm import Farm


class Lease:
    """A request on one project and architecture: it waits for a runner, then holds a place on it."""

    __slots__ = ("acquired_s", "arrived_s", "given", "number", "on_runner", "runner", "site")

    def __init__(self, number: int, site: Site, arrived_s: float, on_runner: Callable[[Lease], None]) -> None:
        self.number = number
        self.site = site
        self.arrived_s = arrived_s
        self.on_runner = on_runner
        self.acquired_s: float | None = None
        self.runner: Runner | None = None
        self.given = 0


def _given(_: Lease) -> None:
    """It has its runner."""


class Runner:
    """One machine: requested, up (it has its cache then), ready, stopped.

    `told_changes`: the changes of its cache that the pool knows of. `idle_until_s`: when it stops if it stays idle.
    """

    __slots__ = (
        "clone_of",
        "daemon",
        "engine",
        "idle_spell",
        "idle_until_s",
        "is_up",
        "is_watched",
        "number",
        "ready_s",
        "requested_s",
        "sampled_cpu_s",
        "sampled_disk_bytes",
        "sampled_s",
        "told_changes",
        "volume",
    )  # fmt: skip

    def __init__(self, number: int, requested_s: float, clone_of: int | None) -> None:
        self.number = number
        self.requested_s = requested_s
        self.clone_of = clone_of
        self.ready_s: float | None = None
        self.is_up = self.is_watched = False
        self.told_changes = self.idle_spell = 0
        self.idle_until_s = self.sampled_s = self.sampled_cpu_s = self.sampled_disk_bytes = 0.0
        self.volume: Volume
        self.engine: RunnerEngine
        self.daemon: Daemon


class Numbers:
    """Counters of the whole farm: runners, leases and builds are numbered in order of their appearance.

    `ended_s`: when the last build ended, or the last runner became ready or idled away; later timers find nothing to do.
    """

    __slots__ = ("builds", "ended_s", "leases", "runners")

    def __init__(self) -> None:
        self.runners = self.leases = self.builds = 0
        self.ended_s = 0.0


class Site(Driver[Lease]):
    """One project on one architecture: its pool, its base cache, its runners."""

    def __init__(
        self,
        env: Environment,
        farm: Farm,
        profile: Profile,
        recorder: Recorder,
        numbers: Numbers,
        provider: Provider,
        registry: Registry,
        host: HostEngine | None,
        *,
        project: str,
        platform: str,
        seed: int,
    ) -> None:
        super().__init__(farm, project, platform, seed)
        self.base = Volume(farm.cache)
        self.seen = Seen()
        self._env = env
        self._farm = farm
        self._profile = profile
        self._recorder = recorder
        self._numbers = numbers
        self._provider = provider
        self._registry = registry
        self._host = host
        self._seed = seed
        self._runners: dict[int, Runner] = {}
        self._billed_byte_s = 0.0

    @property
    def is_waited_for(self) -> bool:
        """Whether a lease has no runner yet."""
        return bool(self._pool.waiting)

    def acquire(self, arrived_s: float, on_runner: Callable[[Lease], None], sticky: int) -> Lease:
        """Ask for a place; `on_runner(lease)` is called when there is one."""
        number = self._numbers.leases
        self._numbers.leases += 1
        lease = Lease(number, self, arrived_s, on_runner)
        self._ask(lease, sticky)
        return lease

    def sample(self, at_s: float) -> None:
        """A row for each runner that is ready: mean busy cores since the last one, the rest as it is now."""
        for number, runner in self._runners.items():
            if runner.ready_s is not None and at_s > runner.sampled_s:
                cpu_s, runner.sampled_cpu_s = runner.sampled_cpu_s, runner.engine.cpu_done_s(at_s)
                busy_cpus = (runner.sampled_cpu_s - cpu_s) / (at_s - runner.sampled_s)
                disk_bytes, runner.sampled_disk_bytes = runner.sampled_disk_bytes, runner.engine.disk_bytes
                disk = (runner.sampled_disk_bytes - disk_bytes) / (at_s - runner.sampled_s)
                runner.sampled_s = at_s
                memory_bytes, cache_bytes = runner.daemon.memory.in_use_bytes, runner.daemon.cache.used_bytes
                leases = len(self._pool.runners[number].leases)
                self._recorder.samples.append((at_s, runner.number, busy_cpus, memory_bytes, disk, cache_bytes, leases))

    def stop_all(self, end_s: float) -> None:
        """The run is over: what still runs ends with it, and writes nothing back."""
        self._bill_base(end_s)
        for number in sorted(self._runners):
            self._end(number, end_s, "end of run")

    def _begin(self, lease: Lease) -> None:
        lease.runner = self._runners[lease.given]
        lease.acquired_s = self._env.now
        on_runner, lease.on_runner = lease.on_runner, _given  # it holds who asked, who holds the lease
        on_runner(lease)

    def _boot(self, action: Boot) -> None:
        now_s, number = self._env.now, action.runner
        clone_of = None if action.clone_of is None else self._runners[action.clone_of].number
        self._runners[number] = Runner(self._numbers.runners, now_s, clone_of)
        self._numbers.runners += 1
        name = f"{self.project} {self.platform} {number}"
        up_in_s = self._provider.up_in_s(now_s, (self.platform, self.size), name)
        self._after(up_in_s, lambda: self._up(number))

    def _up(self, number: int) -> None:
        """The machine is up. Main opens the base; any other clones it, as it is now."""
        self._tell_news()
        runner = self._runners[number]
        is_clone = runner.clone_of is not None
        runner.volume = self.base.clone() if is_clone else self.base
        runner.told_changes = runner.volume.changes
        runner.is_up = True
        self._pool.forked(number)
        self._after(self._farm.clone_s if is_clone else 0.0, lambda: self._ready(number))

    def _ready(self, number: int) -> None:
        """The runner serves."""
        runner, size, farm = self._runners[number], self.size, self._farm
        runner.ready_s = runner.sampled_s = self._numbers.ended_s = self._env.now
        daemon = self._profile.daemon
        runner.engine = RunnerEngine(self._env, size, daemon.daemon_cgroup, self._host, daemon.crowded_share)
        runner.daemon = Daemon(
            runner.engine,
            runner.volume,
            self._profile,
            self._registry,
            runner=runner.number,
            seed=self._seed,
            random=Random(self._entropy + 1 + number),
            seen=self.seen,
            slots=farm.max_parallelism,
            dedup=farm.dedup,
            machine=size,
            keep_alive_limit=farm.keep_alive_limit,
            slowdowns={platform: slow for platform, slow in farm.platforms.items() if slow != 1.0},
        )
        self._act(self._pool.ready(number))

    def _watch(self, action: WatchIdle) -> None:
        """One timer a runner, however often it falls idle: what fires too early arms itself again (simulators.md 1d)."""
        timeout_s = self._farm.idle_timeout_s
        if isfinite(timeout_s):
            runner = self._runners[action.runner]
            runner.idle_spell = action.spell
            runner.idle_until_s = self._env.now + timeout_s
            if not runner.is_watched:
                runner.is_watched = True
                self._arm(action.runner, timeout_s)

    def _arm(self, number: int, delay_s: float) -> None:
        until_s = self._runners[number].idle_until_s
        Timeout(self._env, delay_s).callbacks.append(lambda _: self._idle(number, until_s))

    def _idle(self, number: int, until_s: float) -> None:
        runner = self._runners[number]
        if until_s != runner.idle_until_s:
            self._arm(number, runner.idle_until_s - self._env.now)
            return
        runner.is_watched = False
        self._tell_news()
        self._act(self._pool.idle(number, runner.idle_spell))

    def _tell_news(self) -> None:
        """Whether a copy is one of the base as it still is depends on what the runners have learned."""
        for number, runner in self._runners.items():
            if runner.is_up and runner.volume.changes != runner.told_changes:
                runner.told_changes = runner.volume.changes
                self._pool.moved(number)

    def _write_back(self, volume: Volume) -> None:
        """A copy takes the base's place. Main keeps what it has open; it is a copy from now on, which costs nothing."""
        now_s = self._env.now
        self._bill_base(now_s)
        volume.cache.advance(now_s)
        self.base = volume.committed()
        self._billed_byte_s = self.base.cache.byte_s

    def _bill_base(self, now_s: float) -> None:
        """The base's bytes until now are stored and paid for (farm-facts A1: clones are not)."""
        cache = self.base.cache
        cache.advance(now_s)
        self._recorder.cache_byte_s += cache.byte_s - self._billed_byte_s
        self._billed_byte_s = cache.byte_s

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        if delay_s > 0.0:
            Timeout(self._env, delay_s).callbacks.append(lambda _: call())
        else:
            call()

    def _stop(self, action: Stop) -> None:
        if action.commit:
            self._write_back(self._runners[action.runner].volume)
        self._numbers.ended_s = self._env.now
        self._end(action.runner, self._env.now, "idle")

    def _end(self, number: int, at_s: float, reason: str) -> None:
        runner = self._runners.pop(number)
        if runner.ready_s is not None:
            runner.engine.close()
            runner.daemon.stop()
        self._recorder.runners.append(
            (
                runner.number,
                self.project,
                self.platform,
                self.size.cpus,
                runner.clone_of,
                runner.requested_s,
                runner.ready_s,
                at_s,
                reason,
            )
        )
