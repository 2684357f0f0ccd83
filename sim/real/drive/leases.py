"""Which part of a request goes to which project and architecture, and which of its targets one client builds together.

In: a request, graphs, a farm. Out: `Part`s by lease; `Wave`s of a lease. The model's rules (sim.model.plan.catalog), without
costs: native platforms on runners of their own, emulated ones on the first's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.errors import InputError
from sim.graph import Graphs
from sim.scenario.farm import Farm
from sim.workload.request import Request

Place = tuple[str, str]  # project, architecture


@dataclass(frozen=True, slots=True)
class Part:
    """One target of a lease. `links` are its bases in the same lease, `imports` those in other projects.

    `exports`: other projects of this request import its result.
    """

    platforms: tuple[str, ...]
    links: tuple[str, ...]
    imports: tuple[str, ...]
    exports: bool


@dataclass(frozen=True, slots=True)
class Wave:
    """Targets of a lease that one client builds: they wait for the same bases of other projects."""

    targets: tuple[str, ...]
    needs: frozenset[str]


def leases_of(request: Request, graphs: Graphs, farm: Farm) -> dict[Place, dict[str, Part]]:
    """The parts of a request by lease. InputError: a platform that the farm has not, a base that nobody builds."""
    found: dict[Place, dict[str, Part]] = {}
    project_of = farm.projects
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


def waves(parts: Mapping[str, Part]) -> list[Wave]:
    """The targets of a lease by what they wait for. A target that is linked to waits for all that its base waits for.

    A client that waited for all of it would hold up targets that need nothing of it, and where bases and their consumers
    alternate between projects it would wait for ever.
    """
    needs: dict[str, frozenset[str]] = {}

    def needs_of(target: str) -> frozenset[str]:
        if target not in needs:
            part = parts[target]
            below = (needs_of(base) for base in part.links if base in parts)
            needs[target] = frozenset(part.imports).union(*below)
        return needs[target]

    grouped: dict[frozenset[str], list[str]] = {}
    for target in sorted(parts):
        grouped.setdefault(needs_of(target), []).append(target)
    return [Wave(tuple(targets), needed) for needed, targets in grouped.items()]


def bases_first(parts: Mapping[str, Part]) -> list[str]:
    """Targets by name, each behind its own bases. Links make no circle: the graph's reader refuses them."""
    ordered: dict[str, None] = {}

    def visit(target: str) -> None:
        for base in parts[target].links:
            if base in parts and base not in ordered:
                visit(base)
        ordered.setdefault(target)

    for target in sorted(parts):
        visit(target)
    return list(ordered)
