from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sim import scenario
from sim.scenario.json_schema import SCHEMA_FILE, schema_text
from sim.scenario.yaml_source import compose

HERE = Path(__file__).parent
SHIPPED = sorted((HERE.parents[1] / "scenarios").glob("*/scenario.yaml"))
CASES = sorted((HERE.parent / "semantics" / "cases").glob("*/scenario.yaml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    made = scenario.schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run: python -c 'import sim.scenario as s; s.write_schema()'"
    )


def test_the_schema_is_plain_json(tmp_path: Path) -> None:
    scenario.write_schema(tmp_path / "schema.json")
    json.loads((tmp_path / "schema.json").read_text(), parse_constant=lambda word: pytest.fail(word))


@pytest.mark.parametrize("file", [*SHIPPED, *CASES], ids=lambda file: file.parent.name)
def test_scenarios_are_valid_by_the_schema(validator: Any, file: Path) -> None:
    validator.validate(compose(file.read_text(encoding="utf-8"), file.name).plain())


GOOD = """\
schema: 1
projects: {base: [base], jobs: db}
bake: docker-bake.hcl
farm:
  preset: depot
  platforms: {linux/amd64: native, linux/arm64: {emulated: 8}}
  autoscaling: off
  acquire_timeout: none
  dedup: on
  price: {minute: $0.04/min, per: lease}
  runner: {cpus: 0.5cpu, memory: 32GiB, network: 5Gbit/s, disk_read: unlimited}
workload:
- {build: app, arrivals: {rate: 12/h, cv: 2.7}, changes: [{paths: [a], share: 8%}]}
- {jobs: [{build: [a], args: {V: 1}}], arrivals: {clients: 4, think: 1h30m}, changes: {git: ., last: 20}}
costs: [{step: x, cpu: PT45S, threads: all, fails: true, same_output: [a/], spread: 0}]
horizon: 5d
"""


@pytest.mark.parametrize(
    ("part", "by", "valid"),
    [
        ("schema: 1", "schema: 1", True),
        ("off", "{builds_per_instance: 2}", True),
        ("horizon: 5d", "requests: 500", True),
        ("off", "on", False),
        ("schema: 1", "schema: 2", False),
        ("horizon: 5d", "horizon: 1:30", False),
        ("horizon: 5d", "horizon: 5 days", False),
        ("horizon: 5d", "horizn: 5d", False),
        ("32GiB", "512m", False),
        ("5Gbit/s", "5G", False),
        ("12/h", "12h", False),
        ("share: 8%", "shar: 8%", False),
        ("{emulated: 8}", "{emulated: 0}", False),
    ],
)
def test_editors_accept_what_the_loader_accepts(validator: Any, part: str, by: str, valid: bool) -> None:
    assert part in GOOD
    assert validator.is_valid(compose(GOOD.replace(part, by), "s.yaml").plain()) == valid
