"""Which part of a request goes to which project and architecture, and what it exports.

In: a request, graphs, a farm. Out: `Part`s by lease: native platforms on runners of their own, emulated ones on the first's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sim.errors import InputError
from sim.graph import Graphs
from sim.scenario.farm import Farm
from sim.workload.output import Output, outputs_of
from sim.workload.request import Request

Place = tuple[str, str]
"""A project and an architecture."""

_FARM_CACHE = Output("cacheonly", cache_to="registry", cache_mode="max", cache_from="registry")


@dataclass(frozen=True, slots=True)
class Part:
    """One target of a lease. `links` are its bases in the same lease, `imports` those in other projects.

    `exports`: other projects of this request import its result.
    """

    platforms: tuple[str, ...]
    links: tuple[str, ...]
    imports: tuple[str, ...]
    exports: bool


def leases_of(request: Request, graphs: Graphs, farm: Farm) -> dict[Place, dict[str, Part]]:
    """The parts of a request by lease. InputError: no project, a platform that the farm has not, a base that nobody builds."""
    found: dict[Place, dict[str, Part]] = {}
    project_of = farm.projects
    for target in request.targets:
        if target not in project_of:
            raise InputError(f"target {target} belongs to no project", where="farm.projects")
    links = {target: graphs.links(target) for target in request.targets}
    imported = {base for target, bases in links.items() for base in bases if project_of[base] != project_of[target]}
    for target, bases in links.items():
        project = project_of[target]
        own = tuple(base for base in bases if project_of[base] == project)
        other = tuple(base for base in bases if project_of[base] != project)
        for base in other:
            if base not in request.targets:
                what = f"request {request.index} builds {target}, which imports {base}, and not {base} itself"
                raise InputError(what, hint=f"add {base} to what it builds")
        for platform, platforms in runner_platforms(graphs.platforms(target), target, farm).items():
            for base in other:
                if platform not in runner_platforms(graphs.platforms(base), base, farm):
                    raise InputError(f"target {target} imports {base}, which is not built for {platform}")
            part = Part(platforms, own, other, target in imported)
            found.setdefault((project, platform), {})[target] = part
    return found


def runner_platforms(platforms: tuple[str, ...], target: str, farm: Farm) -> dict[str, tuple[str, ...]]:
    """By runner's platform, what of the target is built there."""
    first = next(iter(farm.platforms))
    found: dict[str, tuple[str, ...]] = {}
    for platform in platforms:
        if platform not in farm.platforms:
            raise InputError(
                f"target {target} is built for {platform}, which the farm has not",
                where="farm.platforms",
                hint=f"add `{platform}: native`",
            )
        runs_on = platform if farm.platforms[platform] == 1.0 else first
        found[runs_on] = (*found.get(runs_on, ()), platform)
    return found


def outputs_on(farm: Farm, request: Request, own: tuple[str, ...]) -> tuple[Output, ...]:
    """What a build exports: its request's output, else the target's `own`; a registry cache also where the farm says so."""
    outputs = outputs_of(request.output, own)
    return (*outputs, _FARM_CACHE) if farm.write_back == "registry" else outputs


def sticky(request: Request) -> int:
    """A hash of what is asked, for sticky routing."""
    return int.from_bytes(blake2b(request.asked.encode(), digest_size=4).digest(), "big")


def bases_first(bases: Mapping[str, Sequence[str]]) -> list[str]:
    """Targets by name, each behind its own bases. Links make no circle: the graph's reader refuses them."""
    ordered: dict[str, None] = {}

    def visit(target: str) -> None:
        for base in bases[target]:
            if base in bases and base not in ordered:
                visit(base)
        ordered.setdefault(target)

    for target in sorted(bases):
        visit(target)
    return list(ordered)
