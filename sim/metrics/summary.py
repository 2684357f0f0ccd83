"""A run in the numbers that a person asks for, as a whole or per target, project or platform (issue 4, item 8).

In: a trace. Out: one `Summary` a group. Requests that arrived during the warm-up are left out; utilisation counts the
pools that the group's builds used, with all that ran on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from sim.metrics.bill import Bill, bill, measured_builds, pools_of_runners, runner_up_s
from sim.metrics.distribution import Distribution, locate, whole
from sim.metrics.requests import Payer, Requests, requests_of
from sim.metrics.steps import Dedup, StepCounts, StepFacts, causes, counts, dedup, step_facts, tally
from sim.metrics.warmup import Warmup, warmup_of
from sim.metrics.work import Work, work
from sim.trace import Codes, Json, Numbers, Trace, Words

By = Literal["scenario", "target", "project", "platform"]


@dataclass(frozen=True, slots=True)
class Money:
    """Dollars of the measured requests. `minutes_usd` is as billed (`per`): by lease or by runner; both are given.

    Machines on standby are paid by who pays for runners; a vendor that charges leases bears them. `total_usd` adds what is
    known; `left_out` names what is not. Without a price of minutes it is n/a.
    """

    per: Payer
    minutes_usd: float | None
    lease_usd: float | None
    runner_usd: float | None
    cache_usd: float | None
    standby_usd: float | None
    waiting_usd: float | None
    total_usd: float | None
    per_request_usd: float | None
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """The runners of a project on one architecture. `utilisation`: CPU used of CPU that was up, after the warm-up."""

    pool: str
    runners: int
    clones: int
    up_s: float | None
    cpu_s: float | None
    utilisation: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One group's numbers: seconds, core-seconds, dollars; None is n/a.

    `failures` counts failed and timed-out builds by what they say, `causes` by kind: "step failed", or why there was more to
    it (out of memory, keep-alive, no runner in time). `duration_s` is over requests that were not cancelled; queue and boot are
    over builds, and where boots are unknown the queue holds them. `prior_share` and `warmup` are of the whole run.
    """

    group: str
    requests: int
    builds: int
    request_outcomes: Mapping[str, int]
    build_outcomes: Mapping[str, int]
    failures: Mapping[str, int]
    causes: Mapping[str, int]
    duration_s: Distribution
    queue_s: Distribution
    boot_s: Distribution
    slot_wait_s: Distribution
    lock_wait_s: Distribution
    export_s: Distribution
    dedup: Dedup
    steps: StepCounts
    work: Work
    pools: tuple[Pool, ...]
    lease_minutes: float | None
    runner_minutes: float | None
    money: Money
    prior_share: float | None
    warmup: Warmup | None

    def to_json(self) -> dict[str, Json]:
        """Plain JSON: nested objects, null for n/a."""
        return asdict(self)


def summarise(trace: Trace, *, by: By = "scenario") -> list[Summary]:
    """Summaries of the groups in order of name; `by="scenario"` gives one."""
    measured = measured_builds(trace)
    facts = step_facts(trace)
    view = _View(
        trace, facts, bill(trace, measured), *_waits_for_runner(trace), causes(facts), _pools(facts), warmup_of(trace)
    )
    code, labels = _groups(trace, by)
    build_group = np.where(measured, code, -1)
    step_group = np.append(build_group, -1)[view.facts.build_row]
    parts = zip(labels, _rows_of(build_group, len(labels)), _rows_of(step_group, len(labels)), strict=True)
    found = [_summary(view, label, builds, steps) for label, builds, steps in parts if builds.size or by == "scenario"]
    return sorted(found, key=lambda one: one.group)


@dataclass(frozen=True, slots=True)
class _View:
    """All that is derived once and then sliced by group."""

    trace: Trace
    facts: StepFacts
    bill: Bill
    queue_s: Numbers
    boot_s: Numbers
    causes: Words
    pools: dict[str, Pool]
    warmup: Warmup | None


def _groups(trace: Trace, by: By) -> tuple[Codes, list[str]]:
    """The group of each build row, and the groups' names."""
    if by == "scenario":
        return np.zeros(len(trace.builds), dtype=np.int64), [trace.meta.name or "all"]
    words = trace.builds.words("platforms" if by == "platform" else by)
    labels = [label if isinstance(label, str) else ",".join(label) for label in words.labels]
    return np.where(words.codes < 0, len(labels), words.codes), [*labels, "unknown"]


def _rows_of(group: Codes, groups: int) -> Iterator[Codes]:
    """The rows of each group, in order."""
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group, np.arange(groups + 1), sorter=order)
    return (order[edges[one] : edges[one + 1]] for one in range(groups))


def _summary(view: _View, label: str, builds: Codes, steps: Codes) -> Summary:
    trace, facts = view.trace, view.facts
    seen = requests_of(trace, view.bill, builds, trace.meta.prices.per)
    outcome = trace.builds.words("outcome")
    bad = builds[(trace.builds.equals("outcome", "failed") | trace.builds.equals("outcome", "timed_out"))[builds]]
    ran = steps[(facts.ran & facts.is_step)[steps]]
    exported = steps[(facts.ran & facts.is_export)[steps]]
    has_steps = len(trace.steps) > 0
    lease_s, runner_s = whole(view.bill.lease_s[builds]), whole(view.bill.runner_s[builds])
    origin_s = trace.meta.origin_s
    return Summary(
        group=label,
        requests=seen.request.size,
        builds=builds.size,
        request_outcomes=_request_outcomes(seen),
        build_outcomes=tally(outcome, builds),
        failures=tally(trace.builds.words("reason"), bad),
        causes=tally(view.causes, bad),
        duration_s=Distribution.of(seen.duration_s[seen.answered()]),
        queue_s=Distribution.of(view.queue_s[builds]),
        boot_s=Distribution.of(view.boot_s[builds]),
        slot_wait_s=Distribution.of(facts.slot_wait_s[ran]) if has_steps else Distribution(),
        lock_wait_s=Distribution.of(trace.steps.numbers("lock_wait_s")[ran]) if has_steps else Distribution(),
        export_s=_took(trace, exported) if has_steps else Distribution(),
        dedup=dedup(facts, steps),
        steps=counts(facts, steps),
        work=work(facts, steps),
        pools=_pools_of(view, builds),
        lease_minutes=None if lease_s is None else lease_s / 60,
        runner_minutes=None if runner_s is None else runner_s / 60,
        money=_money(view, builds, seen),
        prior_share=origin_s.get("prior", 0.0) / sum(origin_s.values()) if sum(origin_s.values()) > 0 else None,
        warmup=view.warmup,
    )


def _took(trace: Trace, rows: Codes) -> Distribution:
    return Distribution.of((trace.steps.numbers("completed_s") - trace.steps.numbers("started_s"))[rows])


def _request_outcomes(seen: Requests) -> dict[str, int]:
    found = [str(outcome or "unknown") for outcome in seen.outcome.tolist()]
    return {name: found.count(name) for name in ("ok", "failed", "cancelled", "timed_out", "unknown") if name in found}


def _money(view: _View, builds: Codes, seen: Requests) -> Money:
    prices = view.trace.meta.prices
    lease_usd, runner_usd = whole(view.bill.lease_usd[builds]), whole(view.bill.runner_usd[builds])
    cache_usd = whole(view.bill.cache_usd[builds])
    hours = whole(seen.duration_s / 3600)
    waiting_usd = None if prices.wait_hour is None or hours is None else hours * prices.wait_hour
    minutes_usd = lease_usd if prices.per == "lease" else runner_usd
    standby_usd = 0.0 if prices.per == "lease" else whole(view.bill.standby_usd[builds])
    parts = {"minutes": minutes_usd, "cache": cache_usd, "standby": standby_usd, "waiting": waiting_usd}
    total_usd = None if minutes_usd is None else sum(part or 0.0 for part in parts.values())
    per_request_usd = None if total_usd is None or not seen.request.size else total_usd / seen.request.size
    left_out = tuple(name for name, part in parts.items() if part is None)
    return Money(
        per=prices.per,
        minutes_usd=minutes_usd,
        lease_usd=lease_usd,
        runner_usd=runner_usd,
        cache_usd=cache_usd,
        standby_usd=standby_usd,
        waiting_usd=waiting_usd,
        total_usd=total_usd,
        per_request_usd=per_request_usd,
        left_out=left_out,
    )


def _waits_for_runner(trace: Trace) -> tuple[Numbers, Numbers]:
    """Seconds in the queue and in booting, a build: its wait from arrival to readiness, apart by what its runner did.

    A build that gave up waited until its end.
    """
    builds, runners = trace.builds, trace.runners
    arrived_s, ready_s = builds.numbers("arrived_s"), builds.numbers("ready_s")
    gave_up = builds.equals("outcome", "timed_out") | builds.equals("outcome", "cancelled")
    until_s = np.where(np.isnan(ready_s) & gave_up, builds.numbers("completed_s"), ready_s)
    at = locate(runners.numbers("runner"), builds.numbers("runner"))
    requested_s = np.append(runners.numbers("requested_s"), np.nan)[at]
    up_s = np.append(runners.numbers("ready_s"), np.nan)[at]
    boot_s = np.maximum(np.minimum(up_s, until_s) - np.maximum(requested_s, arrived_s), 0.0)
    boot_s = np.where(up_s <= arrived_s, 0.0, boot_s)  # also where it is not known when that runner was asked for
    boot_s = np.where((at < 0) & gave_up, 0.0, boot_s)  # it never had a runner, so it all was queueing
    return until_s - arrived_s - np.nan_to_num(boot_s), boot_s


def _pools(facts: StepFacts) -> dict[str, Pool]:
    """Every pool's use, by its name."""
    trace = facts.trace
    runners, steps = trace.runners, trace.steps
    at = locate(runners.numbers("runner"), steps.numbers("runner"))
    weights = _cpu_after_warmup_s(facts)
    used_s = np.bincount(at + 1, weights, len(runners) + 1)[1:].astype(np.float64) if len(steps) else None
    up_s, cpus = runner_up_s(trace), runners.numbers("cpus")
    is_clone = ~np.isnan(runners.numbers("clone_of"))
    members: dict[str, list[int]] = {}
    for row, name in enumerate(pools_of_runners(trace)):
        members.setdefault(name, []).append(row)
    found = {}
    for name, rows in sorted(members.items()):
        cpu_s = None if used_s is None else whole(used_s[rows])
        offered_s = whole(up_s[rows] * cpus[rows])
        share = None if cpu_s is None or not offered_s else cpu_s / offered_s
        found[name] = Pool(name, len(rows), int(is_clone[rows].sum()), whole(up_s[rows]), cpu_s, share)
    return found


def _cpu_after_warmup_s(facts: StepFacts) -> Numbers:
    """Core-seconds of each step row, less the part that was used in the warm-up (a step's use is taken as even)."""
    steps, warmup_s, cpu_s = facts.trace.steps, facts.trace.meta.warmup_s, facts.cpu_s
    begun_s, ended_s = steps.numbers("started_s"), steps.numbers("completed_s")
    if warmup_s <= 0:
        return cpu_s
    length_s = ended_s - begun_s
    late = np.where(
        length_s > 0, (ended_s - np.maximum(begun_s, warmup_s)) / np.where(length_s > 0, length_s, 1.0), 1.0
    )
    return cpu_s * np.where(ended_s <= warmup_s, 0.0, np.clip(late, 0.0, 1.0))


def _pools_of(view: _View, builds: Codes) -> tuple[Pool, ...]:
    """The pools that these builds used."""
    at = locate(view.trace.runners.numbers("runner"), view.trace.builds.numbers("runner")[builds])
    names = pools_of_runners(view.trace)
    return tuple(view.pools[name] for name in sorted({names[row] for row in np.unique(at).tolist() if row >= 0}))
