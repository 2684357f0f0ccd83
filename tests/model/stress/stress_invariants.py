"""What must hold of any run: in its trace, on its machines, on its disks.

In: `Ran`, a run and what it has left behind. Out: nothing, or a failed assertion that says where.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import pytest
from stress_worlds import Drawn

from sim.metrics import summarise
from sim.model.buildkit.daemon import Daemon
from sim.model.store.collection import is_over
from sim.model.world import World
from sim.trace import OUT_OF_MEMORY, Trace

CLOSE = 1e-6
BROKEN_OFF = {"failed", "cancelled", "timed_out"}
ENDS = {"ok"} | BROKEN_OFF


@dataclass
class Ran:
    """A run, and what it has left behind."""

    drawn: Drawn
    trace: Trace
    world: World
    daemons: list[Daemon]

    @property
    def builds(self):
        return rows(self.trace.builds)

    @property
    def steps(self):
        return rows(self.trace.steps)

    @property
    def runners(self):
        return rows(self.trace.runners)


def rows(table):
    """Rows as dicts; nan is None."""
    names = list(table.columns)
    return [dict(zip(names, row, strict=True)) for row in table.rows()]


# Ends and times.


def every_request_ends_once(ran):
    """Each request that was sent has one row for each of its targets on each of its leases, and each build one row."""
    builds = ran.builds
    assert len({build["build"] for build in builds}) == len(builds)
    assert {build["outcome"] for build in builds} <= ENDS
    wanted = {}
    for request in ran.drawn.requests:
        leases = ran.world.catalog.leases(request)
        wanted[request.index] = sorted((target, *place) for place, parts in leases.items() for target in parts)
    found = defaultdict(list)
    for build in builds:
        platform = _runner_platform(ran.drawn.farm, build["platforms"])
        found[build["request"]].append((build["target"], build["project"], platform))
    for index, parts in found.items():
        assert sorted(parts) == wanted[index]
    assert set(wanted) - set(found) == dropped(ran.drawn.requests, builds)


def _runner_platform(farm, platforms):
    native = [platform for platform in platforms if farm.platforms[platform] == 1.0]
    return native[0] if native else next(iter(farm.platforms))


def dropped(requests, builds):
    """Requests that never arrived: a newer one came first, or what they need was not ok."""
    outcomes = defaultdict(set)
    arrived_s = {}
    for build in builds:
        outcomes[build["request"]].add(build["outcome"])
        arrived_s[build["request"]] = build["arrived_s"]
    gone = set()
    for request in requests:
        if any(needed in gone or outcomes[needed] != {"ok"} for needed in request.needs):
            gone.add(request.index)
        elif request.index not in arrived_s:
            newer = request.superseded_by
            assert newer is not None, f"request {request.index} is nowhere"
            gone.add(request.index)
    return gone


def no_time_runs_backwards(ran):
    for build in ran.builds:
        times = [build[name] for name in ("arrived_s", "ready_s", "started_s", "completed_s")]
        in_order([time for time in times if time is not None])
        assert build["outcome"] != "ok" or None not in times
    of_build = {build["build"]: build for build in ran.builds}
    for step in ran.steps:
        build = of_build[step["build"]]
        if step["shared_with"] is None and step["outcome"] != "cached":
            in_order(
                [build["started_s"], step["ready_s"], step["started_s"], step["completed_s"], build["completed_s"]]
            )
            assert -CLOSE <= step["lock_wait_s"] <= step["completed_s"] - step["ready_s"] + CLOSE
        else:
            in_order([build["started_s"], step["ready_s"], build["completed_s"]])
        assert step["runner"] == build["runner"]
    for runner in ran.runners:
        in_order([runner[name] for name in ("requested_s", "ready_s", "stopped_s") if runner[name] is not None])
    ended_s = [build["completed_s"] for build in ran.builds]
    ended_s += [runner["stopped_s" if runner["reason"] == "idle" else "ready_s"] for runner in ran.runners]
    for runner in ran.runners:
        assert runner["reason"] == "idle" or runner["stopped_s"] == pytest.approx(max(ended_s))


def in_order(times):
    assert all(one <= other + 1e-9 for one, other in pairwise(times)), times


# Limits.


def slots_leases_and_instances_are_limited(ran):
    farm = ran.drawn.farm
    if farm.max_parallelism:
        running = defaultdict(list)
        for step in ran.steps:
            holds = step["kind"] in ("exec", "copy", "source", "context") and step["shared_with"] is None
            if holds and step["started_s"] is not None:
                running[step["runner"]].append((step["started_s"], step["completed_s"]))
        assert all(most_at_once(spans) <= farm.max_parallelism for spans in running.values())
    scaling = farm.autoscaling
    up = defaultdict(list)
    for runner in ran.runners:
        up[runner["project"], runner["platform"]].append((runner["requested_s"], runner["stopped_s"]))
    assert all(most_at_once(spans) <= (scaling.max_instances if scaling else 1) for spans in up.values())
    if scaling and scaling.on_full == "queue":
        of_runner = defaultdict(list)
        for (runner, _), spans in leases(ran).items():
            of_runner[runner].append((min(spans)[0], max(end for _, end in spans)))
        assert all(most_at_once(spans) <= scaling.builds_per_instance for spans in of_runner.values())


def leases(ran):
    """By (runner, lease) the spans of its builds on it."""
    found = defaultdict(list)
    for build in ran.builds:
        if build["ready_s"] is not None:
            found[build["runner"], build["lease"]].append((build["ready_s"], build["completed_s"]))
    return found


def most_at_once(spans):
    """How many spans (start, end, perhaps a weight) overlap at most; what takes no time does not count."""
    moves = []
    for start, end, *weight in spans:
        if end > start + 1e-9:
            moves += [(start + 1e-9, sum(weight or [1])), (end, -sum(weight or [1]))]
    busy = most = 0
    for _, change in sorted(moves):
        busy += change
        most = max(most, busy)
    return most


def memory_is_enough_for_all_that_live(ran):
    """Whoever would take the steps over the limit dies at once, so those that run never want more."""
    wanted = defaultdict(list)
    for step in ran.steps:
        if step["kind"] == "exec" and step["memory_peak_bytes"] and step["shared_with"] is None:
            began_s = step["started_s"] + step["lock_wait_s"]
            wanted[step["runner"]].append((began_s, step["completed_s"], step["memory_peak_bytes"]))
    for daemon in ran.daemons:
        assert most_at_once(wanted[daemon.runner]) <= daemon.memory.limit_bytes


def nothing_executes_twice_without_a_reason(ran):
    """But beside --no-cache builds: theirs takes the place of a running step in BuildKit's index (solver/index.go).

    One that is broken off while it waits for a slot has done that too, and is in no row.
    """
    if not ran.drawn.farm.dedup:
        return
    no_cache = {request.index for request in ran.drawn.requests if request.no_cache}
    of_build = {build["build"]: build["request"] for build in ran.builds}
    upset = {(step["runner"], step["key"]) for step in ran.steps if of_build[step["build"]] in no_cache}
    broken_off = {
        build["runner"] for build in ran.builds if build["request"] in no_cache and build["outcome"] in BROKEN_OFF
    }
    executed = defaultdict(list)
    for step in ran.steps:
        is_counted = step["kind"] in ("exec", "copy", "merge") and step["runner"] not in broken_off
        if is_counted and step["outcome"] == "executed":
            executed[step["runner"], step["key"]].append(step)
    for place, found in executed.items():
        if place not in upset:
            again = sorted(found, key=lambda step: step["started_s"])[1:]
            assert all(step["miss"] == "evicted" for step in again), (place, found)


# Conservation.


def work_is_conserved(ran):
    """What the rows say was used is what the machines delivered, runner by runner, and no machine gave more than it has."""
    said = defaultdict(float)
    for step in ran.steps:
        assert step["cpu_s"] >= -1e-12
        assert step["saved_cpu_s"] >= -1e-12
        said[step["runner"]] += step["cpu_s"]
    up = {runner["runner"]: (runner["ready_s"], runner["stopped_s"], runner["cpus"]) for runner in ran.runners}
    for daemon in ran.daemons:
        delivered_s = daemon.engine.cpu_s
        assert said[daemon.runner] == pytest.approx(delivered_s, rel=CLOSE, abs=CLOSE), f"runner {daemon.runner}"
        ready_s, stopped_s, cpus = up[daemon.runner]
        assert delivered_s <= cpus * (stopped_s - ready_s) + CLOSE
    assert set(said) <= {daemon.runner for daemon in ran.daemons}
    if ran.drawn.farm.host is not None:
        total_s = sum(daemon.engine.cpu_s for daemon in ran.daemons)
        assert total_s <= ran.drawn.farm.host.cpus * ran.world.env.now + CLOSE


def bytes_are_conserved(ran):
    """What the rows say went over a limited network is what it carried; of what was broken off it carried a part."""
    farm = ran.drawn.farm
    if farm.host is not None and isfinite(farm.host.network_bytes_per_s):
        carried = {None: ran.world._host.network.share.work_done}
    else:
        carried = {
            daemon.runner: daemon.engine._network.share.work_done for daemon in ran.daemons if daemon.engine._network
        }
    for runner, network_bytes in carried.items():
        mine = [step for step in ran.steps if runner in (None, step["runner"])]
        broken_off = [
            step for step in mine if step["outcome"] == "cancelled" or step["reason"].startswith(OUT_OF_MEMORY)
        ]
        said = sum(step["received_bytes"] + step["sent_bytes"] for step in mine)
        if broken_off:
            said -= sum(step["received_bytes"] + step["sent_bytes"] for step in broken_off)
            assert said <= network_bytes * (1 + CLOSE) + 1.0, f"runner {runner}"
        else:
            assert said == pytest.approx(network_bytes, rel=CLOSE, abs=1.0), f"runner {runner}"


def nothing_is_held_at_the_end(ran):
    for daemon in ran.daemons:
        assert daemon.volume.cache._disk.holds == {}
        assert daemon.memory.in_use_bytes == 0.0
        assert daemon.memory._claims == {}
        assert daemon._free == ran.drawn.farm.max_parallelism
        assert not daemon._queue
        assert not daemon._live
        assert not daemon._lockers
        assert not daemon.builds
        assert not daemon._mounts._taken
        assert not any(daemon._mounts._busy.values())
        assert not daemon._mounts._shares
        exporter = daemon.exporter
        assert not exporter.blobs._packing
        assert not exporter._pulls._coming
        assert (exporter._connections._free, exporter._session._free) == (4, 4)
        engine = daemon.engine
        assert [group.jobs for group in engine._cpus._groups] == [0, 0]
        assert all(shared is None or shared.share.jobs == 0 for shared in (engine._cpu, engine._network, engine._disk))
        assert not daemon.volume.copies._held
    for site in ran.world._sites.values():
        assert not site._leases
        assert not site._pool.waiting


def disks_add_up(ran):
    """Used bytes are the sum of what is there, also for clones; children have parents; the last collection left no excess."""
    caches = {id(daemon.volume.cache): daemon.volume.cache for daemon in ran.daemons}
    caches |= {id(site.base.cache): site.base.cache for site in ran.world._sites.values()}
    for cache in caches.values():
        used_bytes = cache.used_bytes
        cache._stand_alone()
        disk = cache._disk
        assert sum(item.size_bytes for item in disk.items.values()) == pytest.approx(used_bytes, rel=CLOSE, abs=1.0)
        assert min((item.size_bytes for item in disk.items.values()), default=0.0) >= 0.0
        parents = Counter(parent for item in disk.items.values() for parent in item.parents)
        assert dict(parents) == disk.children
        assert all(parent in disk.items for parent in parents), "a snapshot stands on nothing"
    built_on = {build["runner"] for build in ran.builds if build["started_s"] is not None}
    until_the_end = {runner["runner"] for runner in ran.runners if runner["reason"] == "end of run"}
    for daemon in ran.daemons:
        if daemon.runner in built_on & until_the_end:
            disk, limits = daemon.volume.cache._disk, daemon.volume.cache.limits
            disk.settle()
            assert not is_over(disk.used_bytes, limits) or disk.candidates.oldest() is None


def money_adds_up(ran):
    """Leases and runners by the minute at their own price; saved and used CPU make what would have been used."""
    price = ran.trace.meta.prices.minute
    pool = {runner["runner"]: f"{runner['project']} {runner['platform']}" for runner in ran.runners}
    lease_usd = sum(
        (max(end for _, end in spans) - min(spans)[0]) / 60 * price[pool[runner]]
        for (runner, _), spans in leases(ran).items()
    )
    runner_usd = sum(
        (runner["stopped_s"] - runner["ready_s"]) / 60 * price[pool[runner["runner"]]]
        for runner in ran.runners
        if runner["ready_s"] is not None
    )
    [summary] = summarise(ran.trace)
    assert summary.money.lease_usd == pytest.approx(lease_usd, rel=CLOSE, abs=1e-9)
    assert summary.money.runner_usd == pytest.approx(runner_usd, rel=CLOSE, abs=1e-9)
    for by in ("target", "project", "platform"):
        parts = summarise(ran.trace, by=by)
        assert sum(part.money.lease_usd for part in parts) == pytest.approx(lease_usd, rel=CLOSE, abs=1e-9)
        assert sum(part.money.runner_usd for part in parts) == pytest.approx(runner_usd, rel=CLOSE, abs=1e-9)
    work = summary.work
    if work.cpu_s is not None:
        assert work.cpu_s == pytest.approx(work.executed_s + work.lost_s, rel=CLOSE, abs=1e-9)
        assert work.would_have_s == pytest.approx(work.cpu_s + work.saved_cache_s + work.saved_dedup_s, rel=CLOSE)


EVERY = (
    every_request_ends_once,
    no_time_runs_backwards,
    slots_leases_and_instances_are_limited,
    memory_is_enough_for_all_that_live,
    nothing_executes_twice_without_a_reason,
    work_is_conserved,
    bytes_are_conserved,
    nothing_is_held_at_the_end,
    disks_add_up,
    money_adds_up,
)
