"""Rows of the trace from what was seen of builds: outcomes, who waited for whom, when a step's inputs were ready.

In: facts of a build, its `Vertices`, the `Owners` of all builds. Out: plain tuples in the columns of `sim.trace`; what
nobody measured is None. Used for logs (`buildcast import`) and for replays alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.hide import hidden
from sim.inputs.sharing import Owners
from sim.inputs.status import CANCELLED, NS_PER_S, Seen, Vertices
from sim.trace import BUILDS, KILLED, OUT_OF_MEMORY, STEPS, Cell

Row = tuple[Cell, ...]

# BuildKit knows of the kernel's kill on control groups of version 2 and says ENOMEM (executor_linux.go:215, ExitError); on
# version 1 there is the exit code of a SIGKILL, which others send, too.
_NO_MEMORY = re.compile(r": cannot allocate memory\s*$")
_DIGEST = re.compile(r"sha256:([0-9a-f]{16})")
_EXIT = re.compile(r"exit code: (\d+)")
_INPUTS, _OUTCOME, _REASON = (STEPS.index(name) for name in ("inputs", "outcome", "reason"))


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What is known of a build beside its steps: the columns of `builds`, in seconds from the origin.

    `args` are its build args: their values are kept out of the rows. `no_cache`: it was asked to execute everything.
    """

    build: int
    request: int
    lease: int | None = None
    target: str | None = None
    project: str | None = None
    platforms: tuple[str, ...] | None = None
    commit: str | None = None
    arrived_s: float | None = None
    ready_s: float | None = None
    started_s: float | None = None
    completed_s: float | None = None
    outcome: str | None = None
    reason: str | None = None
    runner: int | None = None
    no_cache: bool = False
    args: Mapping[str, str] = field(default_factory=dict, repr=False)


def step_rows(facts: BuildFacts, vertices: Vertices, owners: Owners, origin_ns: int) -> list[Row]:
    """One row a step, in order of first mention. `origin_ns`: the run's start, in ns since 1970."""
    rows = [_step_row(facts, step, owners, origin_ns) for step in vertices.steps()]
    return rows if vertices.has_graph else [_without_inputs(row) for row in rows]


def build_row(facts: BuildFacts, steps: Sequence[Row]) -> Row:
    """The build's row; contexts and exports are counted from its steps."""
    kind, received, sent = (STEPS.index(name) for name in ("kind", "received_bytes", "sent_bytes"))
    of_build: dict[str, Cell] = {name: getattr(facts, name) for name in BUILDS if hasattr(facts, name)}
    of_build["context_bytes"] = _total([row[received] for row in steps if row[kind] == "context"])
    of_build["export_bytes"] = _total([row[sent] for row in steps if row[kind] == "export"])
    return tuple(of_build[name] for name in BUILDS)


def verdict(steps: Sequence[Row], is_unfinished: bool) -> tuple[str, str | None]:
    """How a build ended by what its steps say, and why. A log that ends too early is a killed client."""
    failed = [row for row in steps if row[_OUTCOME] == "failed"]
    if failed:
        return "failed", next((str(row[_REASON]) for row in failed if row[_REASON]), None)
    if is_unfinished or any(row[_OUTCOME] == "cancelled" for row in steps):
        return "cancelled", None
    return "ok", None


def without_killed_siblings(builds: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """Step rows of one request's builds; where one failed by itself, another's SIGKILL was fail-fast's, not the memory's.

    bake ends the other targets with the same exit code 137 (13.10).
    """
    own = any(row[_OUTCOME] == "failed" and row[_REASON] != KILLED for rows in builds for row in rows)
    return [[_cancelled(row) if own and row[_REASON] == KILLED else row for row in rows] for rows in builds]


def fault(error: str) -> tuple[str, str | None]:
    """Outcome and reason of an error that BuildKit reports. Its text is not kept: it may hold anything."""
    if CANCELLED.search(error):
        return "cancelled", None
    if _NO_MEMORY.search(error):
        return "failed", OUT_OF_MEMORY
    code = _EXIT.search(error)
    if code is None:
        return "failed", None
    return "failed", KILLED if code[1] == "137" else f"exit code {code[1]}"


def key_of(digest: str) -> int | None:
    """63 bits of a digest, as the trace's `key`; None: not a digest."""
    found = _DIGEST.match(digest)
    return int(found[1], 16) >> 1 or None if found else None


def seconds(at_ns: int | None, origin_ns: int) -> float | None:
    """A time in seconds from the origin, to the microsecond; None stays None."""
    return None if at_ns is None else round((at_ns - origin_ns) / NS_PER_S, 6)


def _step_row(facts: BuildFacts, step: Seen, owners: Owners, origin_ns: int) -> Row:
    owner = owners.of(step, facts.build, facts.runner) if step.is_joined else None
    outcome, reason = _outcome(step)
    is_cached = outcome == "cached"
    is_own = not is_cached and not step.is_joined
    moved = step.moved_bytes if is_own else 0.0
    values: dict[str, Cell] = {
        "build": facts.build,
        "step": hidden(step.name, facts.args),
        "key": key_of(step.digest),
        "inputs": tuple(hidden(name, facts.args) for name in step.inputs),
        "kind": step.kind,
        "outcome": outcome,
        "reason": reason,
        "ready_s": seconds(step.ready_ns, origin_ns),
        "started_s": None if is_cached else seconds(step.started_ns, origin_ns),
        "completed_s": None if is_cached else seconds(step.completed_ns, origin_ns),
        "shared_with": None if is_cached else owner,
        "runner": facts.runner,
        "received_bytes": moved if step.kind in ("source", "context") else None,
        "sent_bytes": moved if step.kind == "export" else None,
        "miss": "no_cache" if facts.no_cache and is_own and step.kind in ("exec", "copy", "merge") else None,
    }
    return tuple(values.get(name) for name in STEPS)


def _outcome(step: Seen) -> tuple[str, str | None]:
    if step.error:
        return fault(step.error)
    if step.is_cached:
        return "cached", None
    if step.completed_ns is None:
        return "cancelled", None
    return ("shared" if step.is_joined else "executed"), None


def _without_inputs(row: Row) -> Row:
    """A plain log has no graph: the inputs are unknown, not none."""
    changed = list(row)
    changed[_INPUTS] = None
    return tuple(changed)


def _cancelled(row: Row) -> Row:
    changed = list(row)
    changed[_OUTCOME], changed[_REASON] = "cancelled", None
    return tuple(changed)


def _total(values: Sequence[Cell]) -> float | None:
    known = [float(value) for value in values if isinstance(value, int | float)]
    return sum(known) if known else None
