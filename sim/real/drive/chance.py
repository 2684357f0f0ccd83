"""What chance decides about an execution: how much more or less a step costs, and whether it fails.

In: a step's operation and key, as the load program reports them; requests whose commit fails. Out: a factor and an exit code, a
function of (seed, key, attempt) as in the simulation, though the keys are others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from math import isfinite

from sim.graph.types import Graph
from sim.profile import Profile
from sim.real.builds import Source
from sim.real.recipe import Key
from sim.workload.request import Request

_FAILS = 0x5F61696C  # a stream of its own for failures
_ANY = "*"  # nobody knows the key beforehand
_OP = 16  # the load program reports so much of an operation's digest


class Chance:
    """Decides for the control server; its calls come from any thread."""

    def __init__(self, keys: Mapping[Key, Graph], profile: Profile, seed: int) -> None:
        self._profile, self._seed = profile, seed
        self._spread: dict[str, float] = {}
        self._fails: dict[str, float] = {}
        self._downloads = False
        for graph in keys.values():
            for step, cost in zip(graph.steps, profile.costs(graph), strict=True):
                if step.kind == "exec":
                    self._spread.setdefault(step.op[:_OP], cost.spread)
                    self._fails.setdefault(step.op[:_OP], cost.fails)
                    self._downloads = self._downloads or (cost.download_bytes > 0 and isfinite(cost.download_bytes))
        self._failing: set[tuple[str, str]] = set()
        self._attempts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def is_needed(self, requests: Iterable[Request]) -> bool:
        """Whether steps must ask at all: asking is work on the machine."""
        drawn = any(self._spread.values()) or any(0 < share < 1 for share in self._fails.values())
        return drawn or self._downloads or any(request.failing for request in requests)

    def fail(
        self, requests: Iterable[Request], keys: Mapping[Key, Graph], source: Source, of: Callable[[Request], list[Key]]
    ) -> None:
        """The steps that fail at these requests' commits."""
        for request in requests:
            for key in of(request) if request.failing else ():
                known = source.keys(key, request.content)
                for step in keys[key].steps:
                    if step.digest in request.failing:
                        self._failing.add((step.op[:_OP], known.get(step.name, _ANY)))

    def decide(self, op: str, key: str) -> tuple[float, int]:
        """Factor on all amounts, and exit code."""
        with self._lock:
            attempt = self._attempts.get((op, key), 0)
            self._attempts[op, key] = attempt + 1
        number = int(key[:16], 16)
        factor = self._profile.factor(self._seed, number, attempt, self._spread.get(op, 0.0))
        fails = (op, key) in self._failing or (op, _ANY) in self._failing
        if not fails:
            fails = self._profile.uniform(self._seed, number, attempt, _FAILS) < self._fails.get(op, 0.0)
        return factor, int(fails)
