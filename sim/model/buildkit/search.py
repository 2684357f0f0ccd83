"""What of a build's graph is wanted, what hits, what joins others, what runs.

In: a compiled graph at a content, a daemon, results that are wanted. Out: vertices that the daemon executes, records that are
loaded. The order of look-ups follows buildkit-semantics 1 and 2: keys by definition first, a stage only when the keys of
what copies from it fail, then a second look-up by content (early cut-off).
"""

from __future__ import annotations

from typing import Final

from sim.model.buildkit.daemon import Daemon
from sim.model.buildkit.edge import DONE, FAILED, QUEUED, Build, Edge
from sim.model.plan.compiled import CONTEXT, COPY, EXEC, MERGE, Compiled
from sim.model.plan.known import Known
from sim.model.plan.spawning import spawned
from sim.model.record import Recorder
from sim.model.shown import Shown
from sim.workload.request import Request

IDLE: Final = 0
WANTED: Final = 1
HELD: Final = 2
READY: Final = 3
FLYING: Final = 4
ENDED: Final = 5

# Of the content that a step takes: its digest is under way, or made.
HASHING: Final = 1
HASHED: Final = 2


class Search(Build):
    """By step: idle, wanted, held back until the contexts are here, ready, in flight (here or in another build), ended."""

    # fmt: off
    __slots__ = (
        "_agenda", "_contexts_left", "_digest", "_digest_cpu_s", "_digesting", "_ended_s", "_flights", "_fresh", "_held",
        "_loaded", "_missing", "_pending", "_ready", "_results_left", "_shown", "_status", "_wanted_s", "daemon", "live",
        "no_cache",
    )
    # fmt: on

    def __init__(
        self,
        build: int,
        daemon: Daemon,
        request: Request,
        compiled: Compiled,
        names: tuple[list[str], list[tuple[str, ...]]],
        imported: dict[str, int],
        recorder: Recorder,
    ) -> None:
        self.build = build
        self.daemon = daemon
        self.runner = daemon.runner
        self.request = request
        self.compiled = compiled
        self.names, self.inputs = names
        self.no_cache = request.no_cache
        self.live = True
        size = compiled.size + 2
        self.known = Known(compiled, request.content, None if self.no_cache else daemon.cache, imported)
        self._shown = Shown(size, recorder, daemon.engine, daemon.cache)
        self._status = bytearray(size)
        self._fresh = bytearray(size)
        self._digest = bytearray(size)
        self._digesting: dict[int, int] = {}  # what is hashed, by the step that waits for it
        self._digest_cpu_s: dict[int, float] = {}  # what that took, until the step executes
        self._missing = [0] * size
        self._wanted_s = [0.0] * size
        self._ended_s = [0.0] * size
        self._contexts_left = compiled.kinds.count(CONTEXT)
        self._results_left = len(set(compiled.results))
        self._pending: list[int] = []
        self._agenda: list[int] = []
        self._ready: list[int] = []
        self._flights: dict[Edge, int] = {}
        self._held: list[Edge] = []
        self._loaded: list[int] = []

    # What a search leaves to the build.

    def record(self, key: int) -> int | None:
        """The result that the build may take for a key."""
        raise NotImplementedError

    def _fail(self, step: str, fault: str) -> None:
        raise NotImplementedError

    def _all_ended(self) -> None:
        """Every result is there."""
        raise NotImplementedError

    # Wanting, looking up, waiting.

    def _load(self, index: int) -> None:
        """A source of the build: its key is the request's own, so only the other targets of one request share it."""
        key = hash((self.compiled.ops[index], self.request.index))
        self._wanted_s[index] = self.daemon.engine.now
        edge = self.daemon.find(key, False)
        if edge is None:
            self._take_off(self.daemon.execute(self, index, key, False), index)
        elif edge.state == DONE:
            self._hold(edge)
            self.vertex_ended(edge, index)
        else:
            self._take_off(edge, index)

    def _want(self, index: int) -> None:
        if self._status[index] == IDLE:
            self._status[index] = WANTED
            self._wanted_s[index] = self.daemon.engine.now
            self._agenda.append(index)

    def _run(self) -> None:
        """Look at what is wanted until nothing changes; steps that become ready together start as Go has it (`spawned`)."""
        while self.live and (self._agenda or self._ready):
            while self._agenda:
                self._consider(self._agenda.pop())
                if not self.live:
                    return
            ready, self._ready = self._ready, []
            if len(ready) > 1 and (self.daemon.limited or self.compiled.has_locks):
                is_fresh = any(self._fresh[given] for given in self.compiled.inputs[ready[0]])
                ready = spawned(ready, is_fresh, self.daemon.random)
            for index in ready:
                if self.live and self._status[index] == READY:
                    self._go(index)

    def _consider(self, index: int) -> None:
        """A wanted step: it hits, joins, or wants its inputs."""
        compiled = self.compiled
        if self._status[index] not in (WANTED, HELD):
            return
        if compiled.kinds[index] == CONTEXT:
            self._load(index)
            return
        if self._contexts_left and compiled.below_context[index]:
            self._pending.append(index)
            if self._status[index] == WANTED:
                self._status[index] = HELD
                self._peek(index)
            return
        self._status[index] = WANTED
        if self._hit(index):
            if self._flights or self._ready:
                self._leave_unneeded()
            return
        inputs = set(compiled.inputs[index])
        missing = sum(self._status[given] != ENDED for given in inputs)
        if self._awaits_digest(index):
            missing += 1
        self._missing[index] = missing
        if missing == 0:
            self._status[index] = READY
            self._ready.append(index)
        else:
            for given in inputs:
                self._want(given)

    def _peek(self, index: int) -> None:
        """While the context is loading: sure misses below start already (a step whose key leads nowhere in this cache)."""
        compiled = self.compiled
        stack = [index]
        seen = {index}
        while stack:
            for given in compiled.inputs[stack.pop()]:
                if given in seen or compiled.kinds[given] == CONTEXT:
                    continue
                seen.add(given)
                if compiled.below_context[given]:
                    stack.append(given)
                else:
                    key = self.known.key(given)
                    if key is None or not self._has(key):
                        self._want(given)

    def _has(self, key: int) -> bool:
        if self.daemon.find(key, self.no_cache) is not None:
            return True
        return not self.no_cache and self.record(key) is not None

    def _go(self, index: int) -> None:
        """All inputs are there: unless somebody was faster, the step executes."""
        if self._hit(index):
            return
        key = self.known.key(index)
        if key is None:
            raise AssertionError(f"{self.names[index]}: all inputs are there, but it has no key")
        cpu_s = 0.0
        if self._digest[index]:
            self._wanted_s[index] = max([self._ended_s[given] for given in self.compiled.inputs[index]])
            cpu_s = self._digest_cpu_s.pop(index, 0.0)
        else:
            self._wanted_s[index] = self.daemon.engine.now
        self._take_off(self.daemon.execute(self, index, key, self._ignores_cache(index), cpu_s), index)

    def _awaits_digest(self, index: int) -> bool:
        """Whether a COPY waits for the digest of what it takes of a stage that was made while the build waited."""
        compiled = self.compiled
        if self._digest[index] or compiled.kinds[index] != COPY:
            return self._digest[index] == HASHING
        digests = self.daemon.digests
        for _, given, _, paths in compiled.content_inputs[index]:
            if self._status[given] != ENDED or compiled.kinds[given] == CONTEXT:
                continue
            content = hash((self.known.final[given], paths))
            if self._fresh[given] or content in digests.live:
                cpu_s = self.daemon.digest_cpu_s(compiled.costs[index])
                if cpu_s > 0.0:
                    self._digest[index] = HASHING
                    self._digesting[index] = content
                    digests.make(content, cpu_s, self, index)
                    return True
        return False

    def digested(self, index: int, cpu_s: float) -> None:
        """The digest that a step waited for is there; `cpu_s` is what it took, where this build counts that."""
        self._digest[index] = HASHED
        self._digesting.pop(index, None)
        self._digest_cpu_s[index] = cpu_s
        if self.live and self._status[index] == WANTED:
            self._arrived(index)
            self._run()

    def _ignores_cache(self, index: int) -> bool:
        return self.no_cache and self.compiled.kinds[index] in (COPY, EXEC, MERGE)

    def _hit(self, index: int) -> bool:
        """Look the step up: a live vertex of another build, or a record. True when it needs nothing more."""
        key = self.known.key(index)
        if key is None:
            return False
        daemon = self.daemon
        no_cache = self._ignores_cache(index)
        edge = daemon.find(key, no_cache)
        if edge is not None:
            if edge.state < DONE:
                self._take_off(edge, index)
            else:
                self._hold(edge)
                if edge.state == FAILED:
                    self._shown.edge(self, edge, index, "failed", self._wanted_s[index])
                    self._fail(self.names[index], edge.fault)
                    return True
                self._shown.hit(self, index, key, edge)
                self._end_step(index, key, edge.result)
            self._report_below(index)
            return True
        result = None if no_cache else self.record(key)
        if result is None or self._looked_before(index, daemon.cache.known_since_s(key)):
            return False
        daemon.cache.hold(key)
        self._loaded.append(key)
        self._shown.hit(self, index, key, None)
        self._end_step(index, key, result)
        self._report_below(index)
        return True

    def _looked_before(self, index: int, known_s: float) -> bool:
        """Whether an input's keys came before a record's key was committed: BuildKit asks the cache once for each key of an
        input, when it comes, and takes a record only where all inputs have led to it (solver/edge.go 196, 424, 676)."""
        ended_s = self._ended_s
        return any(ended_s[given] < known_s for given in self.compiled.inputs[index] if self._status[given] == ENDED)

    def _leave_unneeded(self) -> None:
        """A step that hits or joins needs its inputs no more: what only it wanted is cancelled (semantics 1; edge.go 931)."""
        compiled, status = self.compiled, self._status
        needed: set[int] = set()
        stack = list(compiled.results)
        while stack:
            index = stack.pop()
            if index not in needed:
                needed.add(index)
                if status[index] not in (FLYING, ENDED):
                    stack += compiled.inputs[index]
        for index in range(compiled.size):
            if status[index] in (WANTED, HELD, READY) and index not in needed:
                status[index] = IDLE
        for edge, index in list(self._flights.items()):
            if index >= compiled.size or compiled.kinds[index] == CONTEXT:
                continue
            # Two steps of a build may have come to one key.
            if not any(build is self and other in needed for build, other in edge.waiters):
                status[index] = IDLE
                del self._flights[edge]
                self._leave(edge, index)

    def _leave(self, edge: Edge, index: int) -> None:
        """Give up on a vertex in flight; what runs and nobody else wants is killed, and shows as cancelled."""
        was_queued = edge.state == QUEUED
        self.daemon.leave(edge, self)
        if not was_queued:
            self._shown.edge(self, edge, index, "cancelled", self._wanted_s[index])

    def _take_off(self, edge: Edge, index: int) -> None:
        """Wait for a vertex in flight."""
        self._status[index] = FLYING
        edge.waiters.append((self, index))
        self._flights[edge] = index
        self._hold(edge)

    def _hold(self, edge: Edge) -> None:
        edge.holders += 1
        self._held.append(edge)

    def _end_step(self, index: int, key: int, result: int) -> None:
        """The step has a result: tell who takes it as an input."""
        if self._status[index] == ENDED:
            return
        self._status[index] = ENDED
        self._ended_s[index] = self.daemon.engine.now
        compiled = self.compiled
        self.known.end(index, key, result, self.daemon.cache)
        for consumer in compiled.consumers[index]:
            if self._status[consumer] == WANTED:
                if not self._digest[consumer] and compiled.content_inputs[consumer] and self._awaits_digest(consumer):
                    continue
                self._arrived(consumer)
        if index in compiled.results:
            self._results_left -= 1
            if self._results_left == 0:
                self._all_ended()

    def _arrived(self, index: int) -> None:
        """One thing less that a step waits for; with a content known it may hit though others are missing."""
        self._missing[index] -= 1
        if self._missing[index] == 0:
            self._status[index] = READY
            self._ready.append(index)
        elif (
            self.compiled.content_inputs[index]
            and self._digest[index] != HASHING
            and self.known.final[index] is None
            and self._hit(index)
        ):
            self._leave_unneeded()

    def _report_below(self, index: int) -> None:
        """Steps below a hit are cached too, though nothing looked at their results."""
        compiled, daemon = self.compiled, self.daemon
        stack = list(compiled.inputs[index])
        while stack:
            given = stack.pop()
            if self._shown.done[given] or self._status[given] != IDLE or compiled.kinds[given] == CONTEXT:
                continue
            key = self.known.key(given)
            if key is not None:
                edge = daemon.find(key, self._ignores_cache(given))
                if edge is not None and edge.state == DONE:
                    self._hold(edge)
                    self._shown.hit(self, given, key, edge)
                elif not self.no_cache and daemon.cache.record(key) is not None:
                    self._shown.hit(self, given, key, None)
            stack.extend(compiled.inputs[given])
