"""Every recorded semantic case: outcomes right, ends within 0.35 s of one of the three runs of real BuildKit."""

import json
from pathlib import Path

import pytest
from agreement import disagreements

from sim.runs import prepare, simulate_case
from sim.scenario import load

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/truth.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_agrees_with_real_buildkit(folder):
    trace = simulate_case(prepare(load(folder / "scenario.yaml")), seed=1)
    runs = json.loads((folder / "truth.json").read_text())["runs"]
    found = [disagreements(trace, run) for run in runs]
    assert any(not problems for problems in found), "\n".join(min(found, key=len))


def test_there_are_cases():
    assert len(CASES) >= 18
