"""What an execution costs, as phases of work on its runner's resources.

In: a vertex that starts, its `Cost`, the daemon's constants. Out: phases in the order latency, download, read, cpu, write
(design section 4). A RUN's command works in a group of its own; the daemon's share of a RUN (runc, mounts, commit), COPY,
unpacking and the context work in the daemon's (buildkit-semantics 10, 11). Writing costs CPU beside the disk (13.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from sim.model.buildkit.edge import CPU, DAEMON_CPU, DELAY, NETWORK, READ, TOGETHER, WRITE, Edge, Phase
from sim.model.plan.compiled import CONTEXT, EXEC, PREAMBLE
from sim.model.store.versioned import Versioned
from sim.profile import Profile
from sim.profile.constants import RUN_CORES


class Costing:
    """Phases of vertices on one runner. `slowdowns`: by platform, how many times slower its commands run here."""

    __slots__ = ("_attempts", "_profile", "_seed", "_slowdowns")

    def __init__(self, profile: Profile, seed: int, slowdowns: Mapping[str, float], attempts: Versioned) -> None:
        self._profile = profile
        self._seed = seed
        self._slowdowns = slowdowns
        self._attempts = attempts

    def phases(self, edge: Edge) -> list[Phase]:
        """All work of a vertex. `edge.warm`: its cache mounts are filled, which leaves a share of its cost."""
        cost, constants = edge.cost, self._profile.daemon
        index = edge.index
        kind = edge.compiled.kinds[index]
        if kind == PREAMBLE:
            return [(DAEMON_CPU, cost.cpu_s, 1.0)]
        factor = 1.0
        if cost.spread:
            attempt = self._attempts.get(edge.key, 0)
            factor = self._profile.factor(self._seed, edge.key, attempt, cost.spread)
        if edge.warm:
            factor *= cost.warm
        written_bytes = cost.write_bytes * factor
        cpu_s = cost.cpu_s * factor
        if kind != EXEC:
            if kind == CONTEXT:
                sent = edge.sent_bytes
                return [
                    (NETWORK, sent, edge.owner.request.uplink_bytes_per_s),
                    (DAEMON_CPU, cpu_s + sent * constants.context_byte_cpu_s, 1.0),
                    (WRITE, sent, inf),
                ]
            return [
                (DELAY, cost.latency_s * factor, 0.0),
                (NETWORK, cost.download_bytes * factor, inf),
                (READ, cost.read_bytes * factor, inf),
                (DAEMON_CPU, cpu_s, cost.threads),
                (DAEMON_CPU, written_bytes * constants.write_byte_cpu_s, 1.0),
                (WRITE, written_bytes, inf),
            ]
        if self._slowdowns:
            cpu_s *= self._slowdowns.get(edge.compiled.platforms[index], 1.0)
        serial_s = cpu_s * cost.serial
        phases = [
            (DELAY, cost.latency_s * factor, 0.0),
            (NETWORK, cost.download_bytes * factor, inf),
            (READ, cost.read_bytes * factor, inf),
            (CPU, serial_s, 1.0),
            (CPU, cpu_s - serial_s, cost.threads),
            (CPU, written_bytes * constants.write_byte_cpu_s, 1.0),
            (WRITE, written_bytes, inf),
        ]
        if cost.overlap:
            phases.insert(0, (TOGETHER, len(phases), 0.0))
        phases.insert(0, (DAEMON_CPU, constants.run_cpu_s, RUN_CORES))
        return phases
