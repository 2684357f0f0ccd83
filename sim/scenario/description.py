"""What will be simulated, in short lines for `buildcast check`.

In: a scenario and its resolved farm. Out: lines of text, then a line for each note.
"""

from __future__ import annotations

from math import inf

from sim.scenario.farm import Farm, Runner
from sim.scenario.fields.scenario import Scenario
from sim.scenario.fields.workload import Arrivals, Entry
from sim.units import DAY_S, HOUR_S, format_bytes, format_duration, format_money, format_share

_ENTRIES_SHOWN = 4
_NAMES_SHOWN = 6
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def describe(scenario: Scenario, farm: Farm) -> list[str]:
    """About ten lines: what is built, on which machines, when, until when; then `note:` lines."""
    title = f"{scenario.name}: {scenario.description}" if scenario.description else scenario.name
    lines = [
        title,
        _projects(scenario, farm),
        f"runner: {_machine(farm.runner)}; a runner for each project and platform ({_platforms(farm)})",
        *(
            f"override: {override.project or 'any project'} on {override.platform or 'any platform'}: "
            f"{_machine(override.runner)}"
            for override in farm.overrides
        ),
        *(() if farm.host is None else (f"host: {_machine(farm.host)}, under all runners",)),
        _scaling(farm),
        _life(farm),
        _cache(farm),
        _daemon(farm),
        _price(farm),
        *_workload(scenario),
        _end(scenario),
    ]
    return lines + [f"note: {note}" for note in scenario.notes]


def _projects(scenario: Scenario, farm: Farm) -> str:
    source = f"bake file {scenario.bake}" if scenario.bake is not None else "Dockerfiles"
    targets, projects = list(farm.projects), list(dict.fromkeys(farm.projects.values()))
    split = "1 project" if len(projects) == 1 else f"{len(projects)} projects ({_names(projects)})"
    return f"builds: {_count(len(targets), 'target')} ({_names(targets)}) from {source}, in {split}"


def _machine(runner: Runner) -> str:
    size = f"{runner.size}: " if runner.size else ""
    parts = [f"{runner.cpus:g} cpus"]
    if runner.memory_bytes != inf:
        parts.append(f"{_memory(runner.memory_bytes)} memory")
    if runner.network_bytes_per_s != inf:
        parts.append(f"network {format_bytes(runner.network_bytes_per_s)}/s")
    if runner.disk_write_bytes_per_s != inf:
        parts.append(f"disk writes {format_bytes(runner.disk_write_bytes_per_s)}/s")
    return size + ", ".join(parts)


def _memory(amount: float) -> str:
    """In GiB where that is a round number, as machines are sold."""
    gibibytes = amount / 2**30
    return f"{gibibytes:g} GiB" if gibibytes == round(gibibytes, 1) else format_bytes(amount)


def _platforms(farm: Farm) -> str:
    return ", ".join(
        name if slowdown == 1 else f"{name} emulated, {slowdown:g} x slower"
        for name, slowdown in farm.platforms.items()
    )


def _scaling(farm: Farm) -> str:
    scaling = farm.autoscaling
    if scaling is None:
        return "auto-scaling: off, all builds of a project and platform share one runner"
    full = "then builds queue" if scaling.on_full == "queue" else "then the least loaded runner is shared"
    return (
        f"auto-scaling: {_count(scaling.builds_per_instance, 'build')} a runner, up to {scaling.max_instances} runners "
        f"a pool, {full}; clones: {farm.write_back.replace('_', ' ')}"
    )


def _life(farm: Farm) -> str:
    parts = [f"boot {format_duration(farm.boot_s)}", f"clone {format_duration(farm.clone_s)}"]
    if farm.boot_law == "exponential":
        parts[0] += " on average (exponential)"
    if farm.boots_at_once:
        parts[0] += f", {farm.boots_at_once} at once on the whole farm"
    if farm.standby_count:
        parts.append(f"{farm.standby_count} on standby a platform (boot {format_duration(farm.standby_boot_s)})")
    parts.append(
        "never stops" if farm.idle_timeout_s == inf else f"stops after {format_duration(farm.idle_timeout_s)} idle"
    )
    if farm.acquire_timeout_s != inf:
        parts.append(f"a build gives up after {format_duration(farm.acquire_timeout_s)} without a runner")
    return "life of a runner: " + ", ".join(parts)


def _cache(farm: Farm) -> str:
    cache = farm.cache
    keep = "kept for ever" if cache.keep_s == inf else f"kept {format_duration(cache.keep_s)}"
    start = "with the base images" if cache.start == "images" else cache.start
    return f"cache: {format_bytes(cache.max_bytes)} a project and platform, {keep}, {cache.policy}, starts {start}"


def _daemon(farm: Farm) -> str:
    slots = f"{farm.max_parallelism} steps at once" if farm.max_parallelism else "any number of steps at once"
    dedup = "" if farm.dedup else ", equal steps are NOT shared"
    barrier = "" if farm.bake_link_barrier else ", linked bake targets start before their base is complete"
    lost = "" if farm.keep_alive_limit == inf else f", all builds lost beyond {farm.keep_alive_limit:g} x the memory"
    return f"daemon: {slots}, routing {farm.routing.replace('_', ' ')}{dedup}{barrier}{lost}"


def _price(farm: Farm) -> str:
    price = farm.price
    parts = []
    if farm.runner.price_per_minute:
        standby = " and each machine on standby" if farm.standby_count and price.per == "runner" else ""
        parts.append(f"{format_money(farm.runner.price_per_minute)} a minute of each {price.per}{standby}")
    if price.cache_gb_month:
        parts.append(f"{format_money(price.cache_gb_month)} a GB of cache and month")
    if price.wait_hour:
        parts.append(f"{format_money(price.wait_hour)} an hour of waiting people")
    return "price: " + (", ".join(parts) or "none, so no costs are shown")


def _workload(scenario: Scenario) -> list[str]:
    lines = [f"workload: {_entry(entry)}" for entry in scenario.workload[:_ENTRIES_SHOWN]]
    if (more := len(scenario.workload) - _ENTRIES_SHOWN) > 0:
        lines.append(f"workload: and {_count(more, 'more entry', 'more entries')}")
    return lines


def _entry(entry: Entry) -> str:
    builds = "; ".join(_names(job.build) for job in entry.jobs[:_ENTRIES_SHOWN])
    more = ", ..." if len(entry.jobs) > _ENTRIES_SHOWN else ""
    branches = f" on {entry.branches} branches" if entry.branches > 1 else ""
    return f"{_arrivals(entry.arrivals)}{branches}, each builds {builds}{more}"


def _arrivals(arrivals: Arrivals) -> str:
    if arrivals.rate is not None:
        bursts = f", cv {arrivals.cv:g}" if arrivals.cv != 1 else ""
        return f"{arrivals.rate * HOUR_S:g} pushes an hour ({arrivals.pattern.replace('_', ' ')}{bursts})"
    if arrivals.times is not None:
        last = format_duration(max(arrivals.times))
        return f"{_count(len(arrivals.times), 'push', 'pushes')} at given times, the last at {last}"
    if arrivals.csv is not None:
        return f"pushes at the times of {arrivals.csv}"
    return f"{_count(arrivals.clients or 0, 'client')} that think {format_duration(arrivals.think)} between builds"


def _end(scenario: Scenario) -> str:
    day, second = divmod(scenario.start, DAY_S)
    start = f"{_WEEKDAYS[int(day)]} {int(second // HOUR_S):02d}:{int(second % HOUR_S // 60):02d}"
    if scenario.horizon is not None:
        end = f"{format_duration(scenario.horizon)} from {start}"
    elif scenario.requests is not None:
        end = f"{_count(scenario.requests, 'request')} from {start}"
    else:
        end = f"from {start} until all given times are done"
    warmup = f", the first {format_duration(scenario.warmup)} not counted" if scenario.warmup else ""
    slo = "".join(
        f", {name} below {format_duration(limit)}"
        for name, limit in (scenario.slo.limits if scenario.slo else {}).items()
    )
    objective = str(scenario.objective).replace("_", " ")
    return f"run: {end}{warmup}; objective {objective}{slo} (delta {format_share(scenario.delta)})"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _names(names: tuple[str, ...] | list[str]) -> str:
    more = f", +{len(names) - _NAMES_SHOWN}" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
