"""What an execution costs, as phases of work on its runner's resources.

In: a vertex that starts, its `Cost`, the daemon's constants. Out: phases in the order latency, download, read, cpu, write
(design section 4). A RUN's command works in a group of its own; the daemon's share of a RUN (runc, mounts, commit), COPY,
unpacking and the context work in the daemon's (buildkit-semantics 10, 11). Writing costs CPU beside the disk (13.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from sim.model.buildkit.edge import CPU, DAEMON_CPU, DELAY, NETWORK, READ, SLEEPY_CPU, TOGETHER, WRITE, Edge, Phase
from sim.model.plan.compiled import CONTEXT, COPY, EXEC, PREAMBLE, SOURCE
from sim.model.store.versioned import Versioned
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.scenario.farm import Runner


class Costing:
    """Phases of vertices on one runner. `slowdowns`: by platform, how many times slower its commands run here."""

    __slots__ = (
        "_attempts",
        "_constants",
        "_profile",
        "_run_varies",
        "_runner",
        "_seed",
        "_share_varies",
        "_slowdowns",
    )

    def __init__(
        self, profile: Profile, seed: int, slowdowns: Mapping[str, float], attempts: Versioned, runner: Runner
    ) -> None:
        self._runner = runner
        self._profile = profile
        self._constants = profile.daemon
        self._run_varies = profile.variation.spread("run_cpu_s") > 0.0
        self._share_varies = profile.variation.share > 0.0
        self._seed = seed
        self._slowdowns = slowdowns
        self._attempts = attempts

    def phases(self, edge: Edge) -> list[Phase]:
        """All work of a vertex. `edge.warm`: its cache mounts are filled, which leaves a share of its cost."""
        cost, constants = edge.cost, self._constants
        index = edge.index
        kind = edge.compiled.kinds[index]
        if kind == PREAMBLE:
            return [(SLEEPY_CPU, cost.cpu_s, 1.0)]
        factor = 1.0
        if cost.spread:
            attempt = self._attempts.get(edge.key, 0)
            factor = self._profile.factor(self._seed, edge.key, attempt, cost.spread)
        if edge.warm:
            factor *= cost.warm
        edge.scale = factor
        written_bytes = cost.write_bytes * factor
        cpu_s = cost.cpu_s * factor
        if kind == CONTEXT:
            sent = edge.sent_bytes
            return [
                (NETWORK, sent, edge.owner.request.uplink_bytes_per_s),
                (SLEEPY_CPU, cpu_s + sent * constants.context_byte_cpu_s, 1.0),
                (WRITE, sent, inf),
            ]
        if kind != EXEC:
            synced_s = constants.sync_latency_s if kind == COPY else 0.0
            phases = [
                (DELAY, cost.latency_s * factor + synced_s, 0.0),
                (NETWORK, cost.download_bytes * factor, inf),
                (READ, cost.read_bytes * factor, inf),
                (DAEMON_CPU if kind == SOURCE else SLEEPY_CPU, cpu_s, cost.threads),
                (DAEMON_CPU, written_bytes * constants.write_byte_cpu_s, 1.0),
                (WRITE, written_bytes, inf),
            ]
            if kind == SOURCE and constants.source_cpu_s:
                phases.append((SLEEPY_CPU, constants.source_cpu_s, 1.0))
            return phases
        return self._command(edge, cost, factor, written_bytes)

    def _command(self, edge: Edge, cost: Cost, factor: float, written_bytes: float) -> list[Phase]:
        """A RUN: the daemon's share, then the command's. `edge.alone_s`: how long that takes with nothing beside it."""
        constants, runner = self._constants, self._runner
        cpus = runner.cpus
        cpu_s = cost.cpu_s * factor
        if self._slowdowns:
            cpu_s *= self._slowdowns.get(edge.compiled.platforms[edge.index], 1.0)
        one_core_s = written_bytes * constants.write_byte_cpu_s
        threads = cost.threads if cost.threads < cpus else cpus
        parts: list[tuple[Phase, float]] = []
        if cost.latency_s:
            parts.append(((DELAY, cost.latency_s * factor, 0.0), cost.latency_s * factor))
        if cost.download_bytes:
            amount = cost.download_bytes * factor
            parts.append(((NETWORK, amount, inf), amount / runner.network_bytes_per_s))
        if cost.read_bytes:
            amount = cost.read_bytes * factor
            parts.append(((READ, amount, inf), amount / runner.disk_read_bytes_per_s))
        if cost.threads == 1.0:  # all that runs on one core is one piece of work
            one_core_s += cpu_s
        else:
            serial_s = cpu_s * cost.serial
            if serial_s:
                parts.append(((CPU, serial_s, 1.0), serial_s / min(1.0, cpus)))
            parts.append(((CPU, cpu_s - serial_s, cost.threads), (cpu_s - serial_s) / threads))
        if one_core_s:
            parts.append(((CPU, one_core_s, 1.0), one_core_s / min(1.0, cpus)))
        if written_bytes:
            parts.append(((WRITE, written_bytes, inf), written_bytes / runner.disk_write_bytes_per_s))
        run_cpu_s = constants.run_cpu_s
        if self._run_varies:
            attempt = self._attempts.get(edge.key, 0)
            run_cpu_s *= self._profile.variation.factor("run_cpu_s", self._seed, edge.key, attempt)
        if self._share_varies:
            attempt = self._attempts.get(edge.key, 0)
            edge.weight = self._profile.variation.weight(self._seed, edge.key, attempt, cpu_s, cpus)
        own_s = run_cpu_s / min(constants.run_cores, cpus)
        phases = [(DAEMON_CPU, run_cpu_s, constants.run_cores)]
        if cost.overlap:
            by_resource: dict[int, float] = {}
            for (kind, _, _), took_s in parts:
                by_resource[kind] = by_resource.get(kind, 0.0) + took_s
            phases.append((TOGETHER, len(parts), 0.0))
            edge.alone_s = own_s + max(by_resource.values(), default=0.0)
        else:
            edge.alone_s = own_s + sum(took_s for _, took_s in parts)
        phases += [phase for phase, _ in parts]
        if constants.sync_latency_s:
            phases.append((DELAY, constants.sync_latency_s, 0.0))
            edge.alone_s += constants.sync_latency_s
        return phases
