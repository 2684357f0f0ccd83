"""Who pays what: minutes and dollars of leases, runners and caches, split over the builds that caused them.

In: a trace with prices. Out: one amount a build, so that any grouping of builds adds up to the whole. A lease lasts
from its runner's readiness to the end of its last build; a runner is paid while it is up. Which of both a vendor bills
is often not said (farm-facts A1), so both are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.distribution import locate
from sim.trace import Codes, Numbers, Trace

MONTH_S = 8760 / 12 * 3600.0  # prices per GB-month are for an average month (farm-facts A1: averaged over the month)
GB = 1e9  # vendors count cache in decimal gigabytes (farm-facts A1: size*1e9)


@dataclass(frozen=True, slots=True)
class Bill:
    """One value a build row; nan is unknown, and builds that are not measured carry 0."""

    lease_s: Numbers
    runner_s: Numbers
    lease_usd: Numbers
    runner_usd: Numbers
    cache_usd: Numbers
    standby_usd: Numbers


def measured_builds(trace: Trace) -> NDArray[np.bool_]:
    """Builds of requests that arrived after the warm-up."""
    _, of_build, arrived_s = request_arrivals(trace)
    late: NDArray[np.bool_] = ~(arrived_s < trace.meta.warmup_s)
    return late[of_build]


def request_arrivals(trace: Trace) -> tuple[Numbers, Codes, Numbers]:
    """Request ids in order, the request's position of each build, and each request's arrival in seconds."""
    ids, of_build = np.unique(trace.builds.numbers("request"), return_inverse=True)
    arrived_s = np.full(ids.size, np.inf)
    np.minimum.at(arrived_s, of_build, trace.builds.numbers("arrived_s"))
    return ids, of_build.astype(np.int64), arrived_s


def end_s(trace: Trace) -> float:
    """When the run ended: the last event, or the horizon if that is later."""
    times = [0.0, trace.meta.horizon_s or 0.0]
    for table, name in ((trace.builds, "completed_s"), (trace.runners, "stopped_s"), (trace.runners, "ready_s")):
        times.append(float(np.max(table.numbers(name), initial=0.0, where=~np.isnan(table.numbers(name)))))
    return max(time for time in times if np.isfinite(time))


def runner_up_s(trace: Trace) -> Numbers:
    """Seconds that each runner was up after the warm-up; one that never became ready was up for 0."""
    ready_s, stopped_s = trace.runners.numbers("ready_s"), trace.runners.numbers("stopped_s")
    until_s = np.where(np.isnan(stopped_s), end_s(trace), stopped_s)
    up_s = np.maximum(until_s - np.maximum(ready_s, trace.meta.warmup_s), 0.0)
    used = np.zeros(ready_s.size, dtype=bool)
    rows = locate(trace.runners.numbers("runner"), trace.builds.numbers("runner"))
    used[rows[rows >= 0]] = True
    return np.where(np.isnan(ready_s) & ~used, 0.0, up_s)


def pools_of_runners(trace: Trace) -> list[str]:
    """`project platform` of each runner row."""
    return [f"{project} {platform}" for project, platform in zip(*map(trace.runners.__getitem__, _POOL), strict=True)]


def bill(trace: Trace, measured: NDArray[np.bool_]) -> Bill:
    """Split the run's bill over its measured builds."""
    builds, runner_pool = trace.builds, pools_of_runners(trace)
    at = locate(trace.runners.numbers("runner"), builds.numbers("runner"))
    stated = zip(builds["project"], builds["platforms"], at.tolist(), strict=True)
    pool = [runner_pool[row] if row >= 0 else f"{project} {','.join(on or ())}" for project, on, row in stated]
    busy_s = _busy_s(trace)
    lease_s = np.where(measured, _lease_s(trace, busy_s), 0.0)
    shares = _runner_shares(trace, np.where(measured, np.nan_to_num(busy_s), 0.0), measured, at, pool, runner_pool)
    runner_s, runner_usd = shares
    minute = np.array([trace.meta.prices.minute.get(name, np.nan) for name in pool], dtype=np.float64)
    lease_usd = np.where(lease_s == 0, 0.0, lease_s / 60 * minute)
    each = max(int(measured.sum()), 1)
    cache_usd = np.where(measured, cache_cost(trace) / each, 0.0)
    standby_usd = np.where(measured, _standby_cost(trace) / each, 0.0)
    return Bill(lease_s, runner_s, lease_usd, runner_usd, cache_usd, standby_usd)


def cache_cost(trace: Trace) -> float:
    """Dollars for the base caches over the measured time; nan when their size or price is unknown."""
    price = trace.meta.prices.cache_gb_month
    if price is None or price == 0:
        return 0.0 if price == 0 else np.nan
    total_s = end_s(trace)
    byte_s = trace.meta.cache_byte_s if trace.meta.cache_byte_s is not None else _sampled_byte_s(trace, total_s)
    return price * byte_s * _measured_share(trace, total_s) / GB / MONTH_S


_POOL = ("project", "platform")


def _standby_cost(trace: Trace) -> float:
    """Dollars for machines on standby over the measured time."""
    cost = trace.meta.standby_usd
    return np.nan if cost is None else cost * _measured_share(trace, end_s(trace))


def _measured_share(trace: Trace, total_s: float) -> float:
    return max(1 - trace.meta.warmup_s / total_s, 0.0) if total_s else 0.0


def _busy_s(trace: Trace) -> Numbers:
    """From its runner's readiness to its end; 0 for a build that gave up before it had a runner."""
    builds = trace.builds
    gave_up = builds.equals("outcome", "timed_out") | builds.equals("outcome", "cancelled")
    ready_s = builds.numbers("ready_s")
    return np.where(np.isnan(ready_s) & gave_up, 0.0, builds.numbers("completed_s") - ready_s)


def _lease_s(trace: Trace, busy_s: Numbers) -> Numbers:
    """Each lease's time, split over its builds by their own; a build without a lease is its own."""
    builds = trace.builds
    lease = builds.numbers("lease")
    _, of_build = np.unique(np.where(np.isnan(lease), -1.0 - np.arange(lease.size), lease), return_inverse=True)
    count = int(of_build.max(initial=-1)) + 1
    begun_s, ended_s = np.full(count, np.inf), np.full(count, -np.inf)
    ran = ~(np.isnan(builds.numbers("ready_s")) & (busy_s == 0))
    np.minimum.at(begun_s, of_build[ran], builds.numbers("ready_s")[ran])
    np.maximum.at(ended_s, of_build[ran], builds.numbers("completed_s")[ran])
    lasted_s = np.where(np.isinf(begun_s), 0.0, ended_s - begun_s)
    return lasted_s[of_build] * _share(busy_s, of_build, count)


def _share(weight: Numbers, group: Codes, count: int) -> Numbers:
    """Each one's part of its group's weight; equal parts where the group weighs nothing."""
    total, members = np.bincount(group, weight, count), np.bincount(group, minlength=count)
    even = total[group] == 0
    return np.where(even, 1.0 / members[group], weight / np.where(even, 1.0, total[group]))


def _runner_shares(
    trace: Trace, weight: Numbers, measured: NDArray[np.bool_], at: Codes, pool: list[str], runner_pool: list[str]
) -> tuple[Numbers, Numbers]:
    """Seconds and dollars of runners that fall to each build, by its time on them.

    A runner without a measured build is paid by its pool's builds, a pool without one by all.
    """
    up_s = runner_up_s(trace)
    minute = np.array([trace.meta.prices.minute.get(name, np.nan) for name in runner_pool], dtype=np.float64)
    amounts = [up_s, np.where(up_s == 0, 0.0, up_s / 60 * minute)]
    code_of = {name: code for code, name in enumerate(dict.fromkeys((*runner_pool, *pool)))}
    runner_code = np.array([code_of[name] for name in runner_pool], dtype=np.int64)
    build_code = np.array([code_of[name] for name in pool], dtype=np.int64)
    rest = [np.zeros(len(code_of)), np.zeros(len(code_of))]
    shares = [np.zeros(weight.size), np.zeros(weight.size)]
    if not measured.any():
        return shares[0], shares[1]
    if not up_s.size:  # the source does not know the runners
        return np.full(weight.size, np.nan), np.full(weight.size, np.nan)
    weight = np.where(measured, weight + 1e-9, 0.0)  # a build of no length still stands for its runner
    own = np.where(at >= 0, weight, 0.0)
    on_runner = np.bincount(np.maximum(at, 0), own, up_s.size)
    in_pool = np.bincount(build_code, weight, len(code_of))
    for amount, left, share in zip(amounts, rest, shares, strict=True):
        idle = on_runner == 0
        np.add.at(left, runner_code[idle], amount[idle])
        per_weight = amount / np.where(idle, 1.0, on_runner)
        share += np.where(own > 0, own * per_weight[np.maximum(at, 0)], 0.0)
        orphaned = left[in_pool == 0].sum()
        share += weight * (left / np.where(in_pool == 0, 1.0, in_pool))[build_code] + orphaned * weight / weight.sum()
    return shares[0], shares[1]


def _sampled_byte_s(trace: Trace, total_s: float) -> float:
    """The integral of the base caches' sampled sizes: a pool's last sample holds until the next, runner or not.

    Clones are temporary and not billed (farm-facts A1).
    """
    samples, runners = trace.samples, trace.runners
    at = locate(runners.numbers("runner"), samples.numbers("runner"))
    if not at.size or (at < 0).any() or np.isnan(samples.numbers("cache_bytes")).any():
        return np.nan
    is_base = np.isnan(runners.numbers("clone_of"))[at]
    pool = np.array(pools_of_runners(trace), dtype=object)[at]
    time_s, held_bytes = samples.numbers("time_s"), samples.numbers("cache_bytes")
    byte_s = 0.0
    for name in dict.fromkeys(pool[is_base].tolist()):
        rows = np.flatnonzero(is_base & (pool == name))
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        byte_s += float((np.diff(time_s[rows], append=max(total_s, time_s[rows[-1]])) * held_bytes[rows]).sum())
    return byte_s
