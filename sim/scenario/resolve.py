"""From what a person wrote to the numbers of a farm: preset below scenario, sizes, overrides, projects.

In: a `Scenario`, the targets of its graph and the project ids of its bake file. Out: `Farm`, and notes on what was
filled in. The defaults without a preset are a plain BuildKit daemon that is up already (those of `sim.scenario.farm`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import TypeVar

from sim.errors import InputError
from sim.scenario.farm import Autoscaling, CacheLimits, Farm, Override, Price, Runner
from sim.scenario.fields.farm import (
    CacheSection,
    FarmSection,
    OverrideSection,
    PriceSection,
    RunnerSection,
    StandbySection,
)
from sim.scenario.fields.preset import Preset, presets
from sim.scenario.fields.quantities import Section, nearest
from sim.scenario.fields.scenario import Scenario
from sim.units import format_bytes, format_money

ONE_PROJECT = "main"
DEFAULT_PLATFORM = "linux/amd64"

SectionT = TypeVar("SectionT", bound=Section)
T = TypeVar("T")


def resolve_farm(scenario: Scenario, targets: Sequence[str], project_ids: Mapping[str, str]) -> Farm:
    """The farm of a scenario whose graph has these targets. InputError: projects or overrides that name unknown ones.

    `project_ids` maps targets to the ids of the bake file; {} where it has none.
    """
    section = merged_section(scenario.farm)
    runner, _ = farm_runner(section)
    projects = _projects(scenario, targets, project_ids)
    platforms = section.platforms or dict.fromkeys(_platforms_of_targets(scenario), 1.0)
    _check_overrides(scenario, section, set(projects.values()), platforms)
    scaling = section.autoscaling
    cache, standby = section.cache or CacheSection(), section.standby or StandbySection()
    price = section.price or PriceSection()
    plain = Farm(runner=runner, projects=projects)
    return replace(
        plain,
        platforms=platforms,
        overrides=tuple(
            Override(one.project, one.platform, override_runner(section, one)) for one in section.overrides or ()
        ),
        max_parallelism=_given(section.max_parallelism, plain.max_parallelism),
        autoscaling=None
        if scaling is None
        else Autoscaling(scaling.builds_per_instance, scaling.max_instances, scaling.on_full),
        boot_s=_given(section.boot, plain.boot_s),
        boot_law=_given(section.boot_law, plain.boot_law),
        boots_at_once=_given(section.boots_at_once, plain.boots_at_once),
        clone_s=_given(section.clone, plain.clone_s),
        standby_count=_given(standby.count, plain.standby_count),
        standby_boot_s=_given(standby.boot, plain.standby_boot_s),
        idle_timeout_s=_given(section.idle_timeout, plain.idle_timeout_s),
        acquire_timeout_s=_given(section.acquire_timeout, plain.acquire_timeout_s),
        cache=CacheLimits(
            max_bytes=_given(cache.max, plain.cache.max_bytes),
            keep_s=_given(cache.keep, plain.cache.keep_s),
            policy=_given(cache.policy, plain.cache.policy),
            start=_given(cache.start, plain.cache.start),
        ),
        host=None if section.host is None else _adjusted(Runner(cpus=_given(section.host.cpus, 1.0)), section.host),
        keep_alive_limit=_given(section.keep_alive_limit, plain.keep_alive_limit),
        write_back=_given(section.write_back, plain.write_back),
        routing=_given(section.routing, plain.routing),
        dedup=_given(section.dedup, plain.dedup),
        bake_link_barrier=_given(section.bake_link_barrier, plain.bake_link_barrier),
        price=Price(
            per=_given(price.per, plain.price.per),
            cache_gb_month=_given(price.cache_gb_month, plain.price.cache_gb_month),
            wait_hour=_given(price.wait_hour, plain.price.wait_hour),
        ),
    )


def merged_section(section: FarmSection) -> FarmSection:
    """The written section over its preset's; a field set to null goes back to the plain default."""
    preset = _preset(section)
    return section if preset is None else _over(preset.farm, section)


def farm_runner(section: FarmSection) -> tuple[Runner, list[str]]:
    """The runner of a merged section, and notes on what was scaled or overridden. InputError without cpus."""
    own, preset = section.runner or RunnerSection(), _preset(section)
    minute = section.price.minute if section.price else None
    size = section.size or (preset.default_size if preset else None)
    if preset is None or size is None:
        if own.cpus is None:
            raise InputError("farm.runner.cpus: is missing", hint=cpus_hint(preset))
        runner, notes = _adjusted(Runner(cpus=own.cpus), own), []
    else:
        runner, notes = _adjusted(_sized(preset, size), own), _scaling_notes(preset, size, own, minute is None)
    if minute is not None:
        if runner.size and runner.price_per_minute not in (0.0, minute):
            listed = format_money(runner.price_per_minute)
            notes.append(f"price: {format_money(minute)} a minute as written; size {runner.size} lists {listed}")
        runner = replace(runner, price_per_minute=minute)
    return runner, notes


def override_runner(section: FarmSection, override: OverrideSection) -> Runner:
    """An override's machine: its size, with the price changed as the farm's own was; without a size the farm's."""
    base, _ = farm_runner(section)
    preset = _preset(section)
    if override.size is not None and preset is not None:
        size = section.size or preset.default_size
        listed = preset.sizes[size].minute if size is not None else None
        minute = section.price.minute if section.price else None
        base = _sized(preset, override.size)
        if minute is not None and listed:
            base = replace(base, price_per_minute=base.price_per_minute * minute / listed)
        if section.runner is not None:  # cpus and memory go with the size; disk and network stay as written
            base = _adjusted(base, section.runner.model_copy(update={"cpus": None, "memory": None}))
    return _adjusted(base, override.runner or RunnerSection())


def farm_notes(section: FarmSection) -> list[str]:
    """What was filled in for the writer: scaled memory and price, and what nobody knows of the preset."""
    preset = _preset(section)
    _, notes = farm_runner(merged_section(section))
    if preset is not None and preset.unknown:
        notes.append(f"preset {section.preset}: no source for {', '.join(preset.unknown)}; check these numbers")
    return notes


def cpus_hint(preset: Preset | None) -> str:
    """What to write where the number of cpus is not known."""
    if preset is None:
        return "write runner: {cpus: 16, memory: 32GiB} or a preset, as preset: depot"
    if preset.sizes:
        return f"choose a size ({', '.join(preset.sizes)}) or write runner: {{cpus: 16, memory: 32GiB}}"
    return f"the machines of {preset.title} are not published; write runner: {{cpus: 16, memory: 32GiB}}"


def _preset(section: FarmSection) -> Preset | None:
    return None if section.preset is None else presets()[section.preset]


def _given(value: T | None, default: T) -> T:
    return default if value is None else value


def _over(base: SectionT, top: SectionT) -> SectionT:
    """`top` where it says something, `base` elsewhere, section by section."""
    update: dict[str, object] = {}
    for name in top.model_fields_set:
        value, below = getattr(top, name), getattr(base, name)
        if isinstance(value, Section) and type(value) is type(below):
            value = _over(below, value)
        update[name] = value
    return base.model_copy(update=update)


def _sized(preset: Preset, size: str) -> Runner:
    machine = preset.sizes[size]
    runner = Runner(cpus=_given(machine.cpus, 1.0), price_per_minute=_given(machine.minute, 0.0), size=size)
    return replace(_adjusted(runner, machine), size=size)


def _adjusted(base: Runner, own: RunnerSection) -> Runner:
    """`base` with what `own` says. Other cpus scale price and, where none is given, memory (design section 3)."""
    cpus = _given(own.cpus, base.cpus)
    scale = cpus / base.cpus
    is_size = scale == 1 and own.memory in (None, base.memory_bytes)
    return Runner(
        cpus=cpus,
        memory_bytes=_given(own.memory, base.memory_bytes * scale),
        disk_read_bytes_per_s=_given(own.disk_read, base.disk_read_bytes_per_s),
        disk_write_bytes_per_s=_given(own.disk_write, base.disk_write_bytes_per_s),
        network_bytes_per_s=_given(own.network, base.network_bytes_per_s),
        price_per_minute=base.price_per_minute * scale,
        size=base.size if is_size else "",
    )


def _scaling_notes(preset: Preset, size: str, own: RunnerSection, price_is_scaled: bool) -> list[str]:
    base = _sized(preset, size)
    made = _adjusted(base, own)
    scaled = []
    if own.memory is None and made.memory_bytes not in (inf, base.memory_bytes):
        scaled.append(f"memory {format_bytes(made.memory_bytes)}")
    if price_is_scaled and made.price_per_minute != base.price_per_minute:
        scaled.append(f"price {format_money(made.price_per_minute)} a minute")
    if not scaled:
        return []
    return [f"{made.cpus:g} cpus: {' and '.join(scaled)} scaled pro rata from size {size} ({base.cpus:g} cpus)"]


def _platforms_of_targets(scenario: Scenario) -> list[str]:
    """The platforms that the targets ask for, in their order; a preset or `farm.platforms` goes before this."""
    asked = [platform for target in (scenario.targets or {}).values() for platform in target.platforms]
    return list(dict.fromkeys(asked)) or [DEFAULT_PLATFORM]


def _projects(scenario: Scenario, targets: Sequence[str], ids: Mapping[str, str]) -> dict[str, str]:
    """Target to project. Without `projects`: the bake file's ids if every target has one, else one project."""
    rule = scenario.projects
    if rule is None:
        rule = "from_bake" if targets and all(target in ids for target in targets) else "one"
    if rule == "one":
        return dict.fromkeys(targets, ONE_PROJECT)
    if rule == "per_target":
        return {target: target for target in targets}
    if isinstance(rule, dict):
        return _grouped(scenario, rule, targets, ids)
    lacking = [target for target in targets if target not in ids]
    if lacking:
        raise scenario.problem(
            ("projects",),
            f"from_bake: no project id for target {_listed(lacking)}",
            "add project_id to the bake file, or write projects: one or {project: [targets]}",
        )
    return {target: ids[target] for target in targets}


def _grouped(
    scenario: Scenario, groups: Mapping[str, Sequence[str]], targets: Sequence[str], ids: Mapping[str, str]
) -> dict[str, str]:
    """Explicit groups go before the bake file's ids; a target that has neither is an error, as it is at Depot."""
    found: dict[str, str] = {}
    for project, names in groups.items():
        for name in names:
            if name not in targets:
                raise scenario.problem(("projects", project), f"unknown target '{name}'", nearest(name, targets))
            if name in found:
                raise scenario.problem(
                    ("projects", project), f"target '{name}' is in project '{found[name]}' too", "name it once"
                )
            found[name] = project
    placed = {target: found.get(target, ids.get(target, "")) for target in targets}
    lacking = [target for target, project in placed.items() if not project]
    if lacking:
        raise scenario.problem(
            ("projects",), f"no project for target {_listed(lacking)}", "add it to one of the projects"
        )
    return placed


def _check_overrides(
    scenario: Scenario, section: FarmSection, projects: set[str], platforms: Mapping[str, float]
) -> None:
    for index, override in enumerate(section.overrides or ()):
        at = ("farm", "overrides", index)
        if override.project is not None and override.project not in projects:
            hint = nearest(override.project, sorted(projects))
            raise scenario.problem((*at, "project"), f"unknown project '{override.project}'", hint)
        if override.platform is not None and override.platform not in platforms:
            hint = nearest(override.platform, platforms)
            raise scenario.problem((*at, "platform"), f"the farm has no platform '{override.platform}'", hint)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
