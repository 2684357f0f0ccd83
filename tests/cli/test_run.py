"""`run` and `trace export`."""

import json

from sim.trace import read_trace


def test_the_wait_is_a_sentence_with_both_builds_and_the_clock(buildcast, scenarios):
    said = buildcast("run", scenarios / "dedup-pair")
    assert said.code == 0
    waits = [line.strip() for line in said.out.splitlines() if " waited " in line]
    assert waits[0].startswith("request 1 (admin at 10:01:00) waited ")
    assert waits[0].endswith("s for [build 4/6] RUN npm ci of request 0 (shop, 10:00:00)")


def test_the_summary_fits_a_screen(buildcast, scenarios):
    lines = buildcast("run", scenarios / "monorepo-bake", "--set", "requests=40").out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 150
    labels = {line.split()[0] for line in lines}
    assert labels >= {"requests", "duration", "waiting", "longest", "steps", "dedup", "runners", "money", "priors"}


def test_json_is_one_object_with_the_same_numbers(buildcast, scenarios):
    found = json.loads(buildcast("run", scenarios / "dedup-pair", "--json").out)
    assert found["schema_version"] == 1
    run = found["runs"][0]
    assert run["summary"]["requests"] == 2
    assert run["measures"]["mean_duration"] == run["summary"]["duration_s"]["mean"]
    assert run["waits"][0]["owner_target"] == "shop"


def test_replications_give_means_with_intervals_for_any_number_of_workers(buildcast, scenarios):
    flags = ["--set", "requests=20", "--set", "warmup=0s", "--replications", 3, "--json"]
    alone = buildcast("run", scenarios / "frequent-small", *flags, "--workers", 1)
    beside = buildcast("run", scenarios / "frequent-small", *flags, "--workers", 2)
    assert alone.out == beside.out
    found = json.loads(alone.out)["runs"][0]["measures"]["mean_duration"]
    assert found["low"] < found["mean"] < found["high"]


def test_a_batch_is_one_table_and_a_folder_each(buildcast, scenarios, tmp_path):
    flags = ["--set", "requests=12", "--set", "warmup=0s", "-o", tmp_path, "--workers", 1]
    said = buildcast("run", scenarios / "mixed", scenarios / "frequent-small", scenarios / "mixed", *flags)
    assert said.code == 0
    rows = said.out.splitlines()
    assert [row.split()[0] for row in rows] == ["scenario", "mixed", "frequent-small", "mixed-2"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["frequent-small", "mixed", "mixed-2", "summary.json"]
    assert read_trace(tmp_path / "mixed").meta.name == "mixed"
    assert len(json.loads((tmp_path / "summary.json").read_text())["runs"]) == 3


def test_all_problems_of_a_batch_are_told_at_once(buildcast, scenarios):
    said = buildcast("run", scenarios / "mixed", "nowhere.yaml", "missing.yaml", "--set", "farm.size=huge")
    assert said.code == 2
    assert len(said.complaints) == 3


def test_a_scenario_cannot_name_a_folder_outside_of_o(buildcast, scenarios, tmp_path):
    flags = ["--set", "requests=6", "--set", "warmup=0s", "--set", "name=../../up", "--workers", 1]
    said = buildcast("run", scenarios / "mixed", scenarios / "frequent-small", *flags, "-o", tmp_path / "out")
    assert said.code == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out"]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["summary.json", "up", "up-2"]


def test_groups(buildcast, scenarios):
    said = buildcast("run", scenarios / "dedup-pair", "--by", "target")
    rows = said.out.splitlines()[-2:]
    assert [row.split()[0] for row in rows] == ["admin", "shop"]
    assert buildcast("run", scenarios / "dedup-pair", "--by", "target", "--replications", 2).code == 2


def test_a_missed_limit_is_exit_code_1(buildcast, scenarios):
    met = buildcast("run", scenarios / "dedup-pair", "--set", "slo.p95=1h")
    missed = buildcast("run", scenarios / "dedup-pair", "--set", "slo.p95=1s")
    assert (met.code, missed.code) == (0, 1)
    assert "limit 1h: met" in met.out
    assert "limit 1 s: MISSED" in missed.out
    assert buildcast("run", scenarios / "dedup-pair", "--set", "slo.p95=1s", "--replications", 2).code == 1


def test_text_traces(buildcast, scenarios, tmp_path):
    buildcast("run", scenarios / "dedup-pair", "-o", tmp_path, "--format", "jsonl")
    assert (tmp_path / "trace" / "steps.jsonl").is_file()
    assert len(read_trace(tmp_path).builds) == 2


def test_trace_export_writes_beside_the_trace_and_says_how_to_open_it(buildcast, scenarios, tmp_path):
    buildcast("run", scenarios / "dedup-pair", "-o", tmp_path / "run")
    said = buildcast("trace", "export", tmp_path / "run")
    assert said.code == 0
    assert "https://ui.perfetto.dev" in said.err
    written = (tmp_path / "run.perfetto.json").read_text()
    assert any(event["ph"] == "s" for event in json.loads(written)["traceEvents"])  # an arrow: who waited for whom
    piped = buildcast("trace", "export", tmp_path / "run", "-o", "-")
    assert json.loads(piped.out) == json.loads(written)
    assert json.loads(buildcast("trace", "export", tmp_path / "run", "--json").out)["builds"] == 2


def test_samples_are_a_table_of_the_trace_and_change_no_number(buildcast, scenarios, tmp_path):
    plain = buildcast("run", scenarios / "dedup-pair", "--json")
    sampled = buildcast("run", scenarios / "dedup-pair", "--json", "--samples", "10s", "-o", tmp_path)
    assert json.loads(plain.out) == json.loads(sampled.out)
    times = read_trace(tmp_path).samples["time_s"]
    assert len(times) > 2
    assert set(times % 10.0) == {0.0}
    many = buildcast(
        "run", scenarios / "dedup-pair", "--replications", 2, "--workers", 1, "--samples", "10s", "-o", tmp_path
    )
    assert many.code == 0
    assert len(read_trace(tmp_path).samples["time_s"]) > 2


def test_samples_need_a_folder_and_an_interval(buildcast, scenarios, tmp_path):
    for flags, complaint in (
        (["--samples", "10s"], "--samples is a table of the trace; add -o DIR"),
        (["--samples", "10", "-o", tmp_path], "argument --samples"),
        (["--samples", "0s", "-o", tmp_path], "0s is shorter than 1ms"),
    ):
        said = buildcast("run", scenarios / "dedup-pair", *flags)
        assert said.code == 2
        assert len(said.complaints) == 1
        assert complaint in said.err
