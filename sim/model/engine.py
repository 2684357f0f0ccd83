"""SimPy under a daemon: carries out phases of work on a runner's resources. Callbacks only; no process, no interrupt.

In: `Work` with phases (resource, amount, cap). Out: a call when all are done.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from simpy import Environment
from simpy.events import Event, Timeout

from sim.model.buildkit.edge import CPU, DELAY, Phase, W, Work
from sim.model.machine.shared import Shared


class RunnerEngine:
    """The time of one runner's daemon: its CPU and its network, shared by all that runs on it."""

    __slots__ = ("_cpu", "_env", "_network", "_network_rate")

    def __init__(self, env: Environment, cpus: float, network_bytes_per_s: float) -> None:
        self._env = env
        self._cpu = Shared(env, cpus, self._phase_done)
        self._network_rate = network_bytes_per_s
        self._network = Shared(env, network_bytes_per_s, self._phase_done) if network_bytes_per_s < inf else None

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._env._now

    @property
    def cpu_s(self) -> float:
        """Core-seconds done so far."""
        return self._cpu.machine.work_done

    def later(self, delay_s: float, call: Callable[[W], None], about: W) -> None:
        """Call `call(about)` in `delay_s` seconds."""
        timer = Timeout(self._env, delay_s if delay_s > 0.0 else 0.0, about)
        timer.callbacks.append(lambda event: call(event._value))

    def work(self, work: W, then: Callable[[W], None]) -> None:
        """Carry out the phases of `work`, then call `then(work)`; never at once, so that chains of free steps don't nest."""
        work.then = then
        work.phase = 0
        if not self._next_phase(work):
            work.job = timer = Timeout(self._env, 0.0, work)
            timer.callbacks.append(self._delay_over)

    def stop(self, work: Work) -> None:
        """Stop carrying out. `work.cpu_s` becomes what was used."""
        job, work.job = work.job, None
        if isinstance(job, list):
            kind = work.phases[work.phase - 1][0]
            left = (self._cpu if kind == CPU or self._network is None else self._network).remove(job)
            if kind == CPU:
                work.cpu_s -= left

    def alone_s(self, phases: list[Phase]) -> float:
        """How long these phases take with nothing beside them."""
        cpus, total_s = self._cpu.machine.capacity, 0.0
        for kind, amount, cap in phases:
            if kind == CPU:
                total_s += amount / (cap if cap < cpus else cpus)
            elif kind == DELAY:
                total_s += amount
            else:
                total_s += amount / self._network_rate
        return total_s

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
                work.job = self._cpu.add(amount, cap, work)
                return True
            if kind == DELAY:
                work.job = timer = Timeout(self._env, amount, work)
                timer.callbacks.append(self._delay_over)
                return True
            if self._network is not None:
                work.job = self._network.add(amount, inf, work)
                return True
        return False

    def _delay_over(self, event: Event) -> None:
        work = event._value
        if work.job is event:
            self._phase_done(work)

    def _phase_done(self, owner: object) -> None:
        work: Work = owner  # type: ignore[assignment]
        if not self._next_phase(work):
            work.job = None
            work.then(work)
