"""A run in a dozen lines that a person reads in ten seconds.

In: a trace and its summary, and when on the clock it started. Out: lines of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from sim.metrics import Distribution, Summary, Wait
from sim.metrics.bill import end_s
from sim.metrics.distribution import locate
from sim.metrics.steps import STEP_FAILED, step_facts
from sim.report.numbers import clock, count, percent, show
from sim.report.tables import cut, table
from sim.trace import Json, Trace
from sim.units import DAY_S, format_duration, format_money

_LABEL = 10
_NAME = 72  # columns of a vertex name: the line stays below 120
_LONGEST_STEPS = 4
_WORTH_A_LINE = 0.005


@dataclass(frozen=True, slots=True)
class StepTime:
    """A vertex name over all its executions: seconds in all, and its share of all executions' seconds."""

    step: str
    executions: int
    total_s: float
    share: float


def longest_steps(trace: Trace, top: int = _LONGEST_STEPS) -> list[StepTime]:
    """Where the time goes: the vertexes with the most seconds of execution, longest first."""
    facts, steps = step_facts(trace), trace.steps
    ran = np.flatnonzero(facts.ran & (facts.is_step | facts.is_export) & (facts.build_row >= 0))
    took_s = np.nan_to_num(steps.numbers("completed_s")[ran] - steps.numbers("started_s")[ran])
    words = steps.words("step")
    codes = words.codes[ran]
    if not len(codes) or not took_s.sum():
        return []
    total_s = np.bincount(codes[codes >= 0], took_s[codes >= 0], len(words.labels))
    times = np.bincount(codes[codes >= 0], minlength=len(words.labels))
    order = np.argsort(-total_s, kind="stable")[:top].tolist()
    whole_s = float(took_s.sum())
    return [
        StepTime(str(words.labels[at]), int(times[at]), float(total_s[at]), float(total_s[at]) / whole_s)
        for at in order
        if total_s[at] >= _WORTH_A_LINE * whole_s
    ]


def wait_sentence(trace: Trace, wait: Wait, start_s: float) -> str:
    """Who waited for whom, how long and for what, with both builds' times of arrival on the clock."""
    with_day = end_s(trace) + start_s % DAY_S >= DAY_S
    own, owner = (_clock_of(trace, build, start_s, with_day) for build in (wait.build, wait.owner))
    whom = "an execution that the trace does not hold"
    if wait.owner_request is not None:
        whom = f"request {wait.owner_request} ({wait.owner_target or 'build'}, {owner})"
    return (
        f"request {wait.request} ({wait.target or 'build'} at {own}) waited {_exact(wait.wait_s)} "
        f"for {cut(wait.step or 'a step', _NAME)} of {whom}"
    )


def wait_json(trace: Trace, wait: Wait, start_s: float) -> dict[str, Json]:
    """The same as fields."""
    return {
        "request": wait.request,
        "target": wait.target,
        "wait_s": wait.wait_s,
        "step": wait.step,
        "owner_request": wait.owner_request,
        "owner_target": wait.owner_target,
        "sentence": wait_sentence(trace, wait, start_s),
    }


def summary_lines(trace: Trace, summary: Summary, start_s: float) -> list[str]:
    """The run as a whole."""
    end = end_s(trace)
    with_day = end + start_s % DAY_S >= DAY_S
    span = f"{clock(start_s, 0, with_day=with_day)} to {clock(start_s, end, with_day=with_day)}"
    lines = [f"{summary.group}: {count(summary.requests, 'request')}, {count(summary.builds, 'build')}; {span}"]
    lines += _entry("requests", [_tally(summary.request_outcomes) + _failures(summary)])
    lines += _entry("duration", [_duration(summary.duration_s)])
    lines += _entry("waiting", [_waiting(summary)])
    lines += _entry("longest", [_step_time(one) for one in longest_steps(trace)])
    lines += _entry("steps", [_steps(summary)])
    lines += _entry("work", [_work(summary), _again(summary)])
    lines += _entry("exports", [_exports(summary)])
    lines += _entry("dedup", [_dedup(summary), *(wait_sentence(trace, one, start_s) for one in summary.dedup.top[:3])])
    lines += _entry("clones", [_clones(summary)])
    lines += _entry("runners", _pools(summary))
    lines += _entry("money", [_money(summary)])
    lines += _entry("priors", [_priors(summary)])
    return lines + _entry("warm-up", [_warmup(summary)])


def group_lines(by: str, groups: Sequence[Summary]) -> list[str]:
    """A line for each target, project or platform."""
    header = [
        by,
        "requests",
        "mean",
        "p50",
        "p95",
        "queue",
        "boot",
        "executed",
        "cached",
        "shared",
        "CPU core-s",
        "money",
    ]
    rows = []
    for one in groups:
        outcomes = one.steps.outcomes
        counted = [str(outcomes[name]) if outcomes else "n/a" for name in ("executed", "cached", "shared")]
        took = (one.duration_s.mean, one.duration_s.p50, one.duration_s.p95, one.queue_s.mean, one.boot_s.mean)
        rows.append(
            [
                one.group,
                str(one.requests),
                *(_seconds(value) for value in took),
                *counted,
                show("cpu_s", one.work.cpu_s),
                show("minutes_usd", one.money.total_usd),
            ]
        )
    return table(header, rows)


def _entry(label: str, texts: Sequence[str]) -> list[str]:
    kept = [text for text in texts if text]
    return [f"  {label if at == 0 else '':{_LABEL}}{text}" for at, text in enumerate(kept)]


def _clock_of(trace: Trace, build: int, start_s: float, with_day: bool) -> str:
    row = int(locate(trace.builds.numbers("build"), np.array([float(build)]))[0])
    return clock(start_s, float(trace.builds.numbers("arrived_s")[row]), with_day=with_day) if row >= 0 else "?"


def _exact(seconds: float) -> str:
    """Below ten minutes in seconds with a tenth: a wait is compared with a step's time."""
    return f"{seconds:.1f} s" if seconds < 600 else format_duration(seconds)


def _seconds(value: float | None) -> str:
    return "n/a" if value is None else format_duration(value)


def _tally(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in found.items())


def _failures(summary: Summary) -> str:
    """Causes that are no step's own first, each with its count; then the steps that failed most."""
    causes = {cause: number for cause, number in summary.causes.items() if cause != STEP_FAILED}
    parts = [f"{number} {cut(cause, 50)}" for cause, number in list(causes.items())[:3]]
    where = [(reason, number) for reason, number in summary.failures.items() if reason not in causes]
    if where:
        shown = ", ".join(f"{number} x {cut(reason, 40)}" for reason, number in where[:2])
        parts.append(f"at {shown}{', ...' if len(where) > 2 else ''}")
    return f"; builds failed{':' if causes else ''} {'; '.join(parts)}" if parts else ""


def _duration(took: Distribution) -> str:
    if took.count == 1:
        return _seconds(took.mean)
    parts = ("mean", "p50", "p90", "p95", "p99", "max")
    return ", ".join(f"{name} {_seconds(getattr(took, name))}" for name in parts)


def _waiting(summary: Summary) -> str:
    return (
        f"a build: queue {_seconds(summary.queue_s.mean)}, boot {_seconds(summary.boot_s.mean)}; "
        f"a step: slot {_seconds(summary.slot_wait_s.mean)}, lock {_seconds(summary.lock_wait_s.mean)} (means)"
    )


def _step_time(one: StepTime) -> str:
    mean = format_duration(one.total_s / one.executions)
    return f"{percent(one.share):>4} {cut(one.step, _NAME)}: {one.executions} x {mean}"


def _steps(summary: Summary) -> str:
    steps = summary.steps
    if steps.outcomes is None:
        return "n/a"
    missed = ", ".join(f"{name} {number}" for name, number in (steps.misses or {}).items() if name != "unknown")
    shown = _tally({name: number for name, number in steps.outcomes.items() if number})
    return (shown or "none") + (f"; missed: {missed}" if missed else "")


def _work(summary: Summary) -> str:
    """CPU used, lost and saved, in core-seconds."""
    work = summary.work
    if summary.steps.outcomes is None:
        return "n/a"
    lost = {"failed": work.failed_s, "cancelled": work.cancelled_s}
    saved = {"dedup": work.saved_dedup_s, "cache": work.saved_cache_s}
    return f"{show('cpu_s', work.cpu_s)} core-s{_amounts('lost', lost)}{_amounts('saved', saved)}"


def _again(summary: Summary) -> str:
    work = summary.work
    again = {"clones": work.again_clone_s, "eviction": work.again_evicted_s, "--no-cache": work.again_no_cache_s}
    return _amounts("done again", again).removeprefix("; ")


def _amounts(label: str, parts: Mapping[str, float | None]) -> str:
    """`; lost: failed 12, cancelled 3`: what is nothing is left out, what is unknown is not."""
    shown = [f"{name} {show('cpu_s', value)}" for name, value in parts.items() if value is None or value > 0]
    return f"; {label}: {', '.join(shown)}" if shown else ""


def _exports(summary: Summary) -> str:
    took = summary.export_s
    if not took.count:
        return ""
    return f"{count(took.count, 'export')}: {_duration(took)}"


def _dedup(summary: Summary) -> str:
    dedup = summary.dedup
    if dedup.wait_s.total is None:
        return "n/a"
    if not dedup.wait_s.count:
        return "nothing was shared in flight"
    return f"{count(dedup.wait_s.count, 'step')} shared, {_exact(dedup.wait_s.total)} of waiting in all"


def _clones(summary: Summary) -> str:
    clones = sum(pool.clones for pool in summary.pools)
    if not clones:
        return ""
    again = count(summary.steps.clone_repeats or 0, "step")
    return f"{count(clones, 'clone')}; {again} done again because of them"


def _pools(summary: Summary) -> list[str]:
    lines = []
    for pool in summary.pools[:6]:
        share = "n/a" if pool.utilisation is None else percent(pool.utilisation)
        up = "n/a" if pool.up_s is None else f"{pool.up_s / 60:,.1f} min up"
        lines.append(f"{pool.pool}: {count(pool.runners, 'runner')}, {up}, utilisation {share}")
    if len(summary.pools) > 6:
        lines.append(f"and {len(summary.pools) - 6} more pools")
    return lines


def _money(summary: Summary) -> str:
    money = summary.money
    if money.total_usd is None:
        return "no price of a minute is known"
    parts = [f"minutes {show('minutes_usd', money.minutes_usd)} (paid by each {money.per})"]
    more = (("cache", money.cache_usd), ("standby", money.standby_usd), ("waiting", money.waiting_usd))
    for name, value in more:
        if value:
            parts.append(f"{name} {format_money(value)}")
    left = f"; not priced: {', '.join(money.left_out)}" if money.left_out else ""
    each = show("minutes_usd", money.per_request_usd)
    return f"{format_money(money.total_usd)}, {each} a request: {', '.join(parts)}{left}"


def _priors(summary: Summary) -> str:
    if summary.prior_share is None:
        return ""
    return f"{percent(summary.prior_share)} of the predicted time rests on priors (documented guesses)"


def _warmup(summary: Summary) -> str:
    """Nothing to say when the warm-up is long enough, or the run is too short to be judged at all."""
    found = summary.warmup
    if found is None or found.is_enough:
        return ""
    if found.needed_s is None:
        return (
            f"{count(found.requests, 'answered request')}: too few to tell how long the warm-up is; make the run longer"
        )
    seen = (
        f"seems to last longer than {format_duration(found.given_s)}" if found.given_s else "none is set, one is seen"
    )
    means = f"mean duration {_seconds(found.mean_needed_s)} instead of {_seconds(found.mean_s)}"
    return f"{seen}: set warmup: {ceil(found.needed_s / 60)}m ({means}; MSER-5)"
