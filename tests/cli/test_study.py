"""`compare` and `matrix`."""

import json

import pytest

PNG = b"\x89PNG"


def test_compare_names_the_winner_and_writes_its_files(buildcast, scenarios, tmp_path):
    said = buildcast(
        "compare", scenarios / "dedup-pair", "--vary", "farm.dedup=on,off", "--replications", 3, "-o", tmp_path
    )
    assert said.code == 0
    assert "winner: dedup=on" in said.out
    assert "sure to beat each other one" in said.out
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)
    found = json.loads((tmp_path / "compare.json").read_text())
    assert (found["schema_version"], found["winner"]) == (1, "dedup=on")


def test_what_replications_cannot_tell_apart_is_said_plainly(buildcast, scenarios):
    same = "farm.idle_timeout=2m,3m"  # the two builds end long before
    said = buildcast(
        "compare", scenarios / "dedup-pair", "--vary", same, "--replications", 2, "--set", "objective=mean_duration"
    )
    assert "not separable from" in said.out


def test_candidates_of_a_file_have_its_labels(buildcast, scenarios):
    flags = ["--replications", 2, "--set", "requests=10", "--set", "warmup=0s", "--json", "--workers", 1]
    bake = scenarios / "monorepo-bake"
    found = json.loads(buildcast("compare", bake, "--candidates", bake / "candidates.yaml", *flags).out)
    labels = [one["label"] for one in found["candidates"]]
    assert labels == ["off", "2 builds per instance", "a project per target"]
    assert found["winner"] in labels


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {label: a, set: [farm.size=large]}\n- {label: a, set: [farm.size=default]}\n", ":2:11: label 'a' is taken"),
        ("- {label: a, sett: [farm.size=large]}\n", ":1:14: unknown field 'sett'"),
        ("- {label: a}\n- 3\n", ":1:3: a candidate needs label and set"),
        ("- {label: a, set: [farm.size]}\n", ":1:20: 'farm.size' is not a setting"),
        ("- {label: a, set: [farm.size=large]}\n", "no list of candidates"),
        ("label: a\n", "no list of candidates"),
        ("- [\n", "not valid YAML"),
    ],
)
def test_mistakes_in_a_file_of_candidates_have_their_line(buildcast, scenarios, tmp_path, text, complaint):
    file = tmp_path / "candidates.yaml"
    file.write_text(text)
    said = buildcast("compare", scenarios / "dedup-pair", "--candidates", file)
    assert said.code == 2
    assert complaint in said.err


def test_a_wrong_value_to_vary_is_told_before_anything_runs(buildcast, scenarios):
    said = buildcast("compare", scenarios / "dedup-pair", "--vary", "farm.size=default,hugest")
    assert said.code == 2
    assert "farm.size=hugest" in said.err


def test_the_matrix_of_the_packaged_scenarios(buildcast, tmp_path):
    flags = ["--quick", "--replications", 2, "--requests", 150, "--seed", 3]
    said = buildcast("matrix", *flags, "-o", tmp_path)
    assert said.code == 0
    assert "frequent small builds" in said.out
    found = json.loads((tmp_path / "decision-matrix.json").read_text())
    assert [row["row"] for row in found["rows"]] == [1, 2, 3, 4]
    assert set(found["rows"][0]) >= {"recommended", "winner", "agrees", "confidence", "margin", "why", "candidates"}
    assert len(found["rows"][0]["candidates"]) == 8
    assert (tmp_path / "decision-matrix.png").read_bytes().startswith(PNG)
    page = (tmp_path / "decision-matrix.md").read_text()
    assert "buildcast matrix --quick --replications 2 --requests 150 --seed 3" in page
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"decision-matrix.{end}" for end in ("json", "md", "png")]


def test_a_run_that_ends_within_its_warm_up_is_told_as_such(buildcast, scenarios):
    flags = ["--vary", "farm.size=default,large", "--set", "requests=5", "--replications", 2, "--workers", 1]
    said = buildcast("compare", scenarios / "mixed", *flags)
    assert said.code == 2
    assert "no request arrives after the warm-up" in said.err


def test_a_folder_without_the_rows(buildcast, tmp_path):
    said = buildcast("matrix", tmp_path)
    assert said.code == 2
    assert "frequent-small/scenario.yaml: is missing" in said.err
