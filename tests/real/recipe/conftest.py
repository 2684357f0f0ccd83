"""Load programs, small graphs and recipes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sim import tools
from sim.graph import Graph, Graphs, GraphSpec, TargetSpec, load_graphs
from sim.profile import Profile
from sim.real.recipe import Key, Recipe, write
from sim.scenario.fields.costs import CostRule

PLATFORMS = ("linux/amd64", "linux/386")


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """The load program for both platforms that are native here."""
    return {platform: tools.ensure("load", print, platform) for platform in PLATFORMS}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Write files by path below `true`; returns that folder."""

    def written(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / "true" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "true"

    return written


def all_of(graphs: Graphs, variants: tuple[tuple[tuple[str, str], ...], ...] = ((),)) -> dict[Key, Graph]:
    """Every graph of a scenario: each platform alone, and all together."""
    found: dict[Key, Graph] = {}
    for target in graphs.targets:
        platforms = graphs.platforms(target)
        sets = [(platform,) for platform in platforms] + ([platforms] if len(platforms) > 1 else [])
        found |= {(target, args, some): graphs.graph(target, args, some) for args in variants for some in sets}
    return found


@pytest.fixture
def make(
    folder: Callable[..., Path], tmp_path: Path, programs: dict[str, Path]
) -> Callable[..., tuple[Recipe, dict[Key, Graph]]]:
    """Files to a recipe: without bake or targets one target `app`. Costs as in a scenario."""

    def made(
        files: Mapping[str, str], *costs: Mapping[str, object], **fields: object
    ) -> tuple[Recipe, dict[Key, Graph]]:
        spec = {key: fields.pop(key) for key in ("bake", "targets", "args_variants", "platforms") if key in fields}
        if "bake" not in spec:
            spec.setdefault("targets", {"app": TargetSpec()})
        graph_spec = GraphSpec(folder(files), **spec)  # type: ignore[arg-type]
        graphs = all_of(load_graphs(graph_spec, refresh=True, say=lambda _: None), graph_spec.variants())
        profile = Profile.ideal([CostRule.model_validate({"spread": 0, **cost}) for cost in costs])
        recipe = write(graphs, profile.costs, tmp_path / "recipe", programs=programs, **fields)  # type: ignore[arg-type]
        return recipe, graphs

    return made
