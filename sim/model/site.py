"""The farm in simulated time: a pool for each project and architecture, its runners, their caches.

In: leases, and a `Farm`. Out: calls when a lease has its runner; rows of runners. Decisions are `sim.pool`'s; here they
take time (boot, clone, idle time-out).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import inf, isfinite
from random import Random

from simpy import Environment
from simpy.events import Timeout

from sim.model.buildkit.daemon import Daemon, Seen
from sim.model.engine import RunnerEngine
from sim.model.record import Recorder
from sim.model.store.cache import Cache
from sim.pool import Action, Assign, Boot, Pool, Stop, WatchIdle
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


class Runner:
    """One machine: provisioned, ready, stopped."""

    __slots__ = ("clone_of", "daemon", "engine", "number", "ready_s", "requested_s")

    def __init__(self, number: int, requested_s: float, clone_of: int | None) -> None:
        self.number = number
        self.requested_s = requested_s
        self.clone_of = clone_of
        self.ready_s: float | None = None
        self.engine: RunnerEngine
        self.daemon: Daemon


class Numbers:
    """Counters of the whole farm: runners, leases and builds are numbered in order of their appearance."""

    __slots__ = ("builds", "leases", "runners")

    def __init__(self) -> None:
        self.runners = self.leases = self.builds = 0


class Site:
    """One project on one architecture: its pool, its base cache, its runners."""

    def __init__(
        self,
        env: Environment,
        farm: Farm,
        profile: Profile,
        recorder: Recorder,
        numbers: Numbers,
        *,
        project: str,
        platform: str,
        seed: int,
    ) -> None:
        self.project = project
        self.platform = platform
        self.base = Cache()
        self.seen = Seen()
        self.size = farm.runner_for(project, platform)
        self._env = env
        self._farm = farm
        self._profile = profile
        self._recorder = recorder
        self._numbers = numbers
        self._seed = seed
        # A stream of its own for each site and use, whatever else the farm has.
        self._entropy = int.from_bytes(blake2b(f"{seed} {project} {platform}".encode(), digest_size=8).digest(), "big")
        scaling = farm.autoscaling
        self._pool = Pool(
            limit=scaling.builds_per_instance if scaling else inf,
            max_instances=scaling.max_instances if scaling else 1,
            on_full=scaling.on_full if scaling else "queue",
            routing=farm.routing,
            random=Random(self._entropy),
        )
        self._leases: dict[int, Lease] = {}
        self._runners: dict[int, Runner] = {}

    def acquire(self, arrived_s: float, on_runner: Callable[[Lease], None], sticky: int) -> Lease:
        """Ask for a place; `on_runner(lease)` is called when there is one."""
        number = self._numbers.leases
        self._numbers.leases += 1
        lease = Lease(number, self, arrived_s, on_runner)
        self._leases[number] = lease
        self._act(self._pool.arrive(number, sticky))
        return lease

    def withdraw(self, lease: Lease) -> bool:
        """Give up waiting; False when the lease has a runner."""
        if self._pool.withdraw(lease.number):
            del self._leases[lease.number]
            return True
        return False

    def release(self, lease: Lease) -> None:
        """The lease has ended."""
        del self._leases[lease.number]
        self._act(self._pool.release(lease.number, lease.given))

    def stop_all(self, end_s: float) -> None:
        """The run is over: what still runs ends with it."""
        self.base.grow(end_s, 0.0, self._farm.cache.max_bytes)
        self._recorder.cache_byte_s += self.base.byte_s
        for number in sorted(self._runners):
            self._stop(number, end_s, "end of run")

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Assign):
                lease = self._leases[action.lease]
                lease.given = action.runner
                lease.runner = self._runners[action.runner]
                lease.acquired_s = self._env.now
                lease.on_runner(lease)
            elif isinstance(action, Boot):
                self._boot(action)
            elif isinstance(action, WatchIdle):
                self._watch(action)
            elif isinstance(action, Stop):
                self._stop(action.runner, self._env.now, "idle")

    def _boot(self, action: Boot) -> None:
        farm = self._farm
        clone_of = None if action.clone_of is None else self._runners[action.clone_of].number
        runner = Runner(self._numbers.runners, self._env.now, clone_of)
        self._numbers.runners += 1
        self._runners[action.runner] = runner
        if clone_of is None and farm.boot_s <= 0.0:
            self._ready(action.runner, self.base)
            return

        def booted(_: object) -> None:
            # The clone is of the base cache as it is when the machine is up and copies it.
            cache = self.base if clone_of is None else self.base.clone()
            if clone_of is None or farm.clone_s <= 0.0:
                self._ready(action.runner, cache)
            else:
                Timeout(self._env, farm.clone_s).callbacks.append(lambda _: self._ready(action.runner, cache))

        Timeout(self._env, farm.boot_s).callbacks.append(booted)

    def _ready(self, number: int, cache: Cache) -> None:
        runner, size, farm = self._runners[number], self.size, self._farm
        runner.ready_s = self._env.now
        runner.engine = RunnerEngine(self._env, size, self._profile.daemon.daemon_cgroup)
        runner.daemon = Daemon(
            runner.engine,
            cache,
            self._profile,
            runner=runner.number,
            seed=self._seed,
            random=Random(self._entropy + 1 + number),
            seen=self.seen,
            slots=farm.max_parallelism,
            dedup=farm.dedup,
            cache_bytes=farm.cache.max_bytes,
            slowdowns={platform: slow for platform, slow in farm.platforms.items() if slow != 1.0},
        )
        self._act(self._pool.ready(number))

    def _watch(self, action: WatchIdle) -> None:
        if isfinite(self._farm.idle_timeout_s):
            Timeout(self._env, self._farm.idle_timeout_s).callbacks.append(
                lambda _: self._act(self._pool.idle(action.runner, action.spell))
            )

    def _stop(self, number: int, at_s: float, reason: str) -> None:
        runner = self._runners.pop(number)
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
