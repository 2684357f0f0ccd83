"""What happened to the steps: shared, cached, missed and why; who waited for whom; what each used and saved.

In: a trace. Out: one value a step row (`StepFacts`), cheap to sum over any group of rows. A shared step waited from the
moment it was wanted, but not before its build began, until the owner's execution ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.distribution import Distribution, locate
from sim.trace import Codes, Numbers, Trace, Words

OUTCOMES = ("executed", "cached", "shared", "failed", "cancelled")
STEP_FAILED = "step failed"  # the cause of a build's end where its failed step gives none


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
    """The waits that sharing imposed, and the longest of them."""

    wait_s: Distribution
    top: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Steps by outcome, executed ones by the reason of their miss; `clone_repeats` missed for a clone. None: none known."""

    outcomes: Mapping[str, int] | None
    misses: Mapping[str, int] | None
    clone_repeats: int | None


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One value a step row. `build_row` is -1 for an unknown build; overheads and exports are work but no steps.

    `cpu_s` is what a row paid for, `saved_cpu_s` what it would have used without cache and dedup.
    """

    trace: Trace
    build_row: Codes
    is_step: NDArray[np.bool_]
    is_export: NDArray[np.bool_]
    is_shared: NDArray[np.bool_]
    ran: NDArray[np.bool_]
    dedup_wait_s: Numbers
    slot_wait_s: Numbers
    cpu_s: Numbers
    saved_cpu_s: Numbers


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
    cpu_s = _cpu_s(trace, ran)
    saved_cpu_s = _saved_cpu_s(trace, is_shared, cpu_s)
    is_export = steps.equals("kind", "export")
    is_step = ~(steps.equals("kind", "overhead") | is_export)
    return StepFacts(
        trace, build_row, is_step, is_export, is_shared, ran, dedup_wait_s, slot_wait_s, cpu_s, saved_cpu_s
    )


def _cpu_s(trace: Trace, ran: NDArray[np.bool_]) -> Numbers:
    """What each row paid for; a row that began nothing used nothing, also where the source does not say so."""
    steps = trace.steps
    is_own = np.isnan(steps.numbers("shared_with"))
    killed = steps.equals("outcome", "cancelled") & is_own & ~np.isnan(steps.numbers("started_s"))
    used_s = steps.numbers("cpu_s")
    return np.where(np.isnan(used_s) & ~ran & ~killed, 0.0, used_s)


def _saved_cpu_s(trace: Trace, is_shared: NDArray[np.bool_], cpu_s: Numbers) -> Numbers:
    """As the trace states; else the owner's use for a shared row that did not pay itself, and unknown for a cached one."""
    stated_s = trace.steps.numbers("saved_cpu_s")
    if not np.isnan(stated_s).any():
        return stated_s
    derived_s = np.where(trace.steps.equals("outcome", "cached"), np.nan, 0.0)
    free = np.flatnonzero(is_shared & (cpu_s == 0))
    derived_s[free] = np.append(cpu_s, np.nan)[owner_rows(trace, free)]
    return np.where(np.isnan(stated_s), derived_s, stated_s)


def counts(facts: StepFacts, rows: Codes) -> StepCounts:
    """Count some step rows."""
    if not len(facts.trace.steps):
        return StepCounts(None, None, None)
    steps = facts.trace.steps
    known = rows[facts.is_step[rows]]
    by_outcome = dict.fromkeys(OUTCOMES, 0) | tally(steps.words("outcome"), known)
    executed = known[steps.equals("outcome", "executed")[known]]
    misses = tally(steps.words("miss"), executed)
    return StepCounts(by_outcome, misses, misses.get("clone", 0))


def tally(words: Words, rows: Codes) -> dict[str, int]:
    """How often each label occurs in these rows, most frequent first; null counts as `unknown`."""
    found = np.bincount(words.codes[rows] + 1, minlength=len(words.labels) + 1).tolist()
    pairs = [(str(label), count) for label, count in zip(("unknown", *words.labels), found, strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def dedup(facts: StepFacts, rows: Codes, *, top: int = 5) -> Dedup:
    """Who waited for whom over some step rows."""
    if not len(facts.trace.steps):
        return Dedup(Distribution(), ())
    shared = rows[facts.is_shared[rows]]
    waits_s = facts.dedup_wait_s[shared]
    longest = shared[np.argsort(-np.nan_to_num(waits_s, nan=-1.0), kind="stable")[:top]]
    named = tuple(_wait(facts, row) for row in longest.tolist() if facts.dedup_wait_s[row] > 0)
    return Dedup(Distribution.of(waits_s), named)


def causes(facts: StepFacts) -> Words:
    """Why each build failed: what its failed step says; what it says itself if no step of it failed. Null: it did not."""
    builds, steps = facts.trace.builds, facts.trace.steps
    found: list[str | None] = [None] * len(builds)
    bad = builds.equals("outcome", "failed") | builds.equals("outcome", "timed_out")
    for row in np.flatnonzero(bad).tolist():
        found[row] = label_at(builds.words("reason"), row) or "unknown"
    for row in np.flatnonzero(steps.equals("outcome", "failed") & (facts.build_row >= 0)).tolist():
        if bad[facts.build_row[row]]:
            found[facts.build_row[row]] = label_at(steps.words("reason"), row) or STEP_FAILED
    return Words.of(found, str)


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


def owner_rows(trace: Trace, shared: Codes) -> Codes:
    """The row of the execution that each shared row waited for; -1: not in the trace.

    It is the owner's step of the same key (of the same name where keys are unknown). An execution whose own build was
    cancelled goes on while another waits for it.
    """
    steps, names = trace.steps, trace.steps.words("step")
    keys, key_code = np.unique(steps["key"], return_inverse=True)
    identity = np.where(steps["key"] == 0, keys.size + names.codes, key_code)
    width = float(keys.size + len(names.labels))  # build * width + identity is one exact number up to 2**53
    is_own = np.isnan(steps.numbers("shared_with"))
    ended = steps.equals("outcome", "failed") | steps.equals("outcome", "cancelled")
    did_run = np.flatnonzero(steps.equals("outcome", "executed") | (ended & is_own))
    ids = steps.numbers("build")[did_run] * width + identity[did_run]
    at = locate(ids, steps.numbers("shared_with")[shared] * width + identity[shared])
    return np.append(did_run, -1)[at]
