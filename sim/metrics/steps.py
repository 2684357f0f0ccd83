"""What happened to the steps: shared, cached, missed and why; who waited for whom; what a clone did again.

In: a trace. Out: one value a step row (`StepFacts`), cheap to sum over any group of rows. A shared step waited from the
moment it was wanted, but not before its build began, until the owner's execution ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.distribution import Distribution, locate, whole
from sim.trace import Codes, Numbers, Trace, Words

OUTCOMES = ("executed", "cached", "shared", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Wait:
    """One build waited for another's execution of the same step; builds and requests by id."""

    build: int
    target: str | None
    request: int
    owner: int
    owner_target: str | None
    owner_request: int | None
    step: str | None
    wait_s: float


@dataclass(frozen=True, slots=True)
class Dedup:
    """What sharing did. `saved_cpu_s`: each execution's CPU once more per step that shared it; `top`: longest waits."""

    wait_s: Distribution
    saved_cpu_s: float | None
    top: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Steps by outcome, executed ones by the reason of their miss, the work that clones did again; None: none known."""

    outcomes: Mapping[str, int] | None
    misses: Mapping[str, int] | None
    clone_repeats: int | None
    clone_repeat_cpu_s: float | None
    cpu_s: float | None


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One value a step row. `build_row` is -1 for an unknown build; overhead rows are work but no steps."""

    trace: Trace
    build_row: Codes
    is_step: NDArray[np.bool_]
    is_shared: NDArray[np.bool_]
    ran: NDArray[np.bool_]
    dedup_wait_s: Numbers
    slot_wait_s: Numbers
    cpu_s: Numbers


def step_facts(trace: Trace) -> StepFacts:
    """Derive all that summaries need of the step rows, once."""
    steps, builds = trace.steps, trace.builds
    build_row = locate(builds.numbers("build"), steps.numbers("build"))
    waited = ~np.isnan(steps.numbers("shared_with"))
    failed = steps.equals("outcome", "failed")  # of another's failure, when it waited for that
    is_shared = steps.equals("outcome", "shared") | (failed & waited)
    begun_s = np.append(builds.numbers("started_s"), np.nan)[build_row]
    wanted_s = np.fmax(steps.numbers("ready_s"), begun_s)
    dedup_wait_s = np.where(is_shared, np.maximum(steps.numbers("completed_s") - wanted_s, 0.0), np.nan)
    ran = steps.equals("outcome", "executed") | (failed & ~waited)
    slot_wait_s = np.where(ran, np.maximum(steps.numbers("started_s") - steps.numbers("ready_s"), 0.0), np.nan)
    used_s = steps.numbers("cpu_s")
    cpu_s = np.where(np.isnan(used_s) & ~ran, 0.0, used_s)  # what did not run used nothing
    is_step = ~steps.equals("kind", "overhead")
    return StepFacts(trace, build_row, is_step, is_shared, ran, dedup_wait_s, slot_wait_s, cpu_s)


def counts(facts: StepFacts, rows: Codes) -> StepCounts:
    """Count and sum over some step rows."""
    if not len(facts.trace.steps):
        return StepCounts(None, None, None, None, None)
    steps = facts.trace.steps
    known = rows[facts.is_step[rows]]
    by_outcome = dict.fromkeys(OUTCOMES, 0) | tally(steps.words("outcome"), known)
    executed = known[steps.equals("outcome", "executed")[known]]
    repeats = executed[steps.equals("miss", "clone")[executed]]
    cpu_s = whole(facts.cpu_s[rows])
    misses = tally(steps.words("miss"), executed)
    return StepCounts(by_outcome, misses, len(repeats), whole(facts.cpu_s[repeats]), cpu_s)


def tally(words: Words, rows: Codes) -> dict[str, int]:
    """How often each label occurs in these rows, most frequent first; null counts as `unknown`."""
    found = np.bincount(words.codes[rows] + 1, minlength=len(words.labels) + 1).tolist()
    pairs = [(str(label), count) for label, count in zip(("unknown", *words.labels), found, strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def dedup(facts: StepFacts, rows: Codes, *, top: int = 5) -> Dedup:
    """Who waited for whom over some step rows, and the work that sharing saved."""
    if not len(facts.trace.steps):
        return Dedup(Distribution(), None, ())
    shared = rows[facts.is_shared[rows]]
    waits_s = facts.dedup_wait_s[shared]
    longest = shared[np.argsort(-np.nan_to_num(waits_s, nan=-1.0), kind="stable")[:top]]
    named = tuple(_wait(facts, row) for row in longest.tolist() if facts.dedup_wait_s[row] > 0)
    return Dedup(Distribution.of(waits_s), _saved_cpu_s(facts, shared), named)


def _wait(facts: StepFacts, row: int) -> Wait:
    steps, builds = facts.trace.steps, facts.trace.builds
    own = int(facts.build_row[row])
    owner_id = steps.numbers("shared_with")[row]
    owner = int(locate(builds.numbers("build"), np.array([owner_id]))[0])
    request = builds.numbers("request")
    return Wait(
        build=int(builds.numbers("build")[own]),
        target=label_at(builds.words("target"), own),
        request=int(request[own]),
        owner=-1 if np.isnan(owner_id) else int(owner_id),
        owner_target=label_at(builds.words("target"), owner) if owner >= 0 else None,
        owner_request=int(request[owner]) if owner >= 0 else None,
        step=label_at(steps.words("step"), row),
        wait_s=float(facts.dedup_wait_s[row]),
    )


def label_at(words: Words, row: int) -> str | None:
    """The text of one row."""
    code = int(words.codes[row])
    return str(words.labels[code]) if code >= 0 else None


def owner_rows(facts: StepFacts, shared: Codes) -> Codes:
    """The row of the execution that each shared row waited for; -1: not in the trace.

    It is the owner's step of the same key (of the same name where keys are unknown). An execution whose own build was
    cancelled goes on while another waits for it.
    """
    steps, names = facts.trace.steps, facts.trace.steps.words("step")
    keys, key_code = np.unique(steps["key"], return_inverse=True)
    identity = np.where(steps["key"] == 0, keys.size + names.codes, key_code)
    width = float(keys.size + len(names.labels))  # build * width + identity is one exact number up to 2**53
    waited = ~np.isnan(steps.numbers("shared_with"))
    did_run = np.flatnonzero(facts.ran | (steps.equals("outcome", "cancelled") & ~waited))
    ids = steps.numbers("build")[did_run] * width + identity[did_run]
    at = locate(ids, steps.numbers("shared_with")[shared] * width + identity[shared])
    return np.append(did_run, -1)[at]


def _saved_cpu_s(facts: StepFacts, shared: Codes) -> float | None:
    """None when the CPU of an execution is unknown, or none of the executions is in the trace."""
    if not shared.size:
        return 0.0
    found = owner_rows(facts, shared)
    found = found[found >= 0]
    return whole(facts.cpu_s[found]) if found.size else None
