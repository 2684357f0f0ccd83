"""A trace for chrome://tracing and ui.perfetto.dev: see who ran where, and who waited for whom.

In: a `Trace`. Out: the JSON of the Trace Event Format (times in whole microseconds): one process a runner, a lane for
each build with its steps beneath, arrows for dedup waits, counters of leases and busy CPUs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import isnan
from pathlib import Path

import numpy as np

from sim.errors import replacing
from sim.metrics.distribution import locate
from sim.metrics.steps import label_at, owner_rows, step_facts
from sim.trace import BUILDS, Codes, Json, Numbers, Table, Trace

Event = dict[str, Json]

# Viewers take process 0 for the idle process, and thread ids are kept unique over processes: some importers want that.
QUEUE_PID = 1
FIRST_RUNNER_PID = 2


@dataclass(frozen=True, slots=True)
class Slice:
    """A bar: start and end in whole microseconds, rounded one by one so that order is kept."""

    begin_us: int
    end_us: int
    name: str
    category: str
    args: Mapping[str, Json]
    row: int = -1  # of the trace's steps or builds


@dataclass(slots=True)
class Drawing:
    """Events so far, and where each step's bar stands: step row -> (pid, tid, slice)."""

    events: list[Event] = field(default_factory=list)
    placed: dict[int, tuple[int, int, Slice]] = field(default_factory=dict)
    lanes: int = 0

    def lane(self, pid: int, name: str, slices: Iterable[Slice]) -> None:
        """Draw bars that do not overlap on a new lane; a process shows its lanes in the order of drawing."""
        self.lanes += 1
        tid = self.lanes
        self.events.append(_named("thread_name", pid, tid, name))
        self.events.append(_named("thread_sort_index", pid, tid, tid))
        for one in slices:
            span: Event = {"ph": "X", "pid": pid, "tid": tid, "ts": one.begin_us, "dur": one.end_us - one.begin_us}
            self.events.append(span | {"name": one.name, "cat": one.category, "args": one.args})
            if one.category == "step":
                self.placed[one.row] = pid, tid, one


def to_chrome(trace: Trace) -> dict[str, Json]:
    """The trace as one JSON object. Builds and steps whose times are unknown are left out."""
    drawing = Drawing()
    builds_on = _build_slices(trace)
    steps_of = _step_slices(trace)
    _draw_queue(drawing, trace)
    for row, pid in enumerate(_runner_pids(trace)):
        drawing.events.append(_named("process_name", pid, 0, _runner_name(trace, row)))
        drawing.events.append(_named("process_sort_index", pid, 0, pid))
        boot = _span(trace.runners, "requested_s", "ready_s", row)
        if boot and boot[1] > boot[0]:
            drawing.lane(pid, "machine", [Slice(*boot, "boot", "runner", {})])
        for number, group in enumerate(lanes(builds_on.get(row, ())), start=1):
            drawing.lane(pid, f"build lane {number}", group)
            steps = [step for build in group for step in steps_of.get(build.row, ())]
            for below in lanes(steps):
                drawing.lane(pid, f"  steps {number}", below)
    _draw_waits(drawing, trace)
    _draw_counters(drawing, trace)
    about: Event = {"source": trace.meta.source, "scenario": trace.meta.name, "seed": trace.meta.seed}
    return {"traceEvents": drawing.events, "displayTimeUnit": "ms", "otherData": about}


def write_chrome(trace: Trace, path: Path | str) -> None:
    """Write it to a file, whole or not at all. EnvironmentMissing: the disk refuses."""
    with replacing(Path(path)) as file:
        json.dump(to_chrome(trace), file, separators=(",", ":"), allow_nan=False)


def lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Fewest lanes on which no two slices overlap: each goes to the lowest lane that is free when it begins."""
    placed: list[list[Slice]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for one in sorted(slices, key=lambda s: (s.begin_us, s.end_us, s.row)):
        while busy and busy[0][0] <= one.begin_us:
            heappush(free, heappop(busy)[1])
        if not free:
            placed.append([])
            free.append(len(placed) - 1)
        lane = heappop(free)
        placed[lane].append(one)
        heappush(busy, (one.end_us, lane))
    return placed


def _named(what: str, pid: int, tid: int, value: str | int) -> Event:
    """A metadata event: `value` is a name or a place in the order."""
    argument = "sort_index" if what.endswith("sort_index") else "name"
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {argument: value}}


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _span(table: Table, begin: str, end: str, row: int) -> tuple[int, int] | None:
    """A row's span in microseconds, or None when an end of it is unknown."""
    begin_s, end_at_s = float(table.numbers(begin)[row]), float(table.numbers(end)[row])
    return None if isnan(begin_s + end_at_s) else (_us(begin_s), max(_us(begin_s), _us(end_at_s)))


def _runner_pids(trace: Trace) -> range:
    return range(FIRST_RUNNER_PID, FIRST_RUNNER_PID + len(trace.runners))


def _runner_name(trace: Trace, row: int) -> str:
    runners = trace.runners
    clone_of = float(runners.numbers("clone_of")[row])
    copy = "" if isnan(clone_of) else f" (clone of #{int(clone_of)})"
    pool = " ".join(label_at(runners.words(name), row) or "?" for name in ("project", "platform"))
    return f"{pool} #{int(runners.numbers('runner')[row])}{copy}"


def _build_slices(trace: Trace) -> dict[int, list[Slice]]:
    """The builds of each runner row, from the runner's readiness to the end."""
    builds, found = trace.builds, defaultdict(list)
    at = locate(trace.runners.numbers("runner"), builds.numbers("runner")).tolist()
    for row, args in enumerate(_build_args(trace)):
        span = _span(builds, "ready_s", "completed_s", row)
        if span and at[row] >= 0:
            found[at[row]].append(Slice(*span, _build_name(trace, row), "build", args, row))
    return found


def _build_name(trace: Trace, row: int) -> str:
    return f"{label_at(trace.builds.words('target'), row) or 'build'} (request {_id(trace.builds, 'request', row)})"


def _id(table: Table, name: str, row: int) -> int | None:
    value = float(table.numbers(name)[row])
    return None if isnan(value) else int(value)


def _build_args(trace: Trace) -> Iterator[Event]:
    names = ("build", "request", "lease", "project", "platforms", "commit", "outcome", "reason")
    for row in trace.builds.rows():
        values = dict(zip(BUILDS, row, strict=True))
        yield {name: values[name] for name in names if values[name] is not None}


def _step_slices(trace: Trace) -> dict[int, list[Slice]]:
    """The steps of each build row. A shared step's bar is its wait."""
    facts, steps, found = step_facts(trace), trace.steps, defaultdict(list)
    begun_s = np.where(facts.is_shared, steps.numbers("completed_s") - facts.dedup_wait_s, steps.numbers("started_s"))
    begun_s = np.where(np.isnan(begun_s), steps.numbers("ready_s"), begun_s)
    columns = (
        begun_s.tolist(),
        steps.numbers("completed_s").tolist(),
        facts.build_row.tolist(),
        steps["step"].tolist(),
        steps["outcome"].tolist(),
        steps.numbers("cpu_s").tolist(),
        steps.numbers("shared_with").tolist(),
        [_given(one) for one in facts.slot_wait_s.tolist()],
        steps["miss"].tolist(),
        steps["kind"].tolist(),
        steps["reason"].tolist(),
    )
    build_id, request = trace.builds.numbers("build"), trace.builds.numbers("request")
    for row, columns_of_row in enumerate(zip(*columns, strict=True)):
        begin, end, build, name, outcome, cpu_s, owner, slot_s, miss, kind, reason = columns_of_row
        if isnan(begin + end) or build < 0:
            continue
        args = {"build": _given(build_id[build]), "request": _given(request[build]), "kind": kind, "outcome": outcome}
        more = {"cpu_s": _given(cpu_s), "slot_wait_s": slot_s, "miss": miss, "waited_for_build": _given(owner)}
        more["reason"] = reason or None
        args |= {key: value for key, value in more.items() if value is not None}
        shown = (
            f"{name} [waits for build {int(owner)}]" if facts.is_shared[row] and not isnan(owner) else name or "step"
        )
        found[build].append(Slice(_us(begin), max(_us(begin), _us(end)), shown, "step", args, row))
    return found


def _given(value: float) -> float | int | None:
    """A number for JSON: None for nan, and no needless fraction."""
    if isnan(value):
        return None
    return int(value) if value == int(value) else round(float(value), 6)


def _draw_queue(drawing: Drawing, trace: Trace) -> None:
    """Builds before they have a runner, as a process of its own."""
    builds, waits = trace.builds, []
    for row, args in enumerate(_build_args(trace)):
        span = _span(builds, "arrived_s", "ready_s", row) or _span(builds, "arrived_s", "completed_s", row)
        if span and span[1] > span[0] and (_id(builds, "runner", row) is None or not isnan(builds["ready_s"][row])):
            waits.append(Slice(*span, _build_name(trace, row), "queue", args, row))
    if waits:
        drawing.events.append(_named("process_name", QUEUE_PID, 0, "waiting for a runner"))
        drawing.events.append(_named("process_sort_index", QUEUE_PID, 0, QUEUE_PID))
    for number, group in enumerate(lanes(waits), start=1):
        drawing.lane(QUEUE_PID, f"queue {number}", group)


def _draw_waits(drawing: Drawing, trace: Trace) -> None:
    """An arrow for each dedup wait, from the execution to the step that waits for it.

    A viewer ties an arrow's end to the bar that is open at its time on its lane, and an arrow may not go back in time.
    """
    facts = step_facts(trace)
    shared = np.flatnonzero(facts.is_shared)
    for row, owner in zip(shared.tolist(), owner_rows(trace, shared).tolist(), strict=True):
        if row not in drawing.placed or owner not in drawing.placed:
            continue
        (from_pid, from_tid, source), (to_pid, to_tid, waiter) = drawing.placed[owner], drawing.placed[row]
        leave_us = min(max(waiter.begin_us, source.begin_us), max(source.end_us - 1, source.begin_us))
        arrive_us = min(max(leave_us, waiter.begin_us), waiter.end_us)
        if arrive_us < leave_us:
            continue
        common: Event = {"id": row + 1, "name": "dedup wait", "cat": "dedup"}
        drawing.events.append(common | {"ph": "s", "pid": from_pid, "tid": from_tid, "ts": leave_us})
        drawing.events.append(common | {"ph": "f", "bp": "e", "pid": to_pid, "tid": to_tid, "ts": arrive_us})


def _draw_counters(drawing: Drawing, trace: Trace) -> None:
    """Leases on each runner, and its busy CPUs: as sampled, else each step's CPU spread evenly over its run."""
    steps, samples, runner = trace.steps, trace.samples, trace.runners.numbers("runner")
    _draw_leases(drawing, trace)
    if len(samples) and not np.isnan(samples.numbers("busy_cpus")).all():
        for row, on in enumerate(locate(runner, samples.numbers("runner")).tolist()):
            busy = _given(samples.numbers("busy_cpus")[row])
            if on >= 0 and busy is not None:
                _counter(drawing, FIRST_RUNNER_PID + on, "busy cpus", _us(samples.numbers("time_s")[row]), busy)
        return
    begun_s, ended_s, cpu_s = (steps.numbers(name) for name in ("started_s", "completed_s", "cpu_s"))
    at = locate(runner, steps.numbers("runner"))
    used = np.flatnonzero((at >= 0) & (ended_s > begun_s) & (cpu_s > 0))
    rate = cpu_s[used] / (ended_s[used] - begun_s[used])
    _count(drawing, trace, "busy cpus", at[used], begun_s[used], ended_s[used], rate)


def _draw_leases(drawing: Drawing, trace: Trace) -> None:
    """A lease is one however many builds it has: from the readiness of its runner to the end of its last build."""
    builds = trace.builds
    at = locate(trace.runners.numbers("runner"), builds.numbers("runner"))
    ready_s, ended_s, lease = (builds.numbers(name) for name in ("ready_s", "completed_s", "lease"))
    spans: dict[tuple[int, float], tuple[float, float]] = {}
    for row in np.flatnonzero((at >= 0) & ~np.isnan(ready_s + ended_s)).tolist():
        one = int(at[row]), -1.0 - row if isnan(lease[row]) else float(lease[row])
        begin, end = spans.get(one, (float("inf"), float("-inf")))
        spans[one] = min(begin, float(ready_s[row])), max(end, float(ended_s[row]))
    edges = np.array(list(spans.values()), dtype=np.float64).reshape(-1, 2)
    owners = np.array([runner_row for runner_row, _ in spans], dtype=np.int64)
    _count(drawing, trace, "leases", owners, edges[:, 0], edges[:, 1], np.ones(len(spans)))


def _count(
    drawing: Drawing, trace: Trace, name: str, at: Codes, begun_s: Numbers, ended_s: Numbers, amount: Numbers
) -> None:
    """A counter a runner row: the sum of the amounts of the spans that are open; changes at one time are one event."""
    for row, pid in enumerate(_runner_pids(trace)):
        mine = np.flatnonzero(at == row)
        time_us = np.rint(np.concatenate((begun_s[mine], ended_s[mine])) * 1e6).astype(np.int64)
        moments, which = np.unique(time_us, return_inverse=True)
        change = np.bincount(which, np.concatenate((amount[mine], -amount[mine])), moments.size)
        for ts, level in zip(moments.tolist(), np.cumsum(change).tolist(), strict=True):
            _counter(drawing, pid, name, ts, _given(round(max(level, 0.0), 3)) or 0)


def _counter(drawing: Drawing, pid: int, name: str, ts: int, value: float) -> None:
    drawing.events.append({"ph": "C", "pid": pid, "tid": 0, "name": name, "ts": ts, "args": {name: value}})
