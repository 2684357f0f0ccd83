from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sim import scenario
from sim.errors import InputErrors

BASE: dict[str, Any] = {
    "schema": 1,
    "targets": {"app": {"dockerfile": "Dockerfile", "context": ".", "args": {"V": 1}, "platforms": ["linux/amd64"]}},
    "projects": {"p": ["app"]},
    "farm": {
        "preset": "depot",
        "size": "large",
        "runner": {"cpus": 4, "memory": "8GiB"},
        "platforms": {"linux/amd64": "native"},
        "autoscaling": {"builds_per_instance": 2},
        "cache": {"max": "50GB", "keep": "14d"},
        "standby": {"count": 0, "boot": "2s"},
        "price": {"minute": "$0.04"},
        "overrides": [{"project": "p", "size": "large", "runner": {"cpus": 2}}],
    },
    "workload": [
        {
            "jobs": [{"build": ["app"]}, {"build": ["app"], "needs": ["app"], "args": {"V": 2}}],
            "arrivals": {"rate": "12/h", "cv": 2.7},
            "changes": [{"paths": ["a/"], "share": "8%"}],
            "fails": {"rate": "12%"},
            "output": {"type": "image"},
        }
    ],
    "edits": [{"at": "5s", "path": "a"}],
    "costs": [{"step": "*", "cpu": "1s", "same_output": ["a"], "spread": 0}],
    "start": "mon 08:00",
    "horizon": "5d",
    "slo": {"p95": "5m"},
}

ODD_VALUES: list[Any] = [None, True, False, 0, -1, 2, 10**30, 1.5, float("nan"), float("inf")]
ODD_VALUES += ["", "x", "off", "5m", "9" * 500, "../x", "\x00", "é\n"]
ODD_VALUES += [[], {}, [None], [[]], ["x", 1], {"x": None}, {"x": {"y": []}}, {"": ""}, {"emulated": {}}, {"rows": 3}]
ODD = st.sampled_from(ODD_VALUES)


def places(node: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, value in entries for place in places(value, (*at, key)))]


@given(st.lists(st.tuples(st.sampled_from(places(BASE)), ODD), min_size=1, max_size=3))
@example([(("farm", "size"), None)])
@example([(("targets", "app", "dockerfile"), "9" * 500), (("targets", "app", "context"), "\x00")])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_values_anywhere_are_clear_lines_or_a_scenario(
    tmp_path: Path, changes: list[tuple[tuple[str | int, ...], Any]]
) -> None:
    tree = copy.deepcopy(BASE)
    for place, value in changes:
        node: Any = tree
        try:
            for part in place[:-1]:
                node = node[part]
            if place:
                node[place[-1]] = copy.deepcopy(value)
        except (TypeError, KeyError, IndexError):
            continue
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    found = outcome(file)
    if isinstance(found, InputErrors):
        assert all(problem.where for problem in found.problems)
        assert all(len(line) < 1500 for line in str(found).splitlines())
        assert len(str(found).splitlines()) == len(found.problems)
    else:
        assert scenario.describe(found, scenario.resolve_farm(found, list(found.targets or {}), {}))


def outcome(file: Path) -> scenario.Scenario | InputErrors:
    try:
        return scenario.load(file)
    except InputErrors as errors:
        return errors


def test_a_base_without_changes_loads(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(BASE))
    assert scenario.load(tmp_path).workload[0].jobs[1].args == {"V": "2"}


@pytest.mark.parametrize(
    "flag", ["a.b.c.d=1", "workload=5", "farm=5", "targets=[1]", "costs.0.step=[]", "=", "farm.=1"]
)
def test_odd_flags_are_clear_lines(tmp_path: Path, flag: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(BASE))
    with pytest.raises(InputErrors, match="--set"):
        scenario.load(tmp_path, [flag])
