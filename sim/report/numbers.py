"""How a measure is shown: its name in words, its unit, its interval.

In: a measure's name (`p95_duration`, `cost_per_request`) and values in seconds, dollars, shares. Out: short texts.
"""

from __future__ import annotations

from math import isnan

from sim.study.interval import Interval
from sim.units import format_duration, format_money

# Measures of `sim.study.measures` in the order of a report: name, words.
SHOWN = {
    "requests": "requests",
    "mean_duration": "duration, mean",
    "p50_duration": "duration, p50",
    "p90_duration": "duration, p90",
    "p95_duration": "duration, p95",
    "p99_duration": "duration, p99",
    "makespan": "makespan",
    "queue_s": "queue, mean a build",
    "boot_s": "boot, mean a build",
    "slot_wait_s": "slot wait, mean a step",
    "export_s": "export, mean",
    "stretch": "contention (x time alone)",
    "hit_share": "steps cached or shared",
    "executed_steps": "steps executed",
    "cpu_s": "CPU work, core-s",
    "dedup_wait_s": "dedup waits, in all",
    "dedup_saved_cpu_s": "CPU saved by dedup, core-s",
    "cache_saved_cpu_s": "CPU saved by the cache, core-s",
    "lost_cpu_s": "CPU lost to failures and cancelling, core-s",
    "clones": "clones",
    "clone_repeats": "steps done again by clones",
    "clone_repeat_cpu_s": "CPU done again by clones, core-s",
    "evicted_repeat_cpu_s": "CPU done again after eviction, core-s",
    "no_cache_repeat_cpu_s": "CPU done again for --no-cache, core-s",
    "wasted_cpu_s": "CPU lost or done again, core-s",
    "runners": "runners started",
    "utilisation": "utilisation",
    "runner_minutes": "runner minutes",
    "lease_minutes": "lease minutes",
    "failed": "requests failed",
    "cancelled": "requests cancelled",
    "timed_out": "requests timed out",
    "minutes_usd": "money, minutes",
    "cache_usd": "money, cache",
    "standby_usd": "money, standby",
    "waiting_usd": "money, waiting people",
    "cost_per_request": "money a request",
    "prior_share": "share on priors",
}
_SHARES = {"hit_share", "utilisation", "prior_share"}


def words(name: str) -> str:
    """A measure's name in words."""
    return SHOWN.get(name, name.replace("_", " "))


def show(name: str, value: float | None, *, signed: bool = False) -> str:
    """A value with its unit; `n/a` for nan and None."""
    if value is None or isnan(value):
        return "n/a"
    sign = "+" if signed and value > 0 else ""
    return sign + _plain(name, value)


def show_interval(name: str, interval: Interval, *, signed: bool = False) -> str:
    """`12.3 s [11.9 s, 12.7 s]`; the mean alone where one run gives no interval."""
    mean = show(name, interval.mean, signed=signed)
    if isnan(interval.low):
        return mean
    low, high = (show(name, value, signed=signed) for value in (interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def count(number: int, one: str, many: str = "") -> str:
    """`1 build`, `2 builds`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """`42%`, `3.2%`: a share of a run is not known better."""
    return f"{100 * share:.0f}%" if abs(share) >= 0.1 or share == 0 else f"{100 * share:.1f}%"


def clock(start_s: float, at_s: float, *, with_day: bool = False) -> str:
    """Wall-clock time of a moment of the run: `10:01:00`, `tue 10:01:00`; `start_s` counts from Monday 00:00."""
    days, second = divmod(int(start_s + at_s), 86400)
    time = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    if not with_day:
        return time
    week = f"week {days // 7 + 1} " if days >= 7 else ""
    return f"{week}{('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')[days % 7]} {time}"


def _plain(name: str, value: float) -> str:
    if name.endswith("_usd") or name.startswith("cost_"):
        return format_money(value)
    if name in _SHARES:
        return percent(value)
    if name.endswith("_duration") or name == "makespan" or (name.endswith("_s") and not name.endswith("cpu_s")):
        return format_duration(value)
    if name == "stretch":
        return f"{value:.2f}"
    value = round(value, 1) + 0.0  # no -0.0
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
