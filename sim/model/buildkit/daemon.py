"""A BuildKit daemon: slots, live vertices that builds share, cache mounts. A state machine without a clock of its own.

In: steps that solves want executed. Out: calls on an `Engine` that carries work out in time. What it must do:
buildkit-semantics 1 (sharing), 3 (slots), 4 (mounts), 13.4 (order). SimPy is not known here.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf, isfinite
from random import Random

from sim.model.buildkit.digests import Digests
from sim.model.buildkit.edge import DONE, FAILED, GONE, QUEUED, RUNNING, Build, Edge, Engine
from sim.model.buildkit.exports import Exporter
from sim.model.buildkit.phases import Costing
from sim.model.machine.memory import Memory
from sim.model.plan.compiled import CONTEXT, COPY, EXEC, MERGE, PREAMBLE, usual_result
from sim.model.registry import Layer, Pull, Registry
from sim.model.store.mounts import CacheMounts
from sim.model.store.volume import Volume
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.scenario.farm import Runner
from sim.trace import KILLED

# The purpose of the uniform draw, and a mark that no other digest carries.
FAILS = 1
_UNIQUE = 79


class Seen:
    """What the pool's runners have executed so far, each key with the last runner that did: it tells why a step misses."""

    __slots__ = ("keys", "ops")

    def __init__(self) -> None:
        self.keys: dict[int, int] = {}
        self.ops: set[int] = set()


class Daemon:
    """One daemon on one runner. `slots` 0 is no limit. `random` draws in which order steps start that become ready together.

    `builds` are those in progress. When their steps want more than `keep_alive_limit` times the memory, all of them fail.
    """

    def __init__(
        self,
        engine: Engine,
        volume: Volume,
        profile: Profile,
        registry: Registry,
        *,
        runner: int,
        seed: int,
        random: Random,
        seen: Seen,
        machine: Runner,
        slots: int = 0,
        dedup: bool = True,
        slowdowns: dict[str, float] | None = None,
        keep_alive_limit: float = inf,
    ) -> None:
        self.engine = engine
        self.volume = volume
        self.cache = volume.cache
        self.profile = profile
        self.runner = runner
        self.seed = seed
        self.random = random
        self.seen = seen
        self.limited = slots > 0
        self.dedup = dedup
        self.memory: Memory[Edge] = Memory(machine.memory_bytes)
        self.keep_alive_limit = keep_alive_limit
        self.builds: dict[Build, None] = {}
        self.exporter = Exporter(
            engine,
            profile,
            registry,
            seed=seed,
            spread=float(profile.has_spread),
            kept=volume.blobs,
            on_blob=self._packed,
        )
        self.digests = Digests(engine)
        self._costing = Costing(profile, seed, slowdowns or {}, volume.cache.attempts, machine)
        self._free = slots
        self._queue: deque[Edge] = deque()
        self._live: dict[int, Edge] = {}
        self._mounts = CacheMounts(volume.cache)
        self._lockers: list[Edge] = []
        self.is_stopped = False
        self.collects = isfinite(self.cache.limits.max_bytes) or isfinite(self.cache.limits.keep_s)
        self._collects_soon = False
        self._collected_s = -inf

    def find(self, key: int, no_cache: bool) -> Edge | None:
        """The live vertex of this key that a step may join. --no-cache joins only --no-cache; a normal one joins both."""
        edge = self._live.get(key)
        if edge is None or (no_cache and not edge.no_cache) or (not self.dedup and edge.state < DONE):
            return None
        return edge

    def execute(self, solve: Build, index: int, key: int, no_cache: bool, cpu_s: float = 0.0) -> Edge:
        """Start a vertex, or queue it for a slot, first come first served over all builds. `cpu_s` was spent on it before."""
        edge = Edge(solve, index, key, no_cache)
        edge.cpu_s = cpu_s
        # BuildKit's index has one edge a key (solver/index.go): a --no-cache one takes a normal one's place.
        before = self._live.get(key)
        if before is None or (no_cache and not before.no_cache):
            self._live[key] = edge
            edge.indexed = True
        if self.limited and edge.compiled.kinds[index] != MERGE:
            if self._free:
                self._free -= 1
                self._start(edge)
            else:
                self._queue.append(edge)
        else:
            self._start(edge)
        return edge

    def digest_cpu_s(self, cost: Cost) -> float:
        """Core-seconds that the digest of what a COPY takes costs."""
        return cost.write_bytes * self.profile.daemon.hash_byte_cpu_s

    def leave(self, edge: Edge, solve: Build) -> None:
        """A solve gives up on a vertex in flight; without any waiter left the vertex is cancelled."""
        edge.waiters = [waiter for waiter in edge.waiters if waiter[0] is not solve]
        if edge.state >= DONE:  # it is about to tell those who waited
            return
        if edge in self._lockers:
            edge.lock_wait_s = self.engine.now - edge.locking_since
        if edge.waiters:
            if edge.owner is solve:
                self._keep_inputs(edge)
            return
        if edge.state == QUEUED:
            if edge in self._queue:
                self._queue.remove(edge)
        elif edge.state == RUNNING:
            self.engine.stop(edge)
            self.memory.give_back(edge)
            if edge.pull is not None:
                edge.pull.cancel()
                self._count_pull(edge, edge.pull)
            if edge.copy is not None:
                self.volume.copies.lose(edge.copy, self.engine.now)
            self._count_attempt(edge.key)
            self.seen.keys.pop(edge.key, None)
            self.engine.later(self.profile.daemon.kill_latency_s, self._vacate, edge)
        edge.state = GONE
        self._forget(edge)
        self._let_inputs_go(edge)

    def _keep_inputs(self, edge: Edge) -> None:
        """Its owner, which had its inputs, goes; who else waits for it need not have asked for them."""
        cache, finals = self.cache, edge.owner.known.final
        keys = (finals[given] for given in edge.compiled.inputs[edge.index])
        edge.kept = tuple(key for key in keys if key is not None and cache.record(key) is not None)
        for key in edge.kept:
            cache.hold(key)

    def _let_inputs_go(self, edge: Edge) -> None:
        kept, edge.kept = edge.kept, ()
        for key in kept:
            self.cache.release(key, self.engine.now)

    def release(self, edge: Edge) -> None:
        """A solve that referred to this vertex has ended."""
        edge.holders -= 1
        if edge.holders == 0 and edge.state in (DONE, FAILED):
            self._forget(edge)
            if edge.copy is not None:
                self.volume.copies.give_back(edge.copy, self.engine.now)
            elif edge.is_record:
                self.cache.release(edge.key, self.engine.now)

    def _forget(self, edge: Edge) -> None:
        """Whoever has had the place of this key empties it, also when another has taken it since (solver/index.go Release)."""
        if edge.indexed:
            self._live.pop(edge.key, None)

    def _start(self, edge: Edge) -> None:
        edge.state = RUNNING
        edge.started_s = self.engine.now
        compiled, index = edge.compiled, edge.index
        if compiled.kinds[index] in (EXEC, COPY, MERGE):
            edge.miss = self._why_missed(edge, compiled.ops[index])
        if compiled.mounts[index]:
            edge.locking_since = edge.started_s
            self._take_mounts(edge)
        else:
            self._go(edge)

    def _why_missed(self, edge: Edge, op: int) -> str:
        seen = self.seen
        if edge.no_cache:
            why = "no_cache"
        elif self.cache.was_collected(edge.key):
            why = "evicted"
        elif seen.keys.get(edge.key, self.runner) != self.runner:
            why = "clone"
        elif op in seen.ops:
            why = "changed"
        else:
            why = "cold"
        seen.keys[edge.key] = self.runner
        seen.ops.add(op)
        return why

    def _take_mounts(self, edge: Edge) -> None:
        """Take all cache mounts, or poll: a locked one that is busy is tried again every 100 ms, in no order (semantics 4)."""
        warm = self._mounts.take(edge, edge.compiled.mounts[edge.index])
        if warm is None:
            if edge not in self._lockers:
                self._lockers.append(edge)
            return
        if edge in self._lockers:
            self._lockers.remove(edge)
        edge.lock_wait_s = self.engine.now - edge.locking_since
        edge.warm = warm
        self._go(edge)

    def _free_mounts(self, edge: Edge) -> None:
        """Let go of all mounts; those who poll for a lock may find it free at their next try."""
        self._mounts.free(edge, self.engine.now, edge.compiled.mount_bytes[edge.index])
        now, poll_s = self.engine.now, self.profile.daemon.lock_poll_s
        for waiter in self._lockers:
            tries = ceil((now - waiter.locking_since) / poll_s) if poll_s else 0
            self.engine.later(waiter.locking_since + tries * poll_s - now, self._retry_mounts, waiter)

    def _retry_mounts(self, edge: Edge) -> None:
        if edge.state == RUNNING and edge in self._lockers:
            self._take_mounts(edge)

    def _go(self, edge: Edge) -> None:
        """Carry the vertex out, once layers that it stands on or reads, and that only a registry has, are here (13.7)."""
        if self.volume.lazy:
            finals = edge.owner.known.final
            keys = [key for given in edge.compiled.inputs[edge.index] if (key := finals[given]) is not None]
            layers = self.volume.lazy_below(keys)
            if layers:
                edge.pull = self.exporter.pull(list(layers.values()), lambda pull: self._pulled(edge, layers, pull))
                return
        self._carry_out(edge)

    def _pulled(self, edge: Edge, layers: dict[int, Layer], pull: Pull) -> None:
        edge.pull = None
        self._count_pull(edge, pull)
        edge.started_s = self.engine.now
        self.volume.pulled(layers, self.engine.now)
        self._carry_out(edge)

    def _count_pull(self, edge: Edge, pull: Pull) -> None:
        edge.cpu_s += pull.cpu_s
        edge.pulled_bytes += pull.received_bytes

    def _packed(self, layer: int, packed_bytes: float) -> None:
        self.volume.packed(layer, packed_bytes, self.engine.now)

    def _carry_out(self, edge: Edge) -> None:
        index = edge.index
        kind = edge.compiled.kinds[index]
        if kind == CONTEXT:
            self._receive(edge)
        edge.phases = self._costing.phases(edge)
        if kind == PREAMBLE:
            edge.phases.insert(0, edge.owner.loading(index))
        if kind == EXEC:
            peak_bytes = edge.cost.memory_bytes
            if peak_bytes:
                self.memory.claim(edge, peak_bytes)
                if self.memory.in_use_bytes > self.memory.limit_bytes:
                    self.engine.later(0.0, self._relieve, edge)
        self.engine.work(edge, self._finished)

    def _receive(self, edge: Edge) -> None:
        """Find a copy of the context to send the changes into; it stays taken while a build holds the vertex (13.2)."""
        request = edge.owner.request
        edge.copy, _, edge.sent_bytes = self.volume.copies.take(
            edge.compiled.selection(edge.index),
            request.content,
            client=request.client,
            fresh=request.fresh_checkout,
            touches=request.touches,
            now_s=self.engine.now,
        )

    def _relieve(self, _: Edge) -> None:
        """Memory is short: the largest step dies, the others go on; far beyond, the daemon itself stops answering (13.5)."""
        if self.memory.in_use_bytes > self.keep_alive_limit * self.memory.limit_bytes:
            for build in list(self.builds):
                build.lost("keep alive ping failed")
            return
        while (victim := self.memory.victim()) is not None:
            self.engine.stop(victim)
            victim.fault = KILLED
            self._finished(victim)

    def _finished(self, edge: Edge) -> None:
        """The work of a vertex is done: it failed, or it has a result that is cached."""
        index, compiled = edge.index, edge.compiled
        kind = compiled.kinds[index]
        edge.completed_s = self.engine.now
        if edge.cost.memory_bytes:
            self.memory.give_back(edge)
        if kind == EXEC and self._fails(edge):
            edge.state = FAILED
            self.seen.keys.pop(edge.key, None)
            self._count_attempt(edge.key)
        else:
            edge.state = DONE
            edge.executed = True
            edge.result = self._result(edge)
            if kind not in (CONTEXT, PREAMBLE):
                self._keep(edge)
                if edge.no_cache:
                    self._count_attempt(edge.key)
        if edge.kept:
            self._let_inputs_go(edge)
        # The slot is free before the next step of this build asks: a queue of others comes first (semantics 13.4).
        self._vacate(edge)
        waiters, edge.waiters = edge.waiters, []
        for solve, waiting in waiters:
            solve.vertex_ended(edge, waiting)

    def _keep(self, edge: Edge) -> None:
        """The result is a record from now on, and stays while a build refers to its vertex."""
        compiled, index, finals = edge.compiled, edge.index, edge.owner.known.final
        parents = tuple(key for given in compiled.parents[index] if (key := finals[given]) is not None)
        self.cache.add_record(edge.key, edge.result, edge.completed_s, compiled.layer_bytes[index], parents, edge.cpu_s)
        self.cache.hold(edge.key)
        edge.is_record = True
        self.volume.lazy.pop(edge.key, None)
        if self.cache.gone:
            self.volume.forget_gone()

    def stop(self) -> None:
        """Its runner is gone. Nothing refers to the cache in a circle then: a clone's goes at once."""
        self.is_stopped = True
        self.exporter.blobs.forget_owner()

    def build_ended(self) -> None:
        """Garbage is collected a second after a build, at most once a minute (buildkit-semantics 13.8)."""
        if self.collects and not self._collects_soon:
            self._collects_soon = True
            now = self.engine.now
            self.engine.later(max(1.0, self._collected_s + 60.0 - now), self._collect, None)

    def _collect(self, _: None) -> None:
        self._collects_soon = False
        self._collected_s = now = self.engine.now
        if not self.is_stopped and self.cache.needs_collection(now):
            self.volume.collect(now)

    def _count_attempt(self, key: int) -> None:
        self.cache.attempts[key] = self.cache.attempts.get(key, 0) + 1

    def _fails(self, edge: Edge) -> bool:
        cost = edge.cost
        if edge.fault or edge.compiled.digests[edge.index] in edge.owner.request.failing:
            return True
        if not cost.fails:
            return False
        attempt = self.cache.attempts.get(edge.key, 0)
        return cost.fails >= 1.0 or self.profile.uniform(self.seed, edge.key, attempt, FAILS) < cost.fails

    def _result(self, edge: Edge) -> int:
        if not edge.cost.reproducible:
            return hash((edge.key, _UNIQUE, self.runner, int(self.engine.now * 1e6)))
        return usual_result(edge.compiled, edge.index, edge.key, self.profile, self.seed)

    def _vacate(self, edge: Edge) -> None:
        """A vertex lets go of its mounts and its slot; the first of the queue takes the slot."""
        if edge.compiled.mounts[edge.index]:
            if edge in self._lockers:
                self._lockers.remove(edge)
            else:
                self._free_mounts(edge)
        if self.limited and edge.compiled.kinds[edge.index] != MERGE:
            if self._queue:
                self._start(self._queue.popleft())
            else:
                self._free += 1
