"""`check` and `graph`."""

import json
import shutil

import jsonschema


def test_check_says_what_will_be_simulated(buildcast, scenarios):
    said = buildcast("check", scenarios / "mixed", "--set", "farm.size=large")
    assert said.code == 0
    assert "runner: large: 32 cpus" in said.out
    assert said.out.splitlines()[-1] == "valid"


def test_check_as_json(buildcast, scenarios):
    found = json.loads(buildcast("check", scenarios / "mixed", "--json").out)
    assert found["schema_version"] == 1
    assert found["scenario"] == "mixed"
    assert found["notes"]


def test_the_schema_is_one(buildcast):
    schema = json.loads(buildcast("check", "--schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "workload" in schema["properties"]


def test_check_without_go_still_checks_the_fields(buildcast, pair, monkeypatch, tmp_path):
    (pair / "graph.lock.json").unlink(missing_ok=True)
    monkeypatch.setenv("BUILDCAST_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = buildcast("check", pair)
    assert said.code == 0
    assert "note: the Dockerfiles were not read: Go is needed" in said.out
    assert buildcast("run", pair).code == 3


def test_graph_shows_tree_width_and_critical_path(buildcast, scenarios):
    said = buildcast("graph", scenarios / "three-stage")
    assert "[linux/amd64 final 3/4] COPY --from=backend" in said.out
    path = said.out.partition("critical path on 16 cpus")[2]
    assert "frontend 4/6] RUN npm ci" in path
    assert "backend 6/6]" not in path  # it runs beside the longer frontend


def test_the_critical_path_is_no_longer_than_a_build_on_an_empty_cache(buildcast, scenarios):
    """No farm is faster than the critical path; spread is switched off so that both have the median costs."""
    sets = [f"costs.{at}.spread=0" for at in range(4)]
    flags = [part for one in sets for part in ("--set", one)]
    bound_s = json.loads(buildcast("graph", scenarios / "three-stage", "--json", *flags).out)["targets"][0][
        "critical_path"
    ]
    run = json.loads(buildcast("run", scenarios / "three-stage", "--json", *flags).out)["runs"][0]
    booted_s = run["summary"]["duration_s"]["mean"] - run["summary"]["boot_s"]["mean"]
    assert 0.7 * booted_s < bound_s["seconds"] < booted_s * 1.05


def test_graph_of_one_target_and_of_a_group(buildcast, scenarios):
    one = json.loads(buildcast("graph", scenarios / "monorepo-bake", "db", "--json").out)["targets"]
    assert [graph["target"] for graph in one] == ["db"]
    assert len(json.loads(buildcast("graph", scenarios / "monorepo-bake", "--json").out)["targets"]) == 4


def test_an_unknown_target_is_named_with_the_near_one(buildcast, scenarios):
    said = buildcast("graph", scenarios / "monorepo-bake", "crom")
    assert said.code == 2
    assert "did you mean 'cron'?" in said.err


def test_dot_is_graphviz(buildcast, scenarios):
    said = buildcast("graph", scenarios / "dedup-pair", "shop", "--dot")
    assert said.out.startswith('digraph "shop" {')
    assert said.out.rstrip().endswith("}")


def test_steps_that_several_targets_need_are_marked(buildcast, scenarios):
    said = buildcast("graph", scenarios / "monorepo-bake")
    assert "+ marks" in said.out
    assert "+ [linux/amd64  9/11] RUN npm ci" in said.out


def test_quiet_says_nothing_on_stderr(buildcast, pair):
    assert buildcast("check", pair, "--quiet").err == ""
    shutil.rmtree(pair)
    assert buildcast("check", pair, "--quiet").code == 2  # but errors are said
