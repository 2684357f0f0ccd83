"""What clients build: synthetic steps with given costs, or the scenario's own files as they are.

In: graphs, costs, a farm. Out: a `Source`: words for buildctl and buildx, checkouts, and the way back from vertex names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sim import tools
from sim.dispatch.leases import runner_platforms
from sim.errors import InputError
from sim.graph import Graphs
from sim.graph.types import Graph
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.real.files import ClientFiles
from sim.real.recipe import Args, Key, Recipe, write
from sim.real.recipe import Checkout as Files
from sim.scenario.farm import Farm
from sim.workload.request import Content, Request

Imported = Mapping[str, tuple[Path, str]]  # OCI layout and digest by linked target
Say = Callable[[str], None]


class Source(Protocol):
    """Where clients get what they build."""

    def checkout(self, root: Path) -> ClientFiles:
        """A folder of files that `buildctl` and `bake` refer to."""
        ...

    def buildctl(self, key: Key, checkout: Path, imported: Imported) -> list[str]:
        """The arguments of `buildctl build`, output left out."""
        ...

    def bake(self, keys: Sequence[Key], checkout: Path, imported: Imported) -> tuple[list[str], Path]:
        """The arguments of `buildx bake` for these targets, output left out, and the folder to run it in."""
        ...

    def bases(self, key: Key) -> tuple[Path, Mapping[str, str]]:
        """An OCI layout, and the index digest of each base image in it by the name that the Dockerfile has for it."""
        ...

    def link(self, key: Key, base: str) -> str:
        """The name of the context that a linked target's result has."""
        ...

    def original(self, key: Key, name: str) -> str | None:
        """The name of the scenario's step that a vertex stands for; None: BuildKit's own vertex."""
        ...

    def keys(self, key: Key, content: Content) -> Mapping[str, str]:
        """By name of a RUN, something that is equal where all its inputs are; empty where nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A recipe: the scenario's graphs with steps that cost what they are told to."""

    recipe: Recipe

    def checkout(self, root: Path) -> ClientFiles:
        """Made-up files of the scenario's sizes."""
        return Files(self.recipe.contexts, root)

    def buildctl(self, key: Key, checkout: Path, imported: Imported) -> list[str]:
        """As the recipe has it."""
        return self.recipe.builds[key].buildctl(checkout, imported)

    def bake(self, keys: Sequence[Key], checkout: Path, imported: Imported) -> tuple[list[str], Path]:
        """The recipe's bake file; an import replaces the link."""
        is_joint = any(len(platforms) > 1 for _, _, platforms in keys)
        words = ["-f", str(self.recipe.bakes[keys[0][1], is_joint])]
        for key in keys:
            build = self.recipe.builds[key]
            words += [word for one in build.platforms for word in ("--set", f"{key[0]}.platform={one}")]
            for base, name in build.links.items():
                if base in imported:
                    layout, digest = imported[base]
                    words += ["--set", f"{key[0]}.contexts.{name}=oci-layout://{layout}@{digest}"]
        return words, checkout

    def bases(self, key: Key) -> tuple[Path, Mapping[str, str]]:
        """Those of the target."""
        build = self.recipe.builds[key]
        return build.layout, build.images

    def link(self, key: Key, base: str) -> str:
        """The recipe has names of its own."""
        return self.recipe.builds[key].links.get(base, "")

    def original(self, key: Key, name: str) -> str | None:
        """The recipe knows."""
        found = self.recipe.original(key, name)
        return None if found is None else found[1]

    def keys(self, key: Key, content: Content) -> Mapping[str, str]:
        """The keys that the load programs report."""
        graph = self.recipe._graphs[key]
        return {graph.steps[index].name: found for index, found in self.recipe.keys(key, content).items()}


def keys_of(requests: Sequence[Request], graphs: Graphs, farm: Farm) -> dict[Key, Graph]:
    """All graphs that the requests build on one runner each."""
    found: dict[Key, Graph] = {}
    for targets, args in dict.fromkeys((request.targets, request.args) for request in requests):
        for target in targets:
            for platforms in runner_platforms(graphs.platforms(target), target, farm).values():
                key = (target, args, platforms)
                if key not in found:
                    found[key] = graphs.graph(*key)
    return found


def synthetic(
    keys: Mapping[Key, Graph],
    graphs: Graphs,
    farm: Farm,
    profile: Profile,
    folder: Path,
    *,
    native: Mapping[str, str],
    scale: float,
    control: str,
    say: Say,
) -> Synthetic:
    """Write the recipe. `native`: what this machine runs in place of each of the farm's platforms."""
    programs = {platform: tools.ensure("load", say, platform) for platform in dict.fromkeys(native.values())}

    def costs(graph: Graph) -> Sequence[Cost]:
        return [
            slowed(cost, farm.platforms.get(step.platform, 1.0)) if step.kind == "exec" else cost
            for step, cost in zip(graph.steps, profile.costs(graph), strict=True)
        ]

    def cpus(target: str, platform: str) -> float:
        on = platform if farm.platforms.get(platform, 1.0) == 1.0 else next(iter(farm.platforms))
        return farm.runner_for(farm.projects[target], on).cpus

    recipe = write(
        keys,
        costs,
        folder,
        programs=programs,
        scale=scale,
        cpus=cpus,
        control=control,
        groups=graphs.groups,
        native={given: here for given, here in native.items() if given != here},
        pull=True,
    )
    return Synthetic(recipe)


def slowed(cost: Cost, slowdown: float) -> Cost:
    """An emulated command: its CPU time grows (sim.model.buildkit.phases)."""
    return cost if slowdown == 1.0 else replace(cost, cpu_s=cost.cpu_s * slowdown)


def stand_ins(farm: Farm, here: Sequence[str]) -> dict[str, str]:
    """What this machine runs for each of the farm's platforms: itself, else another that is free; on a runner of its own, any.

    InputError where two platforms would have to share one on the same daemon.
    """
    found = {platform: platform for platform in farm.platforms if platform in here}
    free = [platform for platform in here if platform not in found.values()]
    first = next(iter(farm.platforms))
    for platform, slowdown in farm.platforms.items():
        if platform in found:
            continue
        if free:
            found[platform] = free.pop(0)
        elif slowdown == 1.0 and platform != first:
            found[platform] = here[0]
        elif here:
            raise InputError(
                f"nothing here can stand for {platform}: this machine runs {', '.join(here)}",
                where="farm.platforms",
                hint="leave some platforms out",
            )
    if len(found) < len(farm.platforms):
        raise InputError("this machine's architecture is not known", where="farm.platforms", hint="replay it on x86_64")
    return found


def joint_platforms(farm: Farm, native: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """By runner's platform, what its daemon builds here: itself, and on the first one's all that are emulated."""
    first = next(iter(farm.platforms))
    emulated = tuple(native[platform] for platform, slowdown in farm.platforms.items() if slowdown != 1.0)
    return {
        platform: (native[platform], *(emulated if platform == first else ()))
        for platform, slowdown in farm.platforms.items()
        if slowdown == 1.0 or platform == first
    }


__all__ = ["Args", "Imported", "Source", "Synthetic", "joint_platforms", "keys_of", "stand_ins", "synthetic"]
