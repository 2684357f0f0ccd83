"""The semantic cases: vertex names of the lock files are those that real BuildKit printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sim.graph import load_graphs

CASES = sorted((Path(__file__).parent.parent / "semantics" / "cases").glob("*/truth.json"))


def plain(name: str, targets: tuple[str, ...]) -> str:
    """Without buildx's target and without numbers: the cases' base image is a named context, so one step less."""
    for target in targets:
        name = name.replace(f"[{target} ", "[", 1)
    return re.sub(r"\d+/\d+", "n/m", name).replace("[stage-0 n/m]", "[n/m]").replace("[stage-1 n/m]", "[n/m]")


@pytest.mark.parametrize("truth", CASES, ids=lambda path: path.parent.name)
def test_names_are_buildkits(truth, spec_of):
    graphs = load_graphs(spec_of(truth.parent), say=pytest.fail)
    ours = {
        plain(step.name, graphs.targets)
        for target, args, platforms in graphs._frozen.graphs
        for step in graphs.graph(target, args, platforms).steps
        if step.kind not in ("source", "context")
    }
    for run in json.loads(truth.read_text())["runs"]:
        for build in run:
            announced = {plain(name, graphs.targets) for name in build["steps"] if "internal]" not in name}
            assert {name for name in announced if "load metadata" not in name} <= ours


def test_there_are_cases():
    assert len(CASES) >= 18
