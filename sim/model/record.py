"""Rows of the trace, collected while the model runs: plain tuples in the trace's column order (design section 5).

In: solves, edges, leases, runners as they end. Out: `Recorder.trace(meta)`. With `steps` off only builds and runners are kept.
"""

from __future__ import annotations

from dataclasses import replace
from math import nan

from sim.model.buildkit.edge import Build, Edge
from sim.model.buildkit.exports import Vertex
from sim.model.plan.compiled import CONTEXT, KIND_NAMES
from sim.trace import Cell, Meta, Table, Trace
from sim.trace.rows import Rows

Row = tuple[Cell, ...]


class Recorder:
    """What happened. `origin_s`: busy seconds by where the cost of the step came from (rule, prior, constant, profile)."""

    def __init__(self, *, steps: bool = True) -> None:
        self.keeps_steps = steps
        self.builds: list[Row] = []
        self.steps = Rows("steps")
        self.runners: list[Row] = []
        self.samples: list[Row] = []
        self.cache_byte_s = 0.0
        self.standby_usd = 0.0
        self.busy_s = self.alone_s = 0.0
        self.origin_s = {"rule": 0.0, "prior": 0.0, "constant": 0.0, "profile": 0.0}

    def step(
        self,
        build: Build,
        index: int,
        edge: Edge,
        outcome: str,
        ready_s: float,
        completed_s: float,
        pays: bool,
        name: str,
    ) -> None:
        """A step that ran, was shared, failed or was cancelled, under the name that BuildKit shows."""
        mine = edge.owner is build
        cost = edge.cost
        if mine:
            took_s = completed_s - edge.started_s
            self.origin_s[cost.origin] += took_s
            if outcome == "executed" and edge.alone_s:
                self.busy_s += took_s - edge.lock_wait_s
                self.alone_s += edge.alone_s
        if not self.keeps_steps:
            return
        kind = build.compiled.kinds[index]
        written_bytes = edge.sent_bytes if kind == CONTEXT else cost.write_bytes * edge.scale
        self.steps.append(
            (
                build.build,
                name,
                edge.key,
                build.inputs[index],
                KIND_NAMES[kind],
                outcome,
                edge.fault,
                ready_s,
                edge.started_s,
                completed_s,
                edge.lock_wait_s if mine else 0.0,
                nan if mine else edge.owner.build,
                build.runner,
                edge.cpu_s if pays else 0.0,
                0.0 if pays or outcome == "cancelled" else edge.cpu_s,
                cost.threads,
                cost.read_bytes * edge.scale if pays else 0.0,
                written_bytes if pays else 0.0,
                cost.download_bytes * edge.scale + edge.sent_bytes + edge.pulled_bytes if pays else 0.0,
                0.0,
                cost.memory_bytes if mine else nan,
                (edge.miss or None) if mine else None,
            )
        )

    def cached(self, build: Build, index: int, key: int, now: float, saved_cpu_s: float) -> None:
        """A step that hit; executing it would have taken `saved_cpu_s`."""
        if self.keeps_steps:
            compiled = build.compiled
            self.steps.append(
                (
                    build.build,
                    build.names[index],
                    key,
                    build.inputs[index],
                    KIND_NAMES[compiled.kinds[index]],
                    "cached",
                    "",
                    now,
                    nan,
                    nan,
                    0.0,
                    nan,
                    build.runner,
                    0.0,
                    saved_cpu_s,
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                    nan,
                    None,
                )
            )

    def export(self, build: Build, vertex: Vertex) -> None:
        """An exporter's vertex."""
        if self.keeps_steps:
            inputs = tuple(build.names[index] for index in build.compiled.results)
            self.steps.append(
                (
                    build.build,
                    vertex.name,
                    0,
                    inputs,
                    "export",
                    vertex.outcome,
                    "",
                    vertex.started_s,
                    vertex.started_s,
                    vertex.completed_s,
                    0.0,
                    nan,
                    build.runner,
                    vertex.cpu_s,
                    0.0,
                    1.0,
                    0.0,
                    0.0,
                    0.0,
                    vertex.sent_bytes,
                    nan,
                    None,
                )
            )

    def overhead(
        self,
        build: Build,
        name: str,
        cpu_s: float,
        started_s: float,
        ended_s: float,
        outcome: str = "executed",
        received_bytes: float = 0.0,
    ) -> None:
        """Work of the daemon for a build that is no vertex."""
        if self.keeps_steps:
            row = (build.build, name, 0, (), "overhead", outcome, "", started_s, started_s, ended_s, 0.0, nan)
            self.steps.append((*row, build.runner, cpu_s, 0.0, 1.0, 0.0, 0.0, received_bytes, 0.0, nan, None))

    def trace(self, meta: Meta | None, seed: int) -> Trace:
        """All rows as a trace; `meta` says what the caller knows of the run."""
        meta = replace(
            meta or Meta(source="simulated"),
            seed=seed,
            origin_s=dict(self.origin_s),
            cache_byte_s=self.cache_byte_s,
            standby_usd=self.standby_usd,
            stretch=self.busy_s / self.alone_s if self.alone_s else None,
        )
        return Trace(
            builds=Table.from_rows("builds", self.builds),
            steps=self.steps.table(),
            runners=Table.from_rows("runners", self.runners),
            samples=Table.from_rows("samples", self.samples),
            meta=meta,
        )
