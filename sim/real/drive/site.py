"""A pool of real daemons: one project on one architecture, its runners, and the cache that outlives them.

In: leases. Out: calls when a lease has its runner. Decisions are `sim.pool`'s, as in `sim.model.site`; here a boot is waited
for, a clone is a true copy of the base's root, an idle stop ends the daemon, and a commit makes a stopped root the base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from sim.dispatch.driver import Driver
from sim.pool import Boot, Stop, WatchIdle
from sim.real.daemon import Daemon, DaemonSpec, RemoteDaemon, Usage

if TYPE_CHECKING:
    from sim.real.drive.world import World

# A daemon is asked to start so long before its machine is up (buildkit-semantics 13.9: 0.1 s; more when busy, and by chance:
# it makes an RSA key each time, moby/buildkit v0.34.2 util/network/proxyprovider/provider_linux.go:804).
_STARTS_IN_S = 0.3
_POLL_S = 0.01  # an idle daemon stops in 10 ms


@dataclass(slots=True, eq=False)
class Runner:
    """One machine of the run: a row of `runners`. `volume`: the root it works on, by its daemon's name."""

    number: int
    site: Site
    requested_s: float
    clone_of: int | None
    daemon: Daemon | RemoteDaemon | None = None
    ready_s: float | None = None
    stopped_s: float | None = None
    reason: str = ""
    leases: int = 0
    news: int = 0
    usage: Usage | None = None
    boot_cpu_s: float | None = None
    cache_bytes: float | None = None
    sampled: tuple[float, float] = (0.0, 0.0)

    @property
    def volume(self) -> str:
        """The name of its root."""
        return self.daemon.name if self.daemon is not None else ""


@dataclass(slots=True, eq=False)
class Lease:
    """A request on one project and architecture: it waits for a runner, then holds a place on it."""

    number: int
    site: Site
    on_runner: Callable[[Lease], None] = field(repr=False)
    acquired_s: float | None = None
    runner: Runner | None = None
    given: int = 0


class Site(Driver[Lease]):
    """One project on one architecture."""

    def __init__(self, world: World, project: str, platform: str, platforms: tuple[str, ...]) -> None:
        super().__init__(world.farm, project, platform, world.seed)
        self._world, self._loop, self._platforms = world, world.loop, platforms
        self._runners: dict[int, Runner] = {}
        self._base: Daemon | RemoteDaemon
        self._awaiting: list[Callable[[], None]] = []  # what is called when the base's daemon stands
        self._stopping: list[Daemon] = []
        self._volumes = 0

    def prepare(self) -> None:
        """Before time begins: the daemon that the base cache is on. It is main's as soon as main is asked for."""
        remote = self._world.remotes.get(self.platform)
        self._base = remote if remote is not None else self._world.fleet.start(self._spec())
        if isinstance(self._base, Daemon):
            self._world.lives.append(self._base)

    @property
    def base(self) -> Daemon | RemoteDaemon:
        """The daemon, alive or stopped, whose root is the base cache."""
        return self._base

    def acquire(self, on_runner: Callable[[Lease], None], sticky: int) -> Lease:
        """Ask for a place; `on_runner(lease)` is called when there is one."""
        lease = Lease(self._world.next_lease(), self, on_runner)
        self._ask(lease, sticky)
        return lease

    def release(self, lease: Lease) -> None:
        """The lease has ended."""
        assert lease.runner is not None
        lease.runner.leases -= 1
        super().release(lease)

    def stop_all(self, reason: str) -> None:
        """The run is over: what still runs ends with it, and writes nothing back."""
        for runner in self._runners.values():
            runner.stopped_s, runner.reason = self._loop.now_s, reason
        self._runners.clear()

    def _begin(self, lease: Lease) -> None:
        lease.runner = self._runners[lease.given]
        lease.runner.leases += 1
        lease.acquired_s = self._loop.now_s
        lease.on_runner(lease)

    def _boot(self, action: Boot) -> None:
        world, number = self._world, action.runner
        clone_of = None if action.clone_of is None else self._runners[action.clone_of].number
        self._runners[number] = world.new_runner(self, clone_of)
        name = f"{self.project} {self.platform} {number}"
        up_in_s = world.provider.up_in_s(self._loop.now_s, (self.platform, self.size), name)
        if clone_of is None:
            both = _Both(lambda: self._main_up(number, self._base))
            self._when(up_in_s, both)
            self._when(up_in_s - _STARTS_IN_S, lambda: self._stand(both))
        else:
            up_s, early_s = self._loop.now_s + up_in_s, max(0.0, _STARTS_IN_S - world.farm.clone_s)
            self._when(up_in_s - early_s, lambda: self._clone(number, up_s))

    def _stand(self, call: Callable[[], None]) -> None:
        """Call when the base's daemon stands; it is started unless it does, or is being started already."""
        if isinstance(self._base, RemoteDaemon) or (self._base.is_alive() and self._base not in self._stopping):
            call()
            return
        self._awaiting.append(call)
        if len(self._awaiting) == 1:
            self._start_base()

    def _start_base(self) -> None:
        before = self._base
        assert isinstance(before, Daemon)
        if before in self._world.fleet.daemons:  # it is still stopping
            self._loop.after(_POLL_S, self._start_base)
            return
        spec = self._pinned(before.spec)
        self._loop.spawn(lambda: self._world.fleet.start(spec), lambda daemon: self._is_started(before, daemon))

    def _is_started(self, before: Daemon, daemon: Daemon) -> None:
        self._world.lives.append(daemon)
        if self._base is before:
            self._base = daemon
            awaiting, self._awaiting = self._awaiting, []
            for call in awaiting:
                call()
        else:  # a copy has taken the base's place meanwhile: main works on the new one
            self._loop.spawn(lambda: self._world.fleet.stop(daemon, keep_root=True), lambda _: self._start_base())

    def _main_up(self, number: int, daemon: Daemon | RemoteDaemon) -> None:
        self._tell_news()
        self._runners[number].daemon = daemon
        self._pool.forked(number)
        self._ready(number)

    def _clone(self, number: int, up_s: float) -> None:
        """Copy the base as it is now. The machine is up at `up_s`: that is later where a farm clones in less than a daemon takes
        to start. What copying and starting take longer counts as cloning.
        """
        if self._awaiting:  # its files change while it starts
            self._awaiting.append(lambda: self._clone(number, up_s))
            return
        self._tell_news()
        self._pool.forked(number)
        runner, spec, base = self._runners[number], self._spec(), self._base
        both = _Both(lambda: self._ready(number))

        def is_cloned(daemon: Daemon) -> None:
            runner.daemon = daemon
            self._world.lives.append(daemon)
            both()

        self._loop.at(max(up_s, self._loop.now_s) + self._world.farm.clone_s, both)
        self._loop.spawn(lambda: self._world.fleet.start(spec, clone_of=base), is_cloned)

    def _ready(self, number: int) -> None:
        runner = self._runners[number]
        runner.ready_s = self._loop.now_s
        self._world.is_up(runner)
        self._act(self._pool.ready(number))

    def _watch(self, action: WatchIdle) -> None:
        timeout_s = self._world.farm.idle_timeout_s
        if isfinite(timeout_s):
            self._loop.after(timeout_s, lambda: self._idle(action))

    def _idle(self, action: WatchIdle) -> None:
        self._tell_news()
        self._act(self._pool.idle(action.runner, action.spell))

    def _stop(self, action: Stop) -> None:
        """The root stays till the end of the run: its history is read then, which would disturb others now."""
        runner = self._runners.pop(action.runner)
        runner.stopped_s, runner.reason = self._loop.now_s, "idle"
        daemon = runner.daemon
        if not isinstance(daemon, Daemon):
            return
        self._world.unpin(daemon.spec)
        if action.commit:
            self._base = daemon
        runner.usage = daemon.usage()
        self._stopping.append(daemon)
        self._loop.spawn(
            lambda: self._world.fleet.stop(daemon, keep_root=True, drain=True), lambda _: self._has_stopped(daemon)
        )

    def _has_stopped(self, daemon: Daemon) -> None:
        """Where machines boot in less than a daemon takes to start, the base's starts at once and waits for its machine."""
        self._stopping.remove(daemon)
        if self._world.farm.boot_s < _STARTS_IN_S and not self._runners:
            self._stand(lambda: None)

    def _tell_news(self) -> None:
        """Whether a copy is one of the base as it still is depends on what the runners have learned."""
        if self._world.farm.write_back != "fork_commit":
            return
        for number, runner in self._runners.items():
            if runner.ready_s is not None and (news := self._world.news_of(runner)) != runner.news:
                runner.news = news
                self._pool.moved(number)

    def _when(self, delay_s: float, call: Callable[[], None]) -> None:
        if delay_s > 0.0:
            self._loop.after(delay_s, call)
        else:
            call()

    def _spec(self) -> DaemonSpec:
        farm, size = self._world.farm, self.size
        name = f"{self.project}-{self.platform.removeprefix('linux/')}".replace("/", "-")
        self._volumes += 1
        spec = DaemonSpec(
            name=name if self._volumes == 1 else f"{name}-{self._volumes}",
            cpus=self._world.quota_of(size),
            memory_bytes=size.memory_bytes,
            platforms=self._platforms,
            max_parallelism=farm.max_parallelism,
            cache=farm.cache,
        )
        return self._pinned(spec)

    def _pinned(self, spec: DaemonSpec) -> DaemonSpec:
        """Its cores are taken till `_stop`."""
        spec = self._world.pin(spec)
        self._world.pinned.append(spec)
        return spec


class _Both:
    """Calls once it was called twice: two things that must both have happened."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._left = call, 2

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._call()
