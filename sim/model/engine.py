"""SimPy under a daemon: carries out phases of work on a runner's resources. Callbacks only; no process, no interrupt.

In: an `Edge` with phases (resource, amount, cap). Out: a call when all are done.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from simpy import Environment
from simpy.events import Event, Timeout

from sim.model.buildkit.edge import CPU, DELAY, Edge, Phase
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

    def later(self, delay_s: float, call: Callable[[Edge], None], edge: Edge) -> None:
        """Call `call(edge)` in `delay_s` seconds."""
        timer = Timeout(self._env, delay_s if delay_s > 0.0 else 0.0, edge)
        timer.callbacks.append(lambda event: call(event._value))

    def work(self, edge: Edge, then: Callable[[Edge], None]) -> None:
        """Carry out the phases of `edge`, then call `then(edge)`; never at once, so that chains of free steps don't nest."""
        edge.then = then
        edge.phase = 0
        if not self._next_phase(edge):
            edge.job = timer = Timeout(self._env, 0.0, edge)
            timer.callbacks.append(self._delay_over)

    def stop(self, edge: Edge) -> None:
        """Stop carrying out. `edge.cpu_s` becomes what was used."""
        job, edge.job = edge.job, None
        if isinstance(job, list):
            kind = edge.phases[edge.phase - 1][0]
            left = (self._cpu if kind == CPU or self._network is None else self._network).remove(job)
            if kind == CPU:
                edge.cpu_s -= left

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

    def _next_phase(self, edge: Edge) -> bool:
        """Start the next phase that takes time; False when there is none."""
        phases = edge.phases
        while edge.phase < len(phases):
            kind, amount, cap = phases[edge.phase]
            edge.phase += 1
            if amount <= 0.0:
                continue
            if kind == CPU:
                edge.cpu_s += amount
                edge.job = self._cpu.add(amount, cap, edge)
                return True
            if kind == DELAY:
                edge.job = timer = Timeout(self._env, amount, edge)
                timer.callbacks.append(self._delay_over)
                return True
            if self._network is not None:
                edge.job = self._network.add(amount, inf, edge)
                return True
        return False

    def _delay_over(self, event: Event) -> None:
        edge = event._value
        if edge.job is event:
            self._phase_done(edge)

    def _phase_done(self, owner: object) -> None:
        edge: Edge = owner  # type: ignore[assignment]
        if not self._next_phase(edge):
            edge.job = None
            edge.then(edge)
