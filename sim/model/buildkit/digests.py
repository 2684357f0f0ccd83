"""Content digests: what a COPY takes of a stage that was made meanwhile is hashed before it is looked up by content.

In: solves that need one, by what is hashed. Out: a call to each when it is there. BuildKit begins as soon as that input is
done, whatever else the COPY waits for, beside the slots and once for all builds (solver/edge.go 824, 901; semantics 3).
"""

from __future__ import annotations

from sim.model.buildkit.edge import DAEMON_CPU, Build, Engine, Work

DIGEST = "[internal] content digest"


class Digest(Work):
    """One under way."""

    __slots__ = ("key", "waiters")

    def __init__(self, key: int, cpu_s: float) -> None:
        super().__init__([(DAEMON_CPU, cpu_s, 1.0)])
        self.key = key
        self.waiters: list[tuple[Build, int]] = []


class Digests:
    """A daemon's digests under way, by what is hashed."""

    __slots__ = ("_engine", "live")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.live: dict[int, Digest] = {}

    def make(self, key: int, cpu_s: float, solve: Build, index: int) -> None:
        """Hash for a step of a solve, or wait for who does already; `solve.digested` is called then."""
        digest = self.live.get(key)
        if digest is None:
            digest = self.live[key] = Digest(key, cpu_s)
            self._engine.work(digest, self._made)
        digest.waiters.append((solve, index))

    def leave(self, key: int, solve: Build) -> float:
        """A solve needs it no more; without any other the work ends. Returns the core-seconds that nobody else counts."""
        digest = self.live.get(key)
        if digest is None:
            return 0.0
        digest.waiters = [waiter for waiter in digest.waiters if waiter[0] is not solve]
        if digest.waiters:
            return 0.0
        del self.live[key]
        self._engine.stop(digest)
        return digest.cpu_s

    def _made(self, digest: Digest) -> None:
        del self.live[digest.key]
        cpu_s = digest.cpu_s
        waiters, digest.waiters = digest.waiters, []
        for solve, index in waiters:
            solve.digested(index, cpu_s)
            cpu_s = 0.0
