"""What BuildKit shows of a build's steps: under which name, as executed, shared or cached, each once.

In: edges that ended, hits. Out: rows. A step that another build executed stands under that build's name (semantics 1); where
the stages have different names the waiter's own name shows as cached beside it (recorded case prefix-other-stage-name).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sim.model.buildkit.daemon import Edge

if TYPE_CHECKING:
    from sim.model.buildkit.solve import Solve


class Shown:
    """The rows of one build."""

    __slots__ = ("_solve", "done")

    def __init__(self, solve: Solve) -> None:
        self._solve = solve
        self.done = bytearray(solve.compiled.size + 2)

    def edge(self, edge: Edge, index: int, outcome: str, wanted_s: float) -> None:
        """A step that this build waited for, or owns."""
        self.done[index] = 1
        # The first row pays for the execution: the owner's, unless the owner left and others went on waiting.
        pays = not edge.paid and not (outcome == "cancelled" and edge.waiters)
        edge.paid = edge.paid or pays
        self._row(edge, index, outcome, wanted_s, pays)

    def hit(self, index: int, key: int, edge: Edge | None) -> None:
        """A step that hit a record, or a finished vertex of a live build."""
        if self.done[index]:
            return
        self.done[index] = 1
        solve = self._solve
        if edge is not None and edge.executed:
            self._row(edge, index, "shared", solve.daemon.engine.now, False)
        else:
            solve.recorder.cached(solve, index, key, solve.daemon.engine.now)

    def _row(self, edge: Edge, index: int, outcome: str, wanted_s: float, pays: bool) -> None:
        solve = self._solve
        name = solve.names[index]
        shown = name
        if edge.owner is not solve and outcome in ("shared", "failed") and _unnumbered(edge.name) != _unnumbered(name):
            shown = edge.name
            if outcome == "shared":
                solve.recorder.cached(solve, index, edge.key, solve.daemon.engine.now)
        solve.recorder.step(solve, index, edge, outcome, wanted_s, pays, shown)


@lru_cache(maxsize=4096)
def _unnumbered(name: str) -> str:
    """A vertex name without `2/3`: equal steps of images with other numbers of steps show as one."""
    return re.sub(r"\d+/\d+\]", "]", name, count=1)
