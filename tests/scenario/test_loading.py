from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from sim import scenario
from sim.errors import InputErrors

Write = Callable[..., Path]
Load = Callable[..., scenario.Scenario]

CASES = Path(__file__).parent.parent / "semantics" / "cases"

FULL = """\
schema: 1
name: monorepo
bake: docker-bake.hcl
projects: from_bake
farm:
  preset: depot
  size: default
  runner: {cpus: 16, memory: 32GiB, disk_read: 1GB/s, disk_write: 500MB/s, network: 5Gbit/s}
  platforms: {linux/amd64: native, linux/arm64: {emulated: 8}}
  max_parallelism: 12
  autoscaling: {builds_per_instance: 2, max_instances: 20, on_full: queue}
  boot: 25s
  clone: 3s
  standby: {count: 0, boot: 2s}
  idle_timeout: 2m
  acquire_timeout: none
  cache: {max: 50GB, keep: 14d, policy: buildkit, start: warm}
  write_back: discard
  routing: fill_first
  dedup: on
  price: {minute: $0.04, per: lease, cache_gb_month: $0.20, wait_hour: $100}
  overrides: [{project: app, platform: linux/arm64, size: large}]
workload:
  - on: push
    jobs: [{build: [app, db]}, {build: [test], after: 5s}, {build: scan, needs: [app], args: {V: 1.10}}]
    arrivals: {rate: 12/h, pattern: office_hours, cv: 2.7}
    changes: [{paths: [a/package.json, b/], share: 8%}, {paths: [app/src/], share: 85%}, {paths: [], share: 7%}]
    branches: 8
    cancel_superseded: true
    fails: {rate: 12%, after_failure: 71%}
    reruns: {share: 5%, after: 2m}
    checkout: kept
    output: {type: image, push: true, compression: zstd, cache_to: registry}
  - {build: app, arrivals: {clients: 4, think: 10m}, no_cache: true, cancel_after: 90s}
edits: [{at: 5s, path: src/a.txt, content: same}]
costs:
  - {step: "*npm ci*", cpu: 40s, threads: 4, download: 200MB, write: 350MB, memory: 2GiB, layer: 1MB, overlap: true}
  - {step: "*go build*", platform: linux/arm64, cpu: 120s, threads: all, serial: 10%, warm: 20%, fails: 3%}
  - {step: "*x*", latency: 1s, fails: true, reproducible: false, same_output: [dist/], spread: 0.3, read: 1MB}
start: tue 09:30
horizon: 5d
warmup: 8h
objective: p95_duration
slo: {p95: 5m}
delta: 5%
alpha: 10%
"""


def refused(load: Load, *sets: str, **swap: str) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        load(*sets, **swap)
    return [line.partition("scenario.yaml:")[2] or line for line in str(caught.value).splitlines()]


def test_every_field_of_the_contract_is_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "docker-bake.hcl").write_text("")
    full = load(text=FULL)
    push, client = full.workload
    assert [job.build for job in push.jobs] == [("app", "db"), ("test",), ("scan",)]
    assert (push.jobs[1].after, push.jobs[2].needs, push.jobs[2].args) == (5, ("app",), {"V": "1.10"})
    assert (push.arrivals.rate, push.arrivals.pattern, push.arrivals.cv) == (
        pytest.approx(12 / 3600),
        "office_hours",
        2.7,
    )
    assert [row.share for row in push.changes.rows] == [0.08, 0.85, pytest.approx(0.07)]
    assert (push.fails.after_failure, push.reruns and push.reruns.after, push.checkout) == (0.71, 120, "kept")
    assert push.output is not None
    assert (push.output.push, push.output.compression, push.output.cache_to) == (True, "zstd", "registry")
    assert (client.jobs[0].build, client.jobs[0].no_cache, client.jobs[0].cancel_after) == (("app",), True, 90)
    assert (client.arrivals.clients, client.arrivals.think) == (4, 600)
    assert (full.edits[0].at, full.edits[0].path, full.edits[0].content) == (5, "src/a.txt", "same")
    npm, go, other = full.costs
    assert (npm.cpu, npm.threads, npm.download, npm.layer, npm.overlap) == (40, 4, 200e6, 1e6, True)
    assert (go.threads, go.serial, go.warm, go.fails, go.layer) == (math.inf, 0.1, 0.2, 0.03, None)
    assert (other.fails, other.reproducible, other.same_output, other.spread) == (1, False, ("dist/",), 0.3)
    assert (full.start, full.horizon, full.warmup) == (86400 + 9.5 * 3600, 5 * 86400, 8 * 3600)
    assert (full.objective, full.slo and full.slo.limits, full.alpha) == ("p95_duration", {"p95": 300}, 0.1)
    assert full.farm.acquire_timeout == math.inf


def test_a_scenario_knows_its_file_and_survives_pickling(write: Write) -> None:
    file = write()
    read = scenario.load(file)
    assert (read.path, read.folder) == (file, file.parent)
    assert read.text_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert read.where("farm", "runner", "cpus").endswith("scenario.yaml:7:18")
    again = pickle.loads(pickle.dumps(read))
    assert again == read
    assert again.where("farm", "runner", "cpus") == read.where("farm", "runner", "cpus")


def test_a_folder_stands_for_its_scenario(write: Write) -> None:
    assert scenario.load(write().parent).name == "small"


@pytest.mark.skipif(not CASES.is_dir(), reason="the semantic cases are not beside the tests")
@pytest.mark.parametrize("case", sorted(CASES.glob("*/scenario.yaml")), ids=lambda case: case.parent.name)
def test_the_semantic_cases_load(case: Path) -> None:
    read = scenario.load(case)
    assert read.name == case.parent.name
    if read.targets is not None:
        assert scenario.resolve_farm(read, list(read.targets), {}).price.per == "lease"


def test_five_mistakes_are_five_lines_with_place_and_hint(load: Load) -> None:
    lines = refused(
        load,
        text="""\
schema: 1
targets:
  app: {dockerfile: Dockerfle}
farm:
  runner: {cpus: 2}
  routing: sticki
  idle_timeot: 2m
  boot: 90
workload:
- build: [ap]
  arrivals: {times: [0s]}
""",
    )
    assert [line.partition("; ")[0] for line in lines] == [
        "3:21: targets.app.dockerfile: no file 'Dockerfle'",
        "6:12: farm.routing: unknown 'sticki'",
        "7:3: farm.idle_timeot: unknown field",
        "8:9: farm.boot: 90 has no unit",
        "10:11: workload.0.build: unknown target 'ap'",
    ]
    hints = [line.partition("; ")[2] for line in lines]
    assert hints[1] == "did you mean 'sticky'? (fill_first, least_loaded, sticky, random)"
    assert hints[2].startswith("did you mean 'idle_timeout'? (preset, size, ")
    assert hints[3] == "write 90s or 90m"
    assert hints[4] == "did you mean 'app'? (app)"
    assert all(hints)


@pytest.mark.parametrize(
    ("swap", "line"),
    [
        ({"workload": "[]"}, "workload: must not be empty"),
        ({"workload": ""}, "workload: is missing"),
        ({"farm": ""}, "farm: is missing"),
        ({"farm": "3"}, "farm: must be a mapping of fields, not '3'"),
        ({"farm": "{}"}, "farm.runner.cpus: is missing; write runner: {cpus: 16"),
        ({"farm": "{runner: {cpus: 0}}"}, "farm.runner.cpus: 0 must be more than 0"),
        ({"farm": "{runner: {cpus: -1}}"}, "farm.runner.cpus: -1 is negative"),
        ({"farm": "{runner: {cpus: .nan}}"}, "farm.runner.cpus: nan is not a finite number"),
        ({"farm": "{runner: {cpus: 2, memory: 0GB}}"}, "farm.runner.memory: 0GB must be more than 0"),
        ({"farm": "{runner: {cpus: 2, memory: 512m}}"}, "farm.runner.memory: '512m' is ambiguous"),
        ({"farm": "{runner: {cpus: 2}, cache: {max: -5GB}}"}, "farm.cache.max: '-5GB' is negative"),
        ({"farm": "{runner: {cpus: 2}, max_parallelism: 1.5}"}, "farm.max_parallelism: '1.5' is not a whole number"),
        ({"farm": "{runner: {cpus: 2}, max_parallelism: true}"}, "farm.max_parallelism: 'True' is not a whole number"),
        ({"farm": "{runner: {cpus: 2}, autoscaling: {builds_per_instance: 0}}"}, "must be 1 or more"),
        ({"farm": "{runner: {cpus: 2}, autoscaling: {max_instances: 0}}"}, "must be 1 or more"),
        ({"farm": "{runner: {cpus: 2}, dedup: maybe}"}, "farm.dedup: 'maybe' is neither on nor off"),
        ({"farm": "{runner: {cpus: 2}, platforms: {amd64: native}}"}, "'amd64' is not a platform"),
        ({"farm": "{runner: {cpus: 2}, platforms: {linux/amd64: slow}}"}, "'slow' is neither native nor emulated"),
        ({"farm": "{runner: {cpus: 2}, platforms: {linux/amd64: {emulated: 8}}}"}, "must be native"),
        ({"farm": "{runner: {cpus: 2}, overrides: [{size: large}]}"}, "an override needs a project or a platform"),
        ({"farm": "{preset: depo}"}, "farm.preset: unknown 'depo'; did you mean 'depot'?"),
        ({"farm": "{preset: depot, size: larg}"}, "farm.size: preset depot has no size 'larg'; did you mean 'large'?"),
        ({"farm": "{size: large, runner: {cpus: 2}}"}, "farm.size: a size needs a preset"),
        (
            {"farm": "{preset: blacksmith}"},
            "farm.runner.cpus: is missing; the machines of Blacksmith are not published",
        ),
        ({"workload": "[{build: [app], arrivals: {}}]"}, "give exactly one of rate, times, csv, clients (got none)"),
        ({"workload": "[{build: [app]}]"}, "workload.0.arrivals: is missing"),
        ({"workload": "[{arrivals: {times: [0s]}}]"}, "give exactly one of jobs and build"),
        ({"workload": "[{build: [app], arrivals: {times: []}}]"}, "workload.0.arrivals.times: must not be empty"),
        ({"workload": "[{build: [app], arrivals: {rate: 12/h}}]"}, "a rate never ends; add horizon: 5d"),
        ({"workload": "[{build: [app], arrivals: {csv: no.csv}}]"}, "workload.0.arrivals.csv: no file 'no.csv'"),
        (
            {"workload": "[{build: [app], arrivals: {times: [0s], cv: 2}}]"},
            "workload.0.arrivals: cv goes with rate, not with times",
        ),
        (
            {"workload": "[{jobs: [{build: app, needs: [db]}, {build: db}], arrivals: {times: [0s]}}]"},
            "workload.0.jobs.0.needs: no earlier job builds 'db'; needs looks back",
        ),
        (
            {"workload": "[{build: app, arrivals: {times: [0s]}, changes: [" + "{paths: a, share: 55%}," * 2 + "]}]"},
            "workload.0.changes: the shares add up to 110 %",
        ),
    ],
)
def test_wrong_fields_are_told(load: Load, swap: dict[str, str], line: str) -> None:
    lines = refused(load, **swap)
    assert any(line in one for one in lines), lines


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("farm.siz=large", "--set farm.siz=large: farm.siz: unknown field; did you mean 'size'?"),
        ("objective=p95", "--set objective=p95: objective: unknown 'p95'; did you mean 'p95_duration'?"),
        ("edits=[{at: 1s, path: ../x}]", "edits.0.path: '../x' must name something inside"),
        ("edits=[{at: 1s, path: /etc/x}]", "edits.0.path: '/etc/x' must be relative"),
        ("profile=none.yaml", "profile: no file 'none.yaml'"),
        ("bake=docker-bake.hcl", "bake and targets are both given"),
        ("projects=from_bake", "projects: from_bake needs a bake file"),
        ("projects=per_targt", "projects: unknown 'per_targt'; did you mean 'per_target'?"),
        ("projects={x: [app, dbb]}", "projects.x: unknown target 'dbb'; did you mean 'db'?"),
        ("projects={x: [app]}", "projects: no project for target 'db'"),
        ("projects={x: [app, db], y: [app]}", "target 'app' is in project 'x' too"),
        ("farm.overrides=[{project: app, runner: {cpus: 4}}]", "unknown project 'app'; known: main"),
        ("targets.app.context=nowhere", "targets.app.context: no folder 'nowhere'"),
        ("targets.app.platforms=[linux/arm64]", "--set"),
        ("delta=0%", "delta: 0% must be more than 0"),
        ("delta=5", "delta: '5' is more than 100 %; 5 percent is written 5%"),
        ("costs=[{step: x, threads: some}]", "costs.0.threads: 'some' is not a number of cores"),
        ("costs=[{step: x, same_output: 2}]", "more than 100 %"),
        ("schema=2", "schema: unknown '2'"),
        ("colour=red", "colour: unknown field; known: schema, name"),
    ],
)
def test_wrong_flags_are_told(load: Load, flag: str, line: str) -> None:
    sets = [flag, "farm.platforms={linux/amd64: native}"] if "platforms" in flag else [flag]
    lines = refused(load, *sets)
    assert any(line in one for one in lines), lines


def test_both_ends_and_a_long_warm_up_are_refused(load: Load) -> None:
    assert "horizon and requests are both given" in refused(load, "horizon=5d", "requests=5")[0]
    assert "warmup: is not shorter than horizon" in refused(load, "horizon=1h", "warmup=2h")[0]


def test_a_file_problem_and_a_flag_problem_are_told_together(load: Load) -> None:
    lines = refused(load, "farm.boot=5", "nonsense", farm="{runner: {cpus: 2}, clone: 3}")
    assert len(lines) == 3
    assert lines[0].startswith("6:")
    assert all(line.startswith("--set") for line in lines[1:])


def test_thousands_of_problems_are_cut_short(load: Load) -> None:
    rows = ", ".join(["5"] * 3000)
    lines = refused(load, workload=f"[{{build: [app], arrivals: {{times: [{rows}]}}}}]")
    assert len(lines) == 51
    assert lines[-1] == "... and 2950 more problems"


def test_long_text_does_not_flood_the_message(load: Load) -> None:
    lines = refused(load, name="x\nfarm: {boot: " + "9" * 5000 + ", runner: {cpus: 2}}\ngone: 1", farm="")
    assert all(len(line) < 700 for line in lines)


def test_sets_reach_everything(load: Load) -> None:
    read = load(
        "farm.preset=depot",
        "farm.runner=null",
        "farm.size=large",
        "farm.autoscaling.builds_per_instance=2",
        "workload.0.arrivals={rate: 12/h}",
        "requests=500",
        "projects=per_target",
    )
    farm = scenario.resolve_farm(read, ["app", "db"], {})
    assert (farm.runner.cpus, farm.projects, read.requests) == (32, {"app": "app", "db": "db"}, 500)
    assert farm.autoscaling is not None
    assert farm.autoscaling.builds_per_instance == 2


def test_empty_values_mean_the_default(load: Load) -> None:
    read = load("warmup=null", "costs=", "profile=", "targets.app=null")
    assert (read.warmup, read.costs, read.profile) == (0, (), None)
    assert read.targets is not None
    assert read.targets["app"].dockerfile == "Dockerfile"


def test_the_default_objective_is_money_where_there_is_a_price(load: Load) -> None:
    assert load().objective == "mean_duration"
    priced = load("farm.price.minute=$0.01")
    assert priced.objective == "cost_per_request"
    assert "objective: none given, cost_per_request is used" in priced.notes


def test_a_dockerfile_below_its_context_is_pointed_to(load: Load, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Web.Dockerfile").write_text("FROM scratch\n")
    lines = refused(load, "targets.app={context: web, dockerfile: Web.Dockerfile}")
    assert "write web/Web.Dockerfile" in lines[0]


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match=r"scenario.yaml: cannot read: No such file"):
        scenario.load(tmp_path)
    (tmp_path / "scenario.yaml").write_text("")
    with pytest.raises(InputErrors, match=r"scenario.yaml:1:1: the file holds no fields"):
        scenario.load(tmp_path)
