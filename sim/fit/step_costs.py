"""Step costs from measured traces, with contention removed: each execution gets the cost with which the model takes as long.

In: `Schedule`s (measured starts on the model's machine), a profile to begin with, the daemon's constants. Out: a `Fitted` cost
for each execution. One measured duration gives one unknown of each execution; all are found together, for each one's
length is the other's contention: new cost = old cost x (measured / simulated) of the time spent on it, until they agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.fit.measured.executions import Execution
from sim.fit.measured.schedule import Schedule, Seconds, Spent
from sim.profile import Profile
from sim.profile.cost import Cost, Daemon

Unknown = Literal["", "cpu", "wait", "bytes"]

ROUNDS = 200
CLOSE_S, CLOSE = 5e-4, 2e-4  # durations agree: half a millisecond, or 0.02 %
_LEAST, _MOST = 0.25, 4.0  # of one round's change
_LEAST_DAMPING = 0.1
_SPLITS = 4  # rounds of telling waiting from work
_SPLIT_FROM, _SPLIT_RANGE, _SPLIT_LEAST = (
    4,
    1.3,
    0.05,
)  # executions; most over least stretch; share of waiting worth telling
_PATIENCE = 20  # rounds without a gain: what is left cannot be explained by costs (a COPY faster than any)
_FIRST_S = 1e-3  # a cost that is nothing yet cannot be multiplied


@dataclass(frozen=True, slots=True)
class Fitted:
    """An execution, the cost that explains its duration, and by how many seconds the model still misses it."""

    execution: Execution
    cost: Cost
    unknown: Unknown
    missed_s: float
    stretch: float
    is_split: bool = False


Waits = Mapping[tuple[str, str], float]
"""By command and platform, the seconds of it that need no resource."""


def fit_costs(schedules: Sequence[Schedule], profiles: Sequence[Profile]) -> list[list[Fitted]]:
    """The costs of all executions, one list a schedule; `profiles` say of each what is known.

    How much of a step is waiting, nobody may know; it shows where it was executed often enough beside more and less: waiting is
    what contention does not stretch.
    """
    found = [fit_schedule(one, profile) for one, profile in zip(schedules, profiles, strict=True)]
    waits: Waits = {}
    for _ in range(_SPLITS):
        waits = _split([one for fitted in found for one in fitted])
        if not waits:
            break
        found = [fit_schedule(one, profile, waits) for one, profile in zip(schedules, profiles, strict=True)]
    return found


def fit_schedule(schedule: Schedule, profile: Profile, waits: Waits | None = None) -> list[Fitted]:
    """The costs of a schedule's executions. `profile` says what is known: threads, bytes, waiting, the daemon's constants.

    CPU time is what is looked for; waiting where a step has no other cost or its CPU time was measured; the bytes of a COPY.
    """
    waits = waits or {}
    costs = [
        _begun(one, cost, schedule.observation.runners[one.runner].cpus, profile.daemon, waits)
        for one, cost in zip(schedule.executions, schedule.stated(profile), strict=True)
    ]
    unknowns = [_unknown(one, cost) for one, cost in zip(schedule.executions, costs, strict=True)]
    took_s = np.array([one.took_s for one in schedule.executions])
    spent = _solve(schedule, profile.daemon, costs, unknowns, took_s)
    alone = [one.is_whole and unknown != "" for one, unknown in zip(schedule.executions, unknowns, strict=True)]
    return [
        Fitted(
            one,
            cost,
            unknown,
            float(missed_s) if counts else 0.0,
            float(stretch),
            (one.command, one.platform) in waits,
        )
        for one, cost, unknown, missed_s, counts, stretch in zip(
            schedule.executions, costs, unknowns, took_s - spent.took_s, alone, _stretches(costs, spent), strict=True
        )
    ]


def _split(fitted: Sequence[Fitted]) -> Waits:
    """Waiting by command: the intercept of duration over stretch, where stretches differ enough to tell."""
    cells: dict[tuple[str, str], list[Fitted]] = defaultdict(list)
    for one in fitted:
        seen = one.execution
        if one.unknown == "cpu" and seen.kind == "exec" and seen.is_ok and seen.is_whole and one.cost.origin != "rule":
            cells[seen.command, seen.platform].append(one)
    found: dict[tuple[str, str], float] = {}
    for cell, some in cells.items():
        stretch = np.array([one.stretch for one in some])
        if len(some) < _SPLIT_FROM or stretch.max() < _SPLIT_RANGE * stretch.min():
            continue
        took_s = np.array([one.cost.latency_s + one.stretch * one.cost.cpu_s for one in some])
        slope_s, wait_s = np.polyfit(stretch, took_s, 1)
        wait_s = float(min(max(wait_s, 0.0), 0.95 * took_s.min()))
        if slope_s > 0.0 and wait_s > _SPLIT_LEAST * float(np.median(took_s)):
            found[cell] = wait_s
    return found


def _solve(
    schedule: Schedule, daemon: Daemon, costs: list[Cost], unknowns: Sequence[Unknown], took_s: Seconds
) -> Spent:
    """Rounds of simulating and correcting; `costs` is changed in place. The best round is kept."""
    executions = schedule.executions
    counted = np.array([one.is_whole and bool(unknown) for one, unknown in zip(executions, unknowns, strict=True)])
    tolerance_s = np.maximum(CLOSE_S, CLOSE * took_s)
    best, kept, seen = inf, list(costs), schedule.simulate(costs, daemon)
    spent, before, damping, idle = seen, inf, 1.0, 0
    for _ in range(ROUNDS):
        missed_s = np.where(counted, took_s - spent.took_s, 0.0)
        total = float(np.sum(np.abs(missed_s)))
        idle = 0 if total < 0.99 * best else idle + 1
        if total < best:
            best, kept, seen = total, list(costs), spent
        if np.all(np.abs(missed_s) <= tolerance_s) or idle > _PATIENCE:
            break
        # Steps side by side each correct what all of them miss together: where that overshoots, smaller steps.
        damping = max(damping / 2, _LEAST_DAMPING) if total > 0.9 * before else min(damping * 1.2, 1.0)
        before = total
        for at in np.flatnonzero(counted).tolist():
            missing_s = float(missed_s[at]) * damping
            costs[at] = _corrected(executions[at], costs[at], unknowns[at], spent, at, missing_s, daemon)
        _fill_cut_off(executions, costs, counted)
        spent = schedule.simulate(costs, daemon)
    costs[:] = kept
    return seen


def _corrected(
    one: Execution, cost: Cost, unknown: Unknown, spent: Spent, at: int, missed_s: float, daemon: Daemon
) -> Cost:
    """The cost of one execution after one round."""
    if unknown == "wait":
        return replace(cost, latency_s=max(0.0, cost.latency_s + missed_s))
    used_s = float(spent.cpu[at])
    ratio = min(max((used_s + missed_s) / used_s, _LEAST), _MOST) if used_s > 0.0 else 1.0
    per_byte_s = daemon.write_byte_cpu_s
    if unknown == "bytes":
        cpu_s = cost.cpu_s + cost.write_bytes * per_byte_s
        grown_s = cpu_s * ratio if used_s > 0.0 else max(0.0, missed_s)
        written_bytes = max(0.0, grown_s - cost.cpu_s) / per_byte_s if per_byte_s else 0.0
        return replace(cost, cpu_s=min(cost.cpu_s, grown_s), write_bytes=written_bytes)
    with_command = one.kind in ("exec", "copy", "source")
    beside_s = (cost.write_bytes if with_command else one.bytes or 0.0) * (
        per_byte_s if with_command else daemon.context_byte_cpu_s if one.kind == "context" else 0.0
    )
    scale = cost.warm if one.is_warm and one.kind == "exec" else 1.0
    if used_s <= 0.0:
        return replace(cost, cpu_s=cost.cpu_s + max(0.0, missed_s, _FIRST_S if missed_s > 0 else 0.0) / scale)
    return replace(cost, cpu_s=max(0.0, (cost.cpu_s + beside_s) * ratio - beside_s))


def _fill_cut_off(executions: Sequence[Execution], costs: list[Cost], counted: NDArray[np.bool_]) -> None:
    """One that was killed costs what its equals do; without any, it worked until its end."""
    known: dict[tuple[str, str], list[float]] = defaultdict(list)
    for at in np.flatnonzero(counted).tolist():
        known[executions[at].command, executions[at].platform].append(costs[at].cpu_s)
    for at, one in enumerate(executions):
        if not one.is_whole and one.kind == "exec":
            equals = known.get((one.command, one.platform))
            costs[at] = replace(costs[at], cpu_s=median(equals) if equals else 1e9)


def _begun(one: Execution, cost: Cost, cpus: float, daemon: Daemon, waits: Waits) -> Cost:
    """Where the search begins. What was measured is taken as it is: CPU time, and from it the threads it must have had."""
    if one.kind == "export":
        return Cost(cpu_s=one.took_s)
    if one.kind != "exec":
        return cost
    cost = replace(cost, latency_s=waits.get((one.command, one.platform), cost.latency_s))
    if one.cpu_s is None:
        return cost
    cost = replace(cost, cpu_s=max(0.0, one.cpu_s - cost.write_bytes * daemon.write_byte_cpu_s))
    spare_s = max(one.took_s - daemon.run_cpu_s, _FIRST_S) - one.cpu_s / cpus
    alone_s = one.cpu_s * (cost.serial + (1.0 - cost.serial) / min(cost.threads, cpus))
    if one.took_s >= alone_s or cpus <= 1.0:
        return cost
    # Faster than its threads allow: it has more of them, and no more of it runs on one than the rest leaves time for.
    serial = max(0.0, min(cost.serial, spare_s / (one.cpu_s * (1.0 - 1.0 / cpus))))
    return replace(cost, threads=inf, serial=serial)


def _unknown(one: Execution, cost: Cost) -> Unknown:
    if one.kind in ("merge", "digest", "preamble", "opening", "tail", "bake tail"):
        return ""
    if one.kind == "copy":
        return "bytes"
    if one.kind == "exec":
        is_wait = one.cpu_s is not None or (cost.cpu_s == 0.0 and cost.latency_s > 0.0)
        return "wait" if is_wait else "cpu"
    return "cpu"


def _stretches(costs: Sequence[Cost], spent: Spent) -> Seconds:
    """How many times longer the CPU part took than its core-seconds on the cores it can use."""
    found: Seconds = np.ones(len(costs))
    for at, cost in enumerate(costs):
        if cost.cpu_s > 0.0:
            found[at] = spent.cpu[at] / cost.cpu_s
    return found
