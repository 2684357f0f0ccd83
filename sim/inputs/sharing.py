"""Whose execution a step was, over all builds of an import; and clients' clocks brought together.

In: the builds' `Vertices`. Out: owners by execution; `shift_ns` set on them. An execution is known by its digest and its
start: BuildKit repeats both to every build that waits for it (semantics 1).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.inputs.names import is_alone
from sim.inputs.status import NS_PER_S, Seen, Vertices

# Spans of equal length to the ns are one execution; so far apart can no client move them (13.1: up to 0.35 s).
_FARTHEST_NS = 10 * NS_PER_S
# Where a log breaks off, the start alone must tell; a step cannot begin twice within this.
_NEAR_NS = NS_PER_S // 2


@dataclass(frozen=True, slots=True)
class _Run:
    started_ns: int
    build: int
    runner: int | None


class Owners:
    """Which build executed what: `add` all builds, then ask."""

    def __init__(self) -> None:
        self._runs: dict[str, list[_Run]] = defaultdict(list)

    def add(self, build: int, runner: int | None, vertices: Vertices) -> None:
        """The executions that this build brought into being: the vertexes that it announced."""
        for seen in vertices.steps():
            if not seen.is_joined:
                self._runs[seen.digest].append(_Run(seen.started_ns, build, runner))

    def of(self, seen: Seen, build: int, runner: int | None) -> int | None:
        """The build that executed a step which `build` joined; None: it is not in the import."""
        near = [
            (abs(run.started_ns - seen.started_ns), run.build)
            for run in self._runs.get(seen.digest, ())
            if run.build != build and (run.runner is None or runner is None or run.runner == runner)
        ]
        apart_ns, owner = min(near, default=(_NEAR_NS, None))
        return owner if apart_ns < _NEAR_NS else None


def align(logs: Sequence[Vertices], moved: Iterable[bool]) -> list[int]:
    """Bring together the times of logs that show the same executions; returns the ns that each was moved.

    `buildctl` and `buildx` move all times of a build so that its first step starts when the client did (ResetTime): each
    build by another amount. `moved` says which logs are such; the daemon's own stay as they are. Among clients the one that
    was moved least is right: the amounts are delays, so its times are the latest.
    """
    is_moved = list(moved)
    shifts: list[int] = [0] * len(logs)
    for group in _groups(logs):
        fixed = [at for at in group if not is_moved[at]]
        to_add = max(group[at] for at in fixed) if fixed else min(group.values())
        for at, offset_ns in group.items():
            if is_moved[at]:
                shifts[at] = offset_ns - to_add
                logs[at].shift_ns += shifts[at]
    return shifts


def _groups(logs: Sequence[Vertices]) -> list[dict[int, int]]:
    """Logs that share executions, each with the ns that must be added to it to agree with the first of its group."""
    neighbours: list[dict[int, int]] = [{} for _ in logs]
    shown: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for at, log in enumerate(logs):
        for vertex in log.by_digest.values():
            if is_alone(vertex.name, vertex.kind):
                continue
            for span in vertex.spans.values():
                if span.completed_ns is not None and span.completed_ns > span.started_ns:
                    shown[vertex.digest, span.completed_ns - span.started_ns].append((at, span.started_ns))
    for places in shown.values():
        first, first_ns = places[0]
        for other, other_ns in places[1:]:
            if other != first and abs(other_ns - first_ns) < _FARTHEST_NS:
                neighbours[first].setdefault(other, first_ns - other_ns)
                neighbours[other].setdefault(first, other_ns - first_ns)
    groups: list[dict[int, int]] = []
    left = dict.fromkeys(range(len(logs)))
    while left:
        start = next(iter(left))
        found, queue = {start: 0}, deque([start])
        while queue:
            here = queue.popleft()
            left.pop(here)
            for other, offset_ns in neighbours[here].items():
                if other not in found:
                    found[other] = found[here] + offset_ns
                    queue.append(other)
        groups.append(found)
    return groups
