"""What a study keeps of a run: some forty numbers, so that a worker sends no trace home.

In: a trace. Out: `Measures`, by name; nan where the run cannot tell.
"""

from __future__ import annotations

from math import nan

from sim.metrics import objective, summarise
from sim.trace import Trace

Measures = dict[str, float]


def measure(trace: Trace) -> Measures:
    """The numbers of a run that comparisons and verdicts use. Seconds, core-seconds, dollars, shares."""
    summary = summarise(trace)[0]
    steps, dedup, money, work = summary.steps, summary.dedup, summary.money, summary.work
    outcomes = steps.outcomes or {}
    looked_up = sum(outcomes.get(name, 0) for name in ("executed", "cached", "shared", "failed"))
    found: dict[str, float | None] = {
        "cost_per_request": objective(trace, "cost_per_request"),
        "cost_per_lease_minute": objective(trace, "cost_per_request", per="lease"),
        "cost_per_runner_minute": objective(trace, "cost_per_request", per="runner"),
        "mean_duration": summary.duration_s.mean,
        "p50_duration": summary.duration_s.p50,
        "p90_duration": summary.duration_s.p90,
        "p95_duration": summary.duration_s.p95,
        "p99_duration": summary.duration_s.p99,
        "makespan": float(trace.builds.numbers("completed_s").max()) if len(trace.builds) else nan,
        "runner_minutes": summary.runner_minutes,
        "lease_minutes": summary.lease_minutes,
        "requests": summary.requests,
        "queue_s": summary.queue_s.mean,
        "boot_s": summary.boot_s.mean,
        "slot_wait_s": summary.slot_wait_s.mean,
        "dedup_wait_s": dedup.wait_s.total,
        "export_s": summary.export_s.mean,
        "cpu_s": work.cpu_s,
        "dedup_saved_cpu_s": work.saved_dedup_s,
        "cache_saved_cpu_s": work.saved_cache_s,
        "lost_cpu_s": work.lost_s,
        "evicted_repeat_cpu_s": work.again_evicted_s,
        "no_cache_repeat_cpu_s": work.again_no_cache_s,
        "wasted_cpu_s": _sum(work.lost_s, work.again_clone_s, work.again_evicted_s, work.again_no_cache_s),
        "hit_share": _share(outcomes.get("cached", 0) + outcomes.get("shared", 0), looked_up),
        "executed_steps": outcomes.get("executed", 0),
        "clone_repeats": steps.clone_repeats,
        "clone_repeat_cpu_s": work.again_clone_s,
        "stretch": trace.meta.stretch,
        "utilisation": _utilisation(trace),
        "clones": sum(pool.clones for pool in summary.pools),
        "runners": sum(pool.runners for pool in summary.pools),
        "failed": summary.request_outcomes.get("failed", 0),
        "cancelled": summary.request_outcomes.get("cancelled", 0),
        "timed_out": summary.request_outcomes.get("timed_out", 0),
        "minutes_usd": money.minutes_usd,
        "cache_usd": money.cache_usd,
        "standby_usd": money.standby_usd,
        "waiting_usd": money.waiting_usd,
        "prior_share": summary.prior_share,
        "short_warmup": float(summary.warmup is not None and not summary.warmup.is_enough),
    }
    return {name: nan if value is None else float(value) for name, value in found.items()}


def _sum(*parts: float | None) -> float:
    return sum(nan if part is None else part for part in parts)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else nan


def _utilisation(trace: Trace) -> float:
    """CPU used of CPU that was up, over all pools."""
    runners, steps = trace.runners, trace.steps
    if not len(steps):
        return nan
    cpu_s = float(steps.numbers("cpu_s").sum())
    up_s = runners.numbers("stopped_s") - runners.numbers("ready_s")
    offered_s = float((up_s * runners.numbers("cpus")).sum())
    return _share(cpu_s, offered_s)
