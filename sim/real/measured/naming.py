"""From the vertices of synthetic builds back to the scenario's steps: their names, and why a step ran again.

In: rows of steps as BuildKit names them. Out: the same rows under the names that the scenario's own build would show, without
values of build arguments; `miss` where a RUN executed.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from sim.dispatch.leases import Place
from sim.hide import hidden
from sim.inputs import Vertices
from sim.inputs.names import with_target
from sim.inputs.rows import Row
from sim.real.builds import Source
from sim.real.drive.world import Attempt, World
from sim.trace import STEPS, Cell

_STEP, _INPUTS, _KIND, _OUTCOME, _STARTED, _COMPLETED, _SHARED, _MISS = (
    STEPS.index(name)
    for name in ("step", "inputs", "kind", "outcome", "started_s", "completed_s", "shared_with", "miss")
)


@dataclass(frozen=True, slots=True)
class Executed:
    """A RUN that a build executed: which row it is, and the step it stands for."""

    attempt: Attempt
    row: int
    name: str
    started_s: float
    completed_s: float


class Names:
    """Names as clients show them (sim.model.plan.catalog): of a step that a bake's targets share, the first one's; of a step
    that another command executes, the name that it has there (buildkit-semantics 1)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._attempts = {attempt.build: attempt for attempt in world.attempts}
        self._first: dict[tuple[int, Place, str], str] = {}
        self.executed: list[Executed] = []

    def renamed(self, attempt: Attempt, rows: Sequence[Row], vertices: Vertices) -> list[Row]:
        """The rows of a build under their own names. Builds must come in order: bases first, then by name."""
        seen = vertices.steps()
        shown: dict[str, str] = {}
        found: list[Row] = []
        beside: list[Row] = []
        for at, (row, one) in enumerate(zip(rows, seen, strict=True)):
            shared = row[_SHARED]
            owner = self._attempts.get(shared, attempt) if isinstance(shared, int) else attempt
            original = self._original(owner, one.name)
            changed: list[Cell] = list(row)
            changed[_STEP] = shown[one.name] = self._shown(attempt, original or one.name, one.digest)
            found.append(tuple(changed))
            mine = self._original(attempt, one.name)
            if row[_OUTCOME] == "shared" and mine is not None and mine != original:
                beside.append(self._cached(row, self._shown(attempt, mine, "")))
            if original is not None and row[_KIND] == "exec" and row[_OUTCOME] == "executed":
                times = (float(str(row[_STARTED])), float(str(row[_COMPLETED])))
                self.executed.append(Executed(attempt, at, original, *times))
        named = [self._with_inputs(attempt, row, one.inputs, shown) for row, one in zip(found, seen, strict=True)]
        return named + beside

    def _cached(self, row: Row, name: str) -> Row:
        """A client shows a step that runs elsewhere under another name twice, its own name as cached (recorded cases)."""
        changed: list[Cell] = list(row)
        changed[_STEP], changed[_OUTCOME] = name, "cached"
        for at in (_STARTED, _COMPLETED, _SHARED):
            changed[at] = None
        return tuple(changed)

    def _with_inputs(self, attempt: Attempt, row: Row, names: Sequence[str], shown: Mapping[str, str]) -> Row:
        if row[_INPUTS] is None:
            return row
        changed: list[Cell] = list(row)
        changed[_INPUTS] = tuple(
            shown.get(name) or self._shown(attempt, self._original(attempt, name) or name, "") for name in names
        )
        return tuple(changed)

    def _original(self, attempt: Attempt, name: str) -> str | None:
        for base, imported in attempt.imports.items():
            if imported in name and not name.startswith("[internal]"):  # the model's name (sim.graph.read, cut)
                return f"[context {base}] import {base}" if "load metadata" not in name else None
        return self._world.source.original((attempt.target, attempt.request.args, attempt.platforms), name)

    def _shown(self, attempt: Attempt, name: str, digest: str) -> str:
        world = self._world
        mine = hidden(name, world.arguments(attempt))
        if not world.graphs.bake:
            return mine
        platforms = attempt.platforms
        is_numbered = mine.startswith("[") and not mine.startswith(("[internal]", "[context "))
        if is_numbered and len(platforms) == 1 < len(world.graphs.platforms(attempt.target)):
            mine = with_target(mine, platforms[0])
        if len(attempt.shown) > 1:
            mine = with_target(mine, attempt.target)
        return self._first.setdefault((attempt.request.index, attempt.place, digest), mine) if digest else mine


def mark_misses(
    executed: Sequence[Executed], source: Source, steps: MutableMapping[int, list[Row]], *, is_warm: bool
) -> None:
    """Why each RUN was executed: its first time in the pool, on changed inputs, again on a copy of the cache, or evicted.

    Written into `steps`. Where chance decides a step's inputs nobody knows. `is_warm`: every step was built before time zero.
    """
    made: dict[tuple[Place, str, str], dict[str, float]] = {}
    names: set[tuple[Place, str]] = set()
    for one in sorted(executed, key=lambda run: run.started_s):
        attempt = one.attempt
        request, place = attempt.request, attempt.place
        keys = source.keys((attempt.target, request.args, attempt.platforms), request.content)
        key = keys.get(one.name)
        row = list(steps[attempt.build][one.row])
        if key is not None:
            volumes = made.setdefault((place, one.name, key), {})
            if row[_MISS] is None:
                is_known = is_warm or (place, one.name) in names
                row[_MISS] = "changed" if is_known else "cold"
                if volumes.get(attempt.volume, one.started_s) < one.started_s:
                    row[_MISS] = "evicted"
                elif any(volume != attempt.volume for volume in volumes):
                    row[_MISS] = "clone"
                steps[attempt.build][one.row] = tuple(row)
            volumes.setdefault(attempt.volume, one.completed_s)
        names.add((place, one.name))
