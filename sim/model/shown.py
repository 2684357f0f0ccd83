"""What BuildKit shows of a build's steps: under which name, as executed, shared or cached, each once.

In: edges that ended, hits. Out: rows. A step that another build executed stands under that build's name (semantics 1); where
the stages have different names the waiter's own name shows as cached beside it (recorded case prefix-other-stage-name).
"""

from __future__ import annotations

import re
from functools import lru_cache

from sim.model.buildkit.edge import Build, Edge, Engine
from sim.model.record import Recorder
from sim.model.store.cache import Cache


class Shown:
    """The rows of one build."""

    __slots__ = ("_cache", "_engine", "_recorder", "done")

    def __init__(self, size: int, recorder: Recorder, engine: Engine, cache: Cache) -> None:
        self._recorder = recorder
        self._engine = engine
        self._cache = cache
        self.done = bytearray(size)

    def edge(self, build: Build, edge: Edge, index: int, outcome: str, wanted_s: float) -> None:
        """A step that this build waited for, or owns."""
        self.done[index] = 1
        # The first row pays for the execution: the owner's, unless the owner left and others went on waiting.
        pays = not edge.paid and not (outcome == "cancelled" and edge.waiters)
        edge.paid = edge.paid or pays
        self._row(build, edge, index, outcome, wanted_s, pays)

    def hit(self, build: Build, index: int, key: int, edge: Edge | None) -> None:
        """A step that hit a record, or a finished vertex of a live build."""
        if self.done[index]:
            return
        self.done[index] = 1
        if edge is not None and edge.executed:
            self._row(build, edge, index, "shared", self._engine.now, False)
        else:
            saved_cpu_s = self._cache.cpu_s_of(key)
            self._recorder.cached(build, index, key, self._engine.now, saved_cpu_s)

    def _row(self, build: Build, edge: Edge, index: int, outcome: str, wanted_s: float, pays: bool) -> None:
        name = shown = build.names[index]
        if edge.owner is not build and outcome in ("shared", "failed") and _unnumbered(edge.name) != _unnumbered(name):
            shown = edge.name
            if outcome == "shared":
                self._recorder.cached(build, index, edge.key, self._engine.now, 0.0)
        completed_s = self._engine.now if outcome == "cancelled" else edge.completed_s
        self._recorder.step(build, index, edge, outcome, wanted_s, completed_s, pays, shown)


@lru_cache(maxsize=4096)
def _unnumbered(name: str) -> str:
    """A vertex name without `2/3`: equal steps of images with other numbers of steps show as one."""
    return re.sub(r"\d+/\d+\]", "]", name, count=1)
