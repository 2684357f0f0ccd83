"""One build on one daemon: what of its graph is wanted, what hits, what joins others, what runs.

In: a compiled graph, the content of the commit, and the daemon. Out: rows of the trace, and word to its session when it is
evaluated and when it has ended. The order of look-ups follows buildkit-semantics 1 and 2: keys by definition first, a
stage only when the keys of what copies from it fail, then a second look-up by content (early cut-off).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sim.model.buildkit.daemon import Daemon
from sim.model.buildkit.delivery import Delivery
from sim.model.buildkit.edge import DAEMON_CPU, DELAY, DONE, FAILED, QUEUED, Edge, Phase
from sim.model.buildkit.shown import Shown
from sim.model.plan.compiled import CONTEXT, COPY, EXEC, MERGE, PREAMBLE, Compiled
from sim.model.plan.known import Known
from sim.model.record import Recorder
from sim.workload.request import Request

HISTORY = "[internal] history record"
IDLE, WANTED, HELD, READY, FLYING, ENDED = range(6)


class Command(Protocol):
    """The client's command that a solve is a part of: it decides when the solve evaluates and ends."""

    daemon: Daemon
    request: Request
    recorder: Recorder
    imported: dict[str, int]

    @property
    def target_cpu_s(self) -> float:
        """The client's own work for each target."""
        ...

    def registered(self, solve: Solve) -> None:
        """The solve's graph is known."""
        ...

    def evaluated(self, solve: Solve) -> None:
        """The solve's whole result is there."""
        ...

    def failed(self, solve: Solve) -> None:
        """The solve failed."""
        ...


class Solve:
    """A build: request x target x runner. `on_end` is called once, when the client has its answer."""

    # fmt: off
    __slots__ = (
        "_agenda",
        "_contexts_left",
        "_flights",
        "_held",
        "_loaded",
        "_missing",
        "_pending",
        "_ready",
        "_results_left",
        "_shown",
        "_status",
        "_tail",
        "_wanted_s",
        "build",
        "compiled",
        "context_bytes",
        "daemon",
        "delivery",
        "evaluated",
        "evaluating",
        "inputs",
        "known",
        "live",
        "names",
        "no_cache",
        "on_end",
        "outcome",
        "reason",
        "request",
        "runner",
        "session",
        "started_s",
        "target",
    )
    # fmt: on

    def __init__(
        self,
        build: int,
        session: Command,
        target: str,
        compiled: Compiled,
        names: tuple[list[str], list[tuple[str, ...]]],
        delivery: Callable[[Solve], Delivery],
        on_end: Callable[[Solve], None],
    ) -> None:
        self.build = build
        self.session = session
        self.daemon = session.daemon
        self.runner = session.daemon.runner
        self.request = session.request
        self.target = target
        self.compiled = compiled
        self.names, self.inputs = names
        self.on_end = on_end
        self.no_cache = self.request.no_cache
        self.live = True
        self.evaluating = False
        self.evaluated = False
        self.outcome = "ok"
        self.reason = ""
        self.started_s = self.daemon.engine.now
        self.context_bytes = 0.0
        size = compiled.size + 2
        links = None if self.no_cache else self.daemon.cache
        self.known = Known(compiled, self.request.content, links, session.imported)
        self.delivery = delivery(self)
        self._shown = Shown(self, session.recorder, self.daemon.engine, self.daemon.cache)
        self._status = bytearray(size)
        self._missing = [0] * size
        self._wanted_s = [0.0] * size
        self._contexts_left = compiled.kinds.count(CONTEXT)
        self._results_left = len(set(compiled.results))
        self._pending: list[int] = []
        self._agenda: list[int] = []
        self._ready: list[int] = []
        self._flights: dict[Edge, int] = {}
        self._held: list[Edge] = []
        self._loaded: list[int] = []
        self._tail: Edge | None = None

    # The life of a build: open, register, evaluate, finish.

    def open(self) -> None:
        """The client has connected: load the definition, then .dockerignore; each needs a slot even for a cached build."""
        self.daemon.builds[self] = None
        self.delivery.open()
        self._load(self.compiled.definition)

    def evaluate(self) -> None:
        """The graph is known and nothing holds it back: want the result."""
        self.evaluating = True
        for index, kind in enumerate(self.compiled.kinds):
            if kind == CONTEXT:
                self._want(index)
        for index in self.compiled.results:
            self._want(index)
        self._run()

    def finish(self) -> None:
        """Everything is evaluated and no dependent needs it any more: write the history record and answer.

        Its vertices are let go at once: who needs one of them 20 ms later finds the record, and a failed one runs again
        (recorded cases slots-one-*, failure-queued-stages).
        """
        daemon = self.daemon
        self._let_go()
        tail = Edge(self, self.compiled.definition, 0, False)
        tail.phases = [(DAEMON_CPU, daemon.profile.daemon.tail_cpu_s + self.session.target_cpu_s, 1.0)]
        self._tail = tail
        tail.started_s = daemon.engine.now
        daemon.engine.work(tail, self._answered)

    def work(self, phases: list[Phase], then: Callable[[Edge], None]) -> None:
        """Work of the build itself that is no vertex, such as an export."""
        edge = Edge(self, self.compiled.definition, 0, False)
        edge.phases = phases
        self._tail = edge
        self.daemon.engine.work(edge, then)

    def cancel(self, reason: str) -> None:
        """The client has gone, or another part of the request failed: steps that nobody else wants are killed."""
        if self.live:
            self._break_off("cancelled", reason)

    def lost(self, reason: str) -> None:
        """The daemon no longer answers: the build fails, and with it the rest of its request."""
        if self.live:
            self._break_off("failed", reason)
            self.session.failed(self)

    def _break_off(self, outcome: str, reason: str) -> None:
        self.outcome, self.reason = outcome, reason
        self._leave_all()
        delay_s = self.daemon.profile.daemon.kill_latency_s
        self._tail = Edge(self, self.compiled.definition, 0, False)
        self._tail.phases = [(DELAY, delay_s, 0.0)]
        self.daemon.engine.work(self._tail, self._answered)

    def vertex_ended(self, edge: Edge, index: int) -> None:
        """A vertex that this solve waited for has ended."""
        self._flights.pop(edge, None)
        kind = self.compiled.kinds[index]
        if edge.state == FAILED:
            self._shown.edge(edge, index, "failed", self._wanted_s[index])
            self._fail(self.names[index], edge.fault)
        elif kind == PREAMBLE:
            self._shown.edge(edge, index, "executed" if edge.owner is self else "shared", self._wanted_s[index])
            if index == self.compiled.definition:
                # The images' metadata are asked for in between, without a slot (semantics 5).
                self.work([(DELAY, self.daemon.profile.daemon.metadata_latency_s, 0.0)], self._resolved)
            else:
                self.session.registered(self)
        else:
            mine = edge.owner is self
            self._shown.edge(edge, index, "executed" if mine else "shared", self._wanted_s[index])
            if kind == CONTEXT:
                if mine:
                    self.context_bytes += edge.sent_bytes
                self._contexts_left -= 1
                if self._contexts_left == 0:
                    self._agenda.extend(self._pending)
                    self._pending.clear()
            self._end_step(index, edge.key, edge.result)
            self._run()

    def _resolved(self, _: Edge) -> None:
        self._load(self.compiled.dockerignore)

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
        """Look at what is wanted until nothing changes; steps that become ready together start in random order (13.4)."""
        while self.live and (self._agenda or self._ready):
            while self._agenda:
                self._consider(self._agenda.pop())
                if not self.live:
                    return
            ready, self._ready = self._ready, []
            if self.daemon.limited and len(ready) > 1:
                self.daemon.random.shuffle(ready)
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
            return
        inputs = set(compiled.inputs[index])
        self._missing[index] = missing = sum(self._status[given] != ENDED for given in inputs)
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
        return not self.no_cache and self.delivery.record(key) is not None

    def _go(self, index: int) -> None:
        """All inputs are there: unless somebody was faster, the step executes."""
        if self._hit(index):
            return
        key = self.known.key(index)
        if key is None:
            raise AssertionError(f"{self.names[index]}: all inputs are there, but it has no key")
        self._wanted_s[index] = self.daemon.engine.now
        self._take_off(self.daemon.execute(self, index, key, self._ignores_cache(index)), index)

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
                    self._shown.edge(edge, index, "failed", self._wanted_s[index])
                    self._fail(self.names[index], edge.fault)
                    return True
                self._shown.hit(index, key, edge)
                self._end_step(index, key, edge.result)
            self._report_below(index)
            return True
        result = None if no_cache else self.delivery.record(key)
        if result is None:
            return False
        daemon.cache.hold(key)
        self._loaded.append(key)
        self._shown.hit(index, key, None)
        self._end_step(index, key, result)
        self._report_below(index)
        return True

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
        compiled = self.compiled
        self.known.end(index, key, result, self.daemon.cache)
        for consumer in compiled.consumers[index]:
            if self._status[consumer] != WANTED:
                continue
            self._missing[consumer] -= 1
            if self._missing[consumer] == 0:
                self._status[consumer] = READY
                self._ready.append(consumer)
            elif compiled.content_inputs[consumer] and self.known.final[consumer] is None:
                self._hit(consumer)
        if index in compiled.results:
            self._results_left -= 1
            if self._results_left == 0:
                self.evaluated = True
                self.session.evaluated(self)

    # Ends.

    def _fail(self, step: str, fault: str) -> None:
        self.outcome, self.reason = "failed", f"{step}: {fault}" if fault else step
        self._leave_all()
        self.finish()
        self.session.failed(self)

    def _leave_all(self) -> None:
        """Leave everything in flight; what runs and nobody else wants is killed, and shows as cancelled."""
        self.live = False
        self._agenda.clear()
        self._ready.clear()
        if self._tail is not None:
            self.daemon.engine.stop(self._tail)
        self.delivery.cancel()
        flights, self._flights = self._flights, {}
        for edge, index in flights.items():
            was_queued = edge.state == QUEUED
            self.daemon.leave(edge, self)
            if not was_queued:
                self._shown.edge(edge, index, "cancelled", self._wanted_s[index])

    def _answered(self, tail: Edge) -> None:
        self.live = False
        if tail.cpu_s:
            self.session.recorder.overhead(self, HISTORY, tail, tail.started_s, self.daemon.engine.now)
        self._let_go()
        self.daemon.builds.pop(self, None)
        self.daemon.build_ended()
        self.on_end(self)

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for edge in held:
            self.daemon.release(edge)
        loaded, self._loaded = self._loaded, []
        for key in loaded:
            self.daemon.cache.release(key, self.daemon.engine.now)

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
                    self._shown.hit(given, key, edge)
                elif not self.no_cache and daemon.cache.record(key) is not None:
                    self._shown.hit(given, key, None)
            stack.extend(compiled.inputs[given])
