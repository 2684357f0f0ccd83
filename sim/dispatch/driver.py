"""Carries out what a pool decides: the part that is alike whether machines are simulated or real.

In: leases. Out: calls of what takes time (`_boot`, `_watch`, `_stop`), and of a lease's own when it has its runner.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from random import Random
from typing import Generic, Protocol, TypeVar

from sim.pool import Action, Assign, Boot, Pool, Stop, WatchIdle
from sim.scenario.farm import Farm


class Lease(Protocol):
    """A request on one project and architecture. `given`: its runner's number in the pool."""

    number: int
    given: int


L = TypeVar("L", bound=Lease)


class Driver(Generic[L]):
    """The pool of a project on an architecture, and the leases that wait for it or are on it.

    `_entropy`: a stream of its own for each, whatever else the farm has; the same in both worlds.
    """

    def __init__(self, farm: Farm, project: str, platform: str, seed: int) -> None:
        self.project = project
        self.platform = platform
        self.size = farm.runner_for(project, platform)
        self._entropy = int.from_bytes(blake2b(f"{seed} {project} {platform}".encode(), digest_size=8).digest(), "big")
        scaling = farm.autoscaling
        self._pool = Pool(
            limit=scaling.builds_per_instance if scaling else inf,
            max_instances=scaling.max_instances if scaling else 1,
            on_full=scaling.on_full if scaling else "queue",
            routing=farm.routing,
            write_back=farm.write_back,
            random=Random(self._entropy),
        )
        self._leases: dict[int, L] = {}

    def withdraw(self, lease: L) -> bool:
        """Give up waiting; False when the lease has a runner."""
        if self._pool.withdraw(lease.number):
            del self._leases[lease.number]
            return True
        return False

    def release(self, lease: L) -> None:
        """The lease has ended."""
        del self._leases[lease.number]
        self._act(self._pool.release(lease.number, lease.given))

    def _ask(self, lease: L, sticky: int) -> None:
        self._leases[lease.number] = lease
        self._act(self._pool.arrive(lease.number, sticky))

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Assign):
                lease = self._leases[action.lease]
                lease.given = action.runner
                self._begin(lease)
            elif isinstance(action, Boot):
                self._boot(action)
            elif isinstance(action, WatchIdle):
                self._watch(action)
            elif isinstance(action, Stop):
                self._stop(action)

    def _begin(self, lease: L) -> None:
        """The lease has its runner."""
        raise NotImplementedError

    def _boot(self, action: Boot) -> None:
        raise NotImplementedError

    def _watch(self, action: WatchIdle) -> None:
        raise NotImplementedError

    def _stop(self, action: Stop) -> None:
        raise NotImplementedError
