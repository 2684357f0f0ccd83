"""A lease's builds on its runner: one command's solves, buildx's links between them, and fail-fast.

In: solves that have loaded their definition, are evaluated, or failed. Out: which may evaluate, which may finish.
The order is buildx's (buildkit-semantics 13.1): a linked target is not asked for before its base's graph is known, evaluates
nothing before its base's whole result is there; a base evaluates when all its direct dependents have registered, and ends
only after they are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

from sim.model.buildkit.daemon import Daemon
from sim.model.buildkit.delivery import Delivery
from sim.model.buildkit.edge import CLIENT_CPU, DELAY, Edge, Phase
from sim.model.buildkit.solve import Command, Solve
from sim.model.plan.compiled import Compiled
from sim.model.record import Recorder
from sim.profile.cost import CLIENT_PARTS
from sim.workload.output import Output
from sim.workload.request import Request


class Session(Command):
    """All solves of one lease. `exports` are its targets that other projects need, `imported` the results of theirs.

    `on_export(session, solve)` is called when one of `exports` has been exported; `on_fail(solve)` when one fails, so that
    the rest of the request is cancelled.
    """

    def __init__(
        self,
        daemon: Daemon,
        request: Request,
        recorder: Recorder,
        *,
        barrier: bool,
        bake: bool,
        on_fail: Callable[[Solve], None],
        on_export: Callable[[Session, Solve], None],
    ) -> None:
        self.daemon = daemon
        self.request = request
        self.recorder = recorder
        self.bake = bake
        self.solves: dict[str, Solve] = {}
        self.imported: dict[str, int] = {}
        self.exports: set[str] = set()
        self._barrier = barrier
        self._on_fail = on_fail
        self._on_export = on_export
        self._links: dict[str, tuple[str, ...]] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._registered: set[str] = set()
        self._finishing: set[str] = set()

    @property
    def target_cpu_s(self) -> float:
        """What buildx spends on each target of a bake (buildkit-semantics 13.1)."""
        return self.daemon.profile.daemon.bake_target_cpu_s if self.bake else 0.0

    def add(
        self,
        build: int,
        target: str,
        compiled: Compiled,
        names: tuple[list[str], list[tuple[str, ...]]],
        *,
        links: tuple[str, ...],
        imports: tuple[str, ...],
        outputs: tuple[Output, ...],
        reference: Hashable,
        on_end: Callable[[Solve], None],
    ) -> Solve:
        """One more target of the command. `reference`: of its cache in the registry."""
        delivery = Delivery(self.recorder, outputs, reference)
        solve = Solve(build, self, target, compiled, names, delivery, on_end)
        self.solves[target] = solve
        self._links[target] = links
        self._imports[target] = imports
        return solve

    def start(self) -> None:
        """The client starts; its connection and, for bake, reading the file take a while. Linked targets come later."""
        constants = self.daemon.profile.daemon
        latency_s = constants.client_latency_s + (constants.bake_latency_s if self.bake else 0.0)
        profile, seed = self.daemon.profile, self.daemon.seed
        late_s = constants.client_gap_s * self.daemon.engine.clients_at_once()
        first = [solve for target, solve in self.solves.items() if not self._links[target]]
        start = self.client_phase(CLIENT_PARTS.start * len(self.solves) / len(first))
        for solve in first:
            varied_s = latency_s * profile.variation.factor("client_latency_s", seed, solve.build)
            solve.work([(DELAY, late_s, 0.0), start, (DELAY, varied_s, 0.0)], partial(_open, solve))

    def client_phase(self, part: float) -> Phase:
        """A part of the client's own work, which its builds share."""
        return CLIENT_CPU, self.daemon.profile.daemon.client_cpu_s * part / len(self.solves), 1.0

    def registered(self, solve: Solve) -> None:
        """The solve's graph is known, and part of the graphs of its dependents (buildx's build/build.go:861)."""
        self._registered.add(solve.target)
        for target in self._dependents(solve.target):
            dependent = self.solves[target]
            if dependent.live and self._registered.issuperset(self._links[target]):
                dependent.started_s = self.daemon.engine.now
                dependent.open()
        self._evaluate()

    def provide(self, target: str, result: int) -> None:
        """A base of another project is here."""
        self.imported[target] = result
        self._evaluate()

    def evaluated(self, solve: Solve) -> None:
        """The solve's whole result is there: its dependents may start, and so may its end and those of its bases."""
        if solve.target in self.exports:
            self._export(solve)
        self._evaluate()
        for other in list(self.solves.values()):
            self._finish(other)

    def failed(self, solve: Solve) -> None:
        """A solve failed."""
        self._on_fail(solve)

    def _dependents(self, target: str) -> list[str]:
        return [other for other, links in self._links.items() if target in links]

    def _evaluate(self) -> None:
        for target, solve in self.solves.items():
            if solve.live and not solve.evaluating and target in self._registered and self._may_evaluate(target):
                solve.evaluate()

    def _may_evaluate(self, target: str) -> bool:
        if any(base not in self.imported for base in self._imports[target]):
            return False
        if not self._barrier:
            return True
        return all(self.solves[base].evaluated for base in self._links[target]) and all(
            dependent in self._registered for dependent in self._dependents(target)
        )

    def _export(self, solve: Solve) -> None:
        """Push the image, for consumers in other projects (our assumption: design section 1)."""
        solve.delivery.export(solve, (Output(push=True),), lambda: self._exported(solve))

    def _exported(self, solve: Solve) -> None:
        self.exports.discard(solve.target)
        self._on_export(self, solve)
        self._finish(solve)

    def _finish(self, solve: Solve) -> None:
        target = solve.target
        if not (solve.live and solve.evaluated) or target in self._finishing or target in self.exports:
            return
        if self._barrier and not all(self.solves[other].evaluated for other in self._dependents(target)):
            return
        self._finishing.add(target)
        if solve.delivery.outputs:
            solve.delivery.export(solve, solve.delivery.outputs, solve.finish)
        else:
            solve.finish()


def _open(solve: Solve, _: Edge) -> None:
    solve.open()
