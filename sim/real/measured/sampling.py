"""What the runners do while a replay runs: a row of samples each, that often; and whether anything still moves.

In: the world's runners. Out: rows of `samples`. It looks at control groups, which costs next to nothing; a cache is measured
only while no client runs, since asking the daemon is work on the machine.
"""

from __future__ import annotations

import contextlib

from sim.errors import EnvironmentMissing
from sim.real.daemon import Daemon
from sim.real.drive.site import Runner
from sim.real.drive.world import World
from sim.trace import Cell


class Sampler:
    """Takes samples from its start on. EnvironmentMissing in the loop: a daemon died, or nothing moved for `stall_s`."""

    def __init__(self, world: World, every_s: float, stall_s: float) -> None:
        self.rows: list[tuple[Cell, ...]] = []
        self._world, self._every_s, self._stall_s = world, every_s, stall_s
        self._moved: tuple[float, ...] = ()
        self._moved_s = 0.0
        self._measured: dict[int, int] = {}

    def start(self) -> None:
        """The first sample is one interval from now."""
        self._world.loop.after(self._every_s, self._tick)

    def begun(self, runner: Runner) -> None:
        """A runner is up: what it has used was for its start, and its next sample counts from here."""
        if isinstance(runner.daemon, Daemon):
            runner.boot_cpu_s = runner.daemon.usage().cpu_s
            runner.sampled = (self._world.loop.now_s, runner.boot_cpu_s)

    def _tick(self) -> None:
        world = self._world
        world.check_alive()
        is_idle = all(client.code is not None for client in world.clients.started)
        for runner in world.runners:
            if runner.ready_s is not None and runner.stopped_s is None and isinstance(runner.daemon, Daemon):
                self._sample(runner, runner.daemon, is_idle)
        self._check_moves()
        world.loop.after(self._every_s, self._tick)

    def _sample(self, runner: Runner, daemon: Daemon, is_idle: bool) -> None:
        now_s, used = self._world.loop.now_s, daemon.usage()
        then_s, cpu_s = runner.sampled
        runner.sampled, runner.usage = (now_s, used.cpu_s), used
        busy = (used.cpu_s - cpu_s) / (now_s - then_s) if now_s > then_s else None
        self.rows.append((now_s, runner.number, busy, used.memory_bytes, None, runner.cache_bytes, runner.leases))
        builds = sum(one.runner is runner for one in self._world.attempts)
        if is_idle and self._measured.get(runner.number) != builds:
            self._measured[runner.number] = builds
            self._world.loop.spawn(lambda: cache_bytes(daemon), lambda found: _keep(runner, found))

    def _check_moves(self) -> None:
        """A replay that hangs ends: a daemon may live and do nothing any more."""
        world = self._world
        logs = sum(client.log.stat().st_size for client in world.clients.started if client.code is None)
        cpu_s = sum(round(runner.sampled[1], 1) for runner in world.runners)
        moved = (float(logs), cpu_s, float(len(world.attempts)), float(sum(runner.leases for runner in world.runners)))
        if moved != self._moved or not any(client.code is None for client in world.clients.started):
            self._moved, self._moved_s = moved, world.loop.now_s
        elif world.loop.now_s - self._moved_s > self._stall_s:
            raise EnvironmentMissing(
                f"nothing has moved for {self._stall_s:.0f} s: a daemon or a client hangs",
                hint="look at the daemons' logs; start the replay again",
            )


def cache_bytes(daemon: Daemon) -> float | None:
    """What a daemon's cache holds; None where it does not answer."""
    with contextlib.suppress(EnvironmentMissing):
        return float(sum(record.size_bytes for record in daemon.disk()))
    return None


def _keep(runner: Runner, found: float | None) -> None:
    runner.cache_bytes = found
