"""Candidates face the same requests, and nothing depends on how many processes simulate."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.runs import prepare, replicate, requests_of
from sim.scenario import load
from sim.study.measures import measure

SCENARIOS = Path(__file__).parents[1] / "scenarios"
FARMS = [
    ["farm.size=xlarge", "farm.autoscaling=off"],
    ["farm.autoscaling.builds_per_instance=1", "projects=per_target", "farm.boot=1m"],
]


@pytest.mark.parametrize("row", ["frequent-small", "resource-intensive", "mixed", "monorepo-bake"])
def test_candidates_see_identical_requests(row):
    drawn = [requests_of(prepare(load(SCENARIOS / row, [*farm, "requests=40"])), seed=5) for farm in FARMS]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 40


def test_replications_differ_and_seeds_repeat():
    case = prepare(load(SCENARIOS / "frequent-small", ["requests=20"]))
    assert requests_of(case, 1, 0) == requests_of(case, 1, 0)
    assert requests_of(case, 1, 0) != requests_of(case, 1, 1)
    assert requests_of(case, 1, 0) != requests_of(case, 2, 0)


def test_any_number_of_workers_gives_the_same_numbers():
    cases = [prepare(load(SCENARIOS / "frequent-small", [*farm, "requests=20", "warmup=0s"])) for farm in FARMS]
    alone, beside = (replicate(cases, measure, replications=3, workers=workers) for workers in (1, 2))
    assert repr(alone) == repr(beside)  # by text: nan is not equal to itself


def test_traces_are_the_same_bytes_whatever_python_hashes_with(tmp_path):
    """Fresh processes with other hashes of texts: nothing may hang on the order of a set."""
    scenario = SCENARIOS / "monorepo-bake"
    settings = ("requests=25", "warmup=0s", "farm.autoscaling.builds_per_instance=1", "farm.max_parallelism=3")
    sets = [word for setting in settings for word in ("--set", setting)]
    written = []
    for hashes in ("1", "2"):
        out = tmp_path / hashes
        subprocess.run(
            [sys.executable, "-m", "sim", "run", scenario, *sets, "--seed", "3", "-o", out, "--format", "jsonl"],
            env=os.environ | {"PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
        )
        written.append({path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()})
    assert len(written[0]) == 6
    assert b'"clone"' in written[0][Path("trace/steps.jsonl")]
    assert written[0] == written[1]


def test_an_unknown_target_is_told_where_it_stands(tmp_path):
    folder = shutil.copytree(SCENARIOS / "monorepo-bake", tmp_path / "mono")
    text = (folder / "scenario.yaml").read_text()
    (folder / "scenario.yaml").write_text(text.replace("build: [default]", "build: [defalt]"))
    line = next(at for at, one in enumerate(text.splitlines(), 1) if "build: [default]" in one)
    with pytest.raises(InputError, match=rf"scenario\.yaml:{line}:\d+: .*did you mean 'default'"):
        prepare(load(folder))
    with pytest.raises(InputError, match=r"^--set workload\.0\.build=\[defalt\]: .*did you mean 'default'"):
        prepare(load(SCENARIOS / "monorepo-bake", ["workload.0.build=[defalt]"]))
