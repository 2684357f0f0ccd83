"""The clients of a replay: when they worked, and how much of the machine they took.

In: a measured trace. Out: `Client`s, core-seconds of one. Clients run on the runners' machine there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from statistics import mean

import numpy as np

from sim.fit.measured.cells import LOADS, named, number, whole
from sim.trace import Cell, Trace

_AT_ONCE_S = 0.01  # a replay's clients that start so soon after one another were to start at once


@dataclass(frozen=True, slots=True)
class Client:
    """A client and when it works: as it starts, for the definition, for .dockerignore, after its last step (`CLIENT_PARTS`);
    its `builds` share that.
    """

    runner: int
    works_s: tuple[float, ...]
    builds: tuple[int, ...]


def client_cpu_s(trace: Trace) -> float:
    """What a replay's client took of the machine, in the mean; 0: not measured, or not on the runners' machine."""
    took_s = trace.meta.machine.get("clients_cpu_s")
    clients = len(clients_of(trace))
    return float(took_s) / clients if isinstance(took_s, float) and clients else 0.0


def client_gap_s(traces: Iterable[Trace]) -> float:
    """How much later than the one before a client starts that was to start with it, in the mean; 0 where none were."""
    gaps_s: list[float] = []
    for trace in traces:
        starts_s = sorted(client.works_s[0] for client in clients_of(trace))
        gaps_s += [gap_s for gap_s in np.diff(starts_s).tolist() if 0.0 < gap_s < _AT_ONCE_S]
    return mean(gaps_s) if gaps_s else 0.0


def bake_starts_s(trace: Trace) -> list[float]:
    """Seconds from a bake's arrival to its first definition, of those that find nothing under way."""
    spans_s: dict[Cell, list[float]] = {}
    targets: dict[Cell, set[Cell]] = defaultdict(set)
    request_of: dict[Cell, Cell] = {}
    for row in named(trace, "builds"):
        if row["arrived_s"] is None:  # of an import: nobody knows when it was asked for
            continue
        request, arrived_s = row["request"], number(row["arrived_s"])
        ended_s = inf if row["completed_s"] is None else number(row["completed_s"])
        span_s = spans_s.setdefault(request, [arrived_s, ended_s])
        span_s[:] = min(span_s[0], arrived_s), max(span_s[1], ended_s)
        targets[request].add(row["target"])
        request_of[row["build"]] = request
    first_s: dict[Cell, float] = {}
    for row in named(trace, "steps"):
        request = request_of.get(row["build"])
        if request is not None and "load build definition" in str(row["step"]) and row["started_s"] is not None:
            first_s[request] = min(first_s.get(request, inf), number(row["started_s"]))
    found: list[float] = []
    for request, until_s in first_s.items():
        arrived_s = spans_s[request][0]
        others_s = [span_s for other, span_s in spans_s.items() if other != request]
        if len(targets[request]) > 1 and all(ended_s < arrived_s or begun_s > until_s for begun_s, ended_s in others_s):
            found.append(until_s - arrived_s)
    return found


def clients_of(trace: Trace) -> tuple[Client, ...]:
    """One a request and runner: a bake's targets have one in common."""
    at_s: dict[Cell, list[float]] = defaultdict(list)
    loads_s: dict[tuple[Cell, str], float] = {}
    for row in named(trace, "steps"):
        if row["completed_s"] is not None and row["kind"] != "overhead":
            at_s[row["build"]].append(number(row["completed_s"]))
        if (load := LOADS.search(str(row["step"]))) and row["started_s"] is not None:
            loads_s.setdefault((row["build"], load[1]), number(row["started_s"]))
    found: dict[tuple[Cell, int], Client] = {}
    for row in named(trace, "builds"):
        if row["started_s"] is None or row["runner"] is None:
            continue
        build, started_s = row["build"], number(row["started_s"])
        loaded_s = [loads_s.get((build, load), started_s) for load in ("build definition", ".dockerignore")]
        one = Client(whole(row["runner"]), (started_s, *loaded_s, max([started_s, *at_s[build]])), (whole(build),))
        before = found.get((row["request"], one.runner))
        if before is not None:
            one = replace(
                one,
                works_s=(*map(min, before.works_s[:3], one.works_s), max(before.works_s[3], one.works_s[3])),
                builds=(*before.builds, *one.builds),
            )
        found[row["request"], one.runner] = one
    return tuple(found.values())
