"""One build on one daemon, from its first source to its history record.

In: a compiled graph, the content of the commit, and the daemon. Out: rows of the trace, and word to its session when it is
evaluated and when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.model.buildkit.daemon import Daemon
from sim.model.buildkit.delivery import Delivery
from sim.model.buildkit.digests import DIGEST
from sim.model.buildkit.edge import DELAY, FAILED, SLEEPY_CPU, Edge, Phase, Work
from sim.model.buildkit.search import IDLE, Search
from sim.model.plan.compiled import CONTEXT, PREAMBLE, Compiled
from sim.model.record import Recorder
from sim.profile.cost import CLIENT_PARTS
from sim.workload.request import Request

HISTORY = "[internal] history record"
OPEN = "[internal] open the build"
_OPENING_BEFORE = (
    0.4  # of its work before .dockerignore; the rest makes the graph (measured as `CLIENT_PARTS`: 1.4, 2.1 core-ms)
)


class Command:
    """The client's command that a solve is a part of: it decides when the solve evaluates and ends."""

    __slots__ = ("daemon", "imported", "recorder", "request")

    daemon: Daemon
    request: Request
    recorder: Recorder
    imported: dict[str, int]

    @property
    def target_cpu_s(self) -> float:
        """The client's own work for each target."""
        raise NotImplementedError

    def client_phase(self, part: float) -> Phase:
        """This part of the client's own work, for one of its solves."""
        raise NotImplementedError

    def registered(self, solve: Solve) -> None:
        """The solve's graph is known."""
        raise NotImplementedError

    def evaluated(self, solve: Solve) -> None:
        """The solve's whole result is there."""
        raise NotImplementedError

    def failed(self, solve: Solve) -> None:
        """The solve failed."""
        raise NotImplementedError


class Solve(Search):
    """A build: request x target x runner. `on_end` is called once, when the client has its answer."""

    # fmt: off
    __slots__ = (
        "_tail", "context_bytes", "delivery", "evaluated", "evaluating", "on_end", "outcome", "reason", "session",
        "started_s", "target",
    )
    # fmt: on

    def __init__(
        self,
        build: int,
        session: Command,
        target: str,
        compiled: Compiled,
        names: tuple[list[str], list[tuple[str, ...]]],
        delivery: Delivery,
        on_end: Callable[[Solve], None],
    ) -> None:
        super().__init__(build, session.daemon, session.request, compiled, names, session.imported, session.recorder)
        self.session = session
        self.target = target
        self.on_end = on_end
        self.evaluating = False
        self.evaluated = False
        self.outcome = "ok"
        self.reason = ""
        self.started_s = self.daemon.engine.now
        self.context_bytes = 0.0
        self.delivery = delivery
        self._tail: Edge | None = None

    # The life of a build: open, register, evaluate, finish.

    def open(self) -> None:
        """The client has connected: load the definition, then .dockerignore; each needs a slot even for a cached build."""
        self._end_work()
        self.daemon.builds[self] = None
        self.delivery.open(self)
        self._load(self.compiled.definition)

    def loading(self, index: int) -> Phase:
        """The client sends one of its files: half of what it does until the next is for that, the other half goes on beside."""
        is_definition = index == self.compiled.definition
        phase = self.session.client_phase((CLIENT_PARTS.definition if is_definition else CLIENT_PARTS.dockerignore) / 2)
        if phase[1]:
            self.daemon.engine.work(Work([phase]), _nothing)
        return phase

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

        Its vertices are let go when the record is written (llbsolver/solver.go:215 and 290: the job is discarded last), so who
        comes meanwhile shares them. Those of a failed build are let go at once: what failed runs again for who needs it 20 ms
        later (recorded case failure-queued-stages).
        """
        daemon = self.daemon
        if not self.live:
            self._let_go()
        tail = Edge(self, self.compiled.definition, 0, False)
        constants = daemon.profile.daemon
        tail_cpu_s = constants.tail_cpu_s * daemon.profile.variation.factor("tail_cpu_s", daemon.seed, self.build)
        tail.phases = [
            (DELAY, constants.tail_latency_s, 0.0),
            (SLEEPY_CPU, tail_cpu_s + self.session.target_cpu_s, constants.tail_cores),
        ]
        self._tail = tail
        tail.name = HISTORY
        tail.started_s = daemon.engine.now
        daemon.engine.work(tail, self._recorded)

    def _recorded(self, tail: Edge) -> None:
        """The history record is written; what is left is the client's."""
        self._let_go()
        tail.phases = [self.session.client_phase(CLIENT_PARTS.end)]
        self.daemon.engine.work(tail, self._answered)

    def work(self, phases: list[Phase], then: Callable[[Edge], None]) -> None:
        """Work of the build itself that is no vertex, such as an export."""
        edge = Edge(self, self.compiled.definition, 0, False)
        edge.name = OPEN
        edge.started_s = self.daemon.engine.now
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
        """A vertex that this solve waited for has ended; it may have given up since the vertex began to tell its waiters."""
        self._flights.pop(edge, None)
        kind = self.compiled.kinds[index]
        if not self.live or (self._status[index] == IDLE and kind != PREAMBLE):
            return
        if edge.state == FAILED:
            self._shown.edge(self, edge, index, "failed", self._wanted_s[index])
            self._fail(self.names[index], edge.fault)
        elif kind == PREAMBLE:
            self._shown.edge(self, edge, index, "executed" if edge.owner is self else "shared", self._wanted_s[index])
            if index == self.compiled.definition:
                # The images' metadata are asked for in between, without a slot (semantics 5), and the frontend works.
                self.work([*self._looks(), *self._opening(_OPENING_BEFORE)], self._resolved)
            elif opening := self._opening(1.0 - _OPENING_BEFORE):
                self.work(opening, self._opened)
            else:
                self.session.registered(self)
        else:
            self._fresh[index] = 1
            mine = edge.owner is self
            self._shown.edge(self, edge, index, "executed" if mine else "shared", self._wanted_s[index])
            if kind == CONTEXT:
                if mine:
                    self.context_bytes += edge.sent_bytes
                self._contexts_left -= 1
                if self._contexts_left == 0:
                    self._agenda.extend(self._pending)
                    self._pending.clear()
            self._end_step(index, edge.key, edge.result)
            self._run()

    def _looks(self) -> list[Phase]:
        """What the daemon does to know its images' configuration; one that it has not seen it fetches."""
        images = self.compiled.images
        if not images:
            return []
        daemon = self.daemon.profile.daemon
        phases: list[Phase] = [(DELAY, daemon.metadata_latency_s, 0.0)]
        if daemon.image_cpu_s:
            unseen = sum(self.daemon.cache.record(self.compiled.ops[index]) is None for index in images)
            phases.append((SLEEPY_CPU, unseen * daemon.image_cpu_s, 1.0))
        return phases

    def _opening(self, part: float) -> list[Phase]:
        """A part of the daemon's work for the frontend."""
        profile = self.daemon.profile
        cpu_s = profile.daemon.open_cpu_s * part
        if not cpu_s:
            return []
        cpu_s *= profile.variation.factor("open_cpu_s", self.daemon.seed, self.build)
        return [(SLEEPY_CPU, cpu_s, profile.daemon.open_cores)]

    def _end_work(self) -> None:
        work, self._tail = self._tail, None
        if work is not None:
            self._record_tail(work, "executed")

    def _resolved(self, _: Edge) -> None:
        self._end_work()
        self._load(self.compiled.dockerignore)

    def _opened(self, _: Edge) -> None:
        self._end_work()
        self.session.registered(self)

    def record(self, key: int) -> int | None:
        """The result that the daemon has for a key, or a cache that the build imports."""
        return self.delivery.record(self, key)

    def _all_ended(self) -> None:
        self.evaluated = True
        self.session.evaluated(self)

    # Ends.

    def _fail(self, step: str, fault: str) -> None:
        self.outcome, self.reason = "failed", f"{step}: {fault}" if fault else step
        self._leave_all()
        self.finish()
        self.session.failed(self)

    def _leave_all(self) -> None:
        """Leave everything in flight."""
        self.live = False
        self._agenda.clear()
        self._ready.clear()
        tail = self._tail
        if tail is not None:
            self.daemon.engine.stop(tail)
            self._record_tail(tail, "cancelled")
        self.delivery.cancel(self)
        flights, self._flights = self._flights, {}
        for edge, index in flights.items():
            self._leave(edge, index)

    def _answered(self, tail: Edge) -> None:
        self.live = False
        self._tail = None
        self._record_tail(tail, "executed")
        self._let_go()
        self.daemon.builds.pop(self, None)
        self.daemon.build_ended()
        self.on_end(self)

    def _record_tail(self, tail: Edge, outcome: str) -> None:
        if tail.cpu_s:
            self.session.recorder.overhead(self, tail.name, tail.cpu_s, tail.started_s, self.daemon.engine.now, outcome)

    def _let_go(self) -> None:
        spent_s = 0.0
        if self._digesting:
            digests, self._digesting = self._digesting, {}
            for content in digests.values():
                spent_s += self.daemon.digests.leave(content, self)
        if self._digest_cpu_s:
            for cpu_s in self._digest_cpu_s.values():  # of steps that hit then
                spent_s += cpu_s
            self._digest_cpu_s.clear()
        if spent_s:
            now_s = self.daemon.engine.now
            self.session.recorder.overhead(self, DIGEST, spent_s, now_s, now_s)
        held, self._held = self._held, []
        for edge in held:
            self.daemon.release(edge)
        loaded, self._loaded = self._loaded, []
        for key in loaded:
            self.daemon.cache.release(key, self.daemon.engine.now)


def _nothing(_: Work) -> None:
    """Nothing waits for it."""
