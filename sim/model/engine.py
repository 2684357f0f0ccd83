"""SimPy under a daemon: carries out phases of work on a runner's resources. Callbacks only; no process, no interrupt.

In: `Work` with phases (resource, amount, cap). Out: a call when all are done. A runner has a CPU that its steps and its
daemon share, a disk and a network; a `HostEngine` lets several runners share one machine's (design section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

from simpy import Environment

from sim.model.buildkit.edge import (
    CLIENT_CPU,
    CPU,
    DAEMON_CPU,
    DELAY,
    NETWORK,
    READ,
    SLEEPY_CPU,
    TOGETHER,
    Engine,
    Phase,
    T,
    W,
    Work,
)
from sim.model.machine.fair_share import DAEMON, STEPS, DaemonCgroup, FairShare, Host, Machine
from sim.model.machine.pipe import Pipe
from sim.model.machine.shared import Clock, Shared, Timer
from sim.profile.cost import Daemon
from sim.scenario.farm import Runner


class HostEngine:
    """One machine under several runners: its cores, its disk, its network."""

    __slots__ = ("_clients_group", "_starts", "_starts_s", "cpu", "disk", "host", "network")

    def __init__(self, env: Environment, machine: Runner) -> None:
        self.host = Host(machine.cpus)
        self.cpu = Shared(env, self.host, _phase_done)
        self.disk = _disk(env, machine)
        self.network = _shared(env, machine.network_bytes_per_s)
        self._clients_group = -1
        self._starts, self._starts_s = 0, -1.0

    def clients_group(self) -> int:
        """Where clients work: on all of the machine's cores, beside the runners."""
        if self._clients_group < 0:
            self._clients_group = self.host.attach(Machine(self.host.capacity)) + DAEMON
        return self._clients_group

    def clients_at(self, now_s: float) -> int:
        """One more client starts now: how many have before it."""
        self._starts = self._starts + 1 if now_s == self._starts_s else 0
        self._starts_s = now_s
        return self._starts


def with_disk(machine: Runner, daemon: Daemon) -> Runner:
    """The machine; where the farm does not say how fast its disk writes, the profile does (`Daemon.sync_byte_s`)."""
    if machine.disk_write_bytes_per_s < inf or daemon.sync_byte_s <= 0.0:
        return machine
    return replace(machine, disk_write_bytes_per_s=1.0 / daemon.sync_byte_s)


class RunnerEngine(Engine):
    """The time of one runner's daemon and of all that runs on it.

    A disk is one device: reading and writing take their share of its time. On a host, disk and network are the host's
    where it has limits, and a runner's own rates cap each of its transfers there.
    """

    __slots__ = (
        "_clock",
        "_cpu",
        "_cpu_share",
        "_cpus",
        "_daemon_group",
        "_disk",
        "_network",
        "_network_cap",
        "_on_host",
        "_runner",
        "_steps_group",
        "disk_bytes",
    )

    def __init__(
        self,
        env: Environment,
        runner: Runner,
        daemon_cgroup: DaemonCgroup = "group",
        host: HostEngine | None = None,
        crowded_share: float = 1.0,
    ) -> None:
        self._clock = Clock(env)
        self._runner = runner
        self._on_host = host
        self._cpus = Machine(runner.cpus, daemon_cgroup, crowded_share)
        self._cpu_share: FairShare = self._cpus if host is None else host.host
        self._network_cap = inf
        self.disk_bytes = 0.0  # of transfers that have started
        first = 0
        if host is None:
            self._cpu = Shared(env, self._cpus, _phase_done)
            self._network = _shared(env, runner.network_bytes_per_s)
            self._disk = _disk(env, runner)
        else:
            first = host.host.attach(self._cpus)
            self._cpu = host.cpu
            self._network = host.network or _shared(env, runner.network_bytes_per_s)
            self._disk = host.disk or _disk(env, runner)
            if host.network is not None:
                self._network_cap = runner.network_bytes_per_s
        self._steps_group, self._daemon_group = first + STEPS, first + DAEMON

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._clock.env._now

    @property
    def cpu_s(self) -> float:
        """Core-seconds done so far."""
        return self._cpu_share.done_by(self._clock.env._now, self._cpus.groups)

    def cpu_done_s(self, at_s: float) -> float:
        """Core-seconds done by a time at which nothing has changed yet since the last event."""
        return self._cpu_share.done_by(at_s, self._cpus.groups)

    def close(self) -> None:
        """The runner has stopped."""
        if self._on_host is not None:
            self._on_host.host.detach(self._cpus)

    def later(self, delay_s: float, call: Callable[[T], None], about: T) -> None:
        """Call `call(about)` in `delay_s` seconds."""
        now_s = self._clock.env._now
        at_s = now_s + delay_s if delay_s > 0.0 else now_s
        Timer(self._clock, at_s, about, [lambda timer: call(timer._value)])

    def work(self, work: W, then: Callable[[W], None]) -> None:
        """Carry out the phases of `work`, then call `then(work)`; never at once, so that chains of free steps don't nest."""
        work.then = then
        work.phase = 0
        work.engine = self
        if not self._next_phase(work):
            work.job = Timer(self._clock, self._clock.env._now, work, _DELAY_OVER)

    def clients_at_once(self) -> int:
        """One more client starts: how many have at this very moment, on the same host."""
        return self._on_host.clients_at(self.now) if self._on_host is not None else 0

    def stop(self, work: Work) -> None:
        """Stop carrying out. `work.cpu_s` becomes what was used."""
        job, work.job = work.job, None
        if isinstance(job, tuple):
            for part in job:
                self.stop(part)
                work.cpu_s += part.cpu_s
        elif isinstance(job, list):
            kind = work.phases[work.phase - 1][0]
            if kind in (CPU, DAEMON_CPU, SLEEPY_CPU):
                work.cpu_s -= self._cpu.remove(job)
            elif kind == CLIENT_CPU:
                self._cpu.remove(job)
            else:
                share = self._network if kind == NETWORK else self._disk
                assert share is not None
                share.remove(job)

    def _next_phase(self, work: Work) -> bool:
        """Start the next phase that takes time; False when there is none."""
        phases = work.phases
        while work.phase < len(phases):
            kind, amount, cap = phases[work.phase]
            work.phase += 1
            if amount <= 0.0:
                continue
            if kind == CPU:
                work.cpu_s += amount
                work.job = self._cpu.add(amount, cap, work, self._steps_group, work.weight)
                return True
            if kind in (DAEMON_CPU, SLEEPY_CPU):
                work.cpu_s += amount
                work.job = self._cpu.add(amount, cap, work, self._daemon_group, 1.0, kind == SLEEPY_CPU)
                return True
            if kind == NETWORK:
                if self._network is not None:
                    work.job = self._network.add(amount, min(cap, self._network_cap), work)
                    return True
                if cap == inf:
                    continue
                amount, kind = amount / cap, DELAY
            if kind == DELAY:
                work.job = Timer(self._clock, self._clock.env._now + amount, work, _DELAY_OVER)
                return True
            if kind == TOGETHER:
                count = int(amount)
                work.phase += count
                if self._together(work, phases[work.phase - count : work.phase]):
                    return True
            elif kind == CLIENT_CPU:  # on a host that is on all of it, not on the runner's part
                host = self._on_host
                group = self._daemon_group if host is None else host.clients_group()
                work.job = self._cpu.add(amount, cap, work, group)
                return True
            elif self._disk is not None:
                runner = self._runner
                rate = runner.disk_read_bytes_per_s if kind == READ else runner.disk_write_bytes_per_s
                if rate < inf:
                    self.disk_bytes += amount
                    work.job = self._disk.add(amount / rate, 1.0, work)
                    return True
        return False

    def _together(self, work: Work, phases: list[Phase]) -> bool:
        """Start chains of phases at once; False when none of them takes time."""
        parts = []
        for chain in _chains(phases):
            part = _Part(chain, work)
            part.engine = self
            if self._next_phase(part):
                parts.append(part)
        work.job = tuple(parts)
        return bool(parts)


class _Part(Work):
    """Phases of a work that run beside others of it."""

    __slots__ = ("whole",)

    def __init__(self, phases: list[Phase], whole: Work) -> None:
        super().__init__(phases)
        self.whole = whole
        self.weight = whole.weight
        self.then = _part_ended


def _part_ended(part: _Part) -> None:
    work = part.whole
    work.cpu_s += part.cpu_s
    left = tuple(one for one in work.job if one is not part)  # type: ignore[attr-defined]
    work.job = left
    if not left:
        _phase_done(work)


def _phase_done(owner: object) -> None:
    work: Work = owner  # type: ignore[assignment]
    if not work.engine._next_phase(work):
        work.job = None
        work.then(work)


def _delay_over(timer: Timer) -> None:
    work: Work = timer._value  # type: ignore[assignment]
    if work.job is timer:
        _phase_done(work)


_DELAY_OVER: list[Callable[[Any], None]] = [_delay_over]


def _chains(phases: list[Phase]) -> list[list[Phase]]:
    """Phases that run at once, those of one resource after each other."""
    chains: dict[int, list[Phase]] = {}
    for phase in phases:
        chains.setdefault(phase[0], []).append(phase)
    return list(chains.values())


def _shared(env: Environment, capacity: float) -> Shared | None:
    return Shared(env, Machine(capacity), _phase_done) if capacity < inf else None


def _disk(env: Environment, machine: Runner) -> Shared | None:
    """One device whose unit of work is a second of its time."""
    is_limited = min(machine.disk_read_bytes_per_s, machine.disk_write_bytes_per_s) < inf
    return Shared(env, Pipe(1.0), _phase_done) if is_limited else None
