"""A live vertex of a daemon, and what it and the daemon ask of the build that owns it and of time.

In: a build, a step of it, the step's final key. Out: `Edge`, the shared state of one execution; protocols for both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sim.model.plan.compiled import Compiled
from sim.model.plan.known import Known
from sim.model.store.contexts import Copy
from sim.profile.cost import Cost
from sim.workload.request import Request

QUEUED: Final = 0
RUNNING: Final = 1
DONE: Final = 2
FAILED: Final = 3
GONE: Final = 4
DELAY: Final = 0
CPU: Final = 1
DAEMON_CPU: Final = 2
SLEEPY_CPU: Final = 3
NETWORK: Final = 4
READ: Final = 5
WRITE: Final = 6
TOGETHER: Final = 7
CLIENT_CPU: Final = 8

Phase = tuple[int, float, float]
"""A resource, an amount of work on it, and the most of it that the work can use at a time.

Seconds of `DELAY`, core-seconds of a step's or the daemon's own `CPU`, bytes for the rest. `SLEEPY_CPU`: the daemon's, of
threads that sleep and wake often (`Daemon.crowded_share`). `CLIENT_CPU`: of a client that runs on the runner's machine.
`(TOGETHER, n, 0)` starts the next n phases at once.
"""

T = TypeVar("T")
W = TypeVar("W", bound="Work")


class Build:
    """A build as its vertices, its daemon and its rows see it."""

    __slots__ = ("build", "compiled", "inputs", "known", "names", "request", "runner")

    build: int
    runner: int
    request: Request
    compiled: Compiled
    known: Known
    names: list[str]
    inputs: list[tuple[str, ...]]

    def vertex_ended(self, edge: Edge, index: int) -> None:
        """A vertex that the build waited for has ended."""
        raise NotImplementedError

    def loading(self, index: int) -> Phase:
        """The definition or .dockerignore is asked of the client: its own work for that."""
        raise NotImplementedError

    def digested(self, index: int, cpu_s: float) -> None:
        """What a step takes by content is hashed; `cpu_s` of that are the build's to count."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """The daemon no longer answers."""
        raise NotImplementedError


class Engine:
    """What a daemon needs from time: now, a call later, and work on the machine it runs on."""

    __slots__ = ()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        raise NotImplementedError

    def later(self, delay_s: float, call: Callable[[T], None], about: T) -> None:
        """Call `call(about)` in `delay_s` seconds."""
        raise NotImplementedError

    def work(self, work: W, then: Callable[[W], None]) -> None:
        """Carry out `work.phases` one after the other, then call `then(work)`; never at once."""
        raise NotImplementedError

    def clients_at_once(self) -> int:
        """One more client starts: how many have at this very moment, on the same host."""
        raise NotImplementedError

    def stop(self, work: Work) -> None:
        """Stop carrying out; `work.cpu_s` becomes what was used."""
        raise NotImplementedError


class Work:
    """Something that takes time on a machine: phases carried out one after the other, then a call."""

    __slots__ = ("cpu_s", "engine", "job", "phase", "phases", "then", "weight")

    def __init__(self, phases: list[Phase]) -> None:
        self.phases = phases
        self.weight = 1.0  # of a command, when it shares the cores with others
        self.phase = 0
        self.cpu_s = 0.0
        self.engine: Any = None  # what carries it out
        self.job: object = None
        self.then: Callable[[Any], None] = _nothing


class Edge(Work):
    """A live vertex of the daemon: queued, running, or ended and still referred to by a live solve."""

    __slots__ = (
        "alone_s",
        "compiled",
        "completed_s",
        "copy",
        "cost",
        "executed",
        "fault",
        "holders",
        "index",
        "indexed",
        "is_record",
        "kept",
        "key",
        "lock_wait_s",
        "locking_since",
        "miss",
        "name",
        "no_cache",
        "owner",
        "paid",
        "pull",
        "pulled_bytes",
        "result",
        "scale",
        "sent_bytes",
        "started_s",
        "state",
        "waiters",
        "warm",
    )

    def __init__(self, owner: Build, index: int, key: int, no_cache: bool) -> None:
        super().__init__([])
        self.owner = owner
        self.compiled = owner.compiled
        self.index = index
        self.cost: Cost = owner.compiled.costs[index]
        self.key = key
        self.no_cache = no_cache
        self.name = owner.names[index]
        self.state = QUEUED
        self.waiters: list[tuple[Build, int]] = []
        self.holders = 0
        self.indexed = False
        self.executed = False
        self.is_record = False
        self.kept: tuple[int, ...] = ()  # inputs that it holds itself, for its owner has gone
        self.copy: Copy | None = None
        self.pull: Any = None  # lazy layers on their way (`sim.model.registry.Pull`)
        self.paid = False
        self.result = 0
        self.completed_s = 0.0
        self.alone_s = 0.0
        self.started_s = 0.0
        self.lock_wait_s = 0.0
        self.locking_since = 0.0
        self.miss = ""
        self.fault = ""
        self.sent_bytes = 0.0
        self.pulled_bytes = 0.0
        self.scale = 1.0  # what its draw and its cache mounts make of the amounts of its cost
        self.warm = False


def _nothing(_: object) -> None:
    return None
