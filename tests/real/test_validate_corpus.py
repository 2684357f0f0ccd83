"""`buildcast validate` on a real daemon: it replays, keeps the traces, compares, and goes on where it was."""

import json
from pathlib import Path

import pytest

from sim.cli import main
from sim.fit.validation.invent import Traits
from sim.fit.validation.replays import write

TINY = Traits(kind="mixed", images=1, stages=2, depth=1, builds=2, size_s=0.3, gap_s=0.3)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    write(tmp_path / "tiny", "tiny", TINY, 1)
    return tmp_path / "tiny"


def test_predicted_and_measured_agree(machine, scenario, tmp_path, capsys):
    command = ["validate", str(scenario), "-k", "1", "--keep", str(tmp_path / "kept"), "--replications", "5", "-q"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "validation.json").read_text())["cases"][0]
    assert found["unmatched"] == []
    assert found["steps_right"] == found["steps"]
    # The model's answer is the same on any machine; others can only make the replay longer.
    assert found["makespan"]["predicted_s"] == pytest.approx(0.45, abs=0.03)
    assert found["makespan"]["measured_s"] > 0.8 * found["makespan"]["predicted_s"]
    assert (tmp_path / "kept" / "tiny" / "1" / "trace" / "meta.json").is_file()


def test_what_was_kept_is_not_replayed_again(machine, scenario, tmp_path, capsys, monkeypatch):
    command = ["validate", str(scenario), "-k", "1", "--keep", str(tmp_path), "--replications", "2", "-q", "--json"]
    assert main(command) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr("sim.fit.validation.replays.Replays.once", lambda *_: pytest.fail("replayed again"))
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)["cases"][0]
    assert again["makespan"] == json.loads(first)["cases"][0]["makespan"]


def test_a_prediction_that_is_too_far_off_fails(machine, scenario, tmp_path, capsys):
    command = ["validate", str(scenario), "-k", "1", "--keep", str(tmp_path), "--replications", "2", "-q"]
    assert main([*command, "--limit", "99%"]) == 0
    assert main([*command, "--limit", "0.0001%"]) == 1
    assert "the median makespan is off by" in capsys.readouterr().err


def test_a_search_shows_what_it_made_up_beside_the_average(machine, scenario, tmp_path, capsys):
    command = ["validate", str(scenario), "-k", "1", "--keep", str(tmp_path / "kept"), "--replications", "2", "-q"]
    assert main([*command, "--search", "1", "-o", str(tmp_path / "out")]) == 0
    tiny, worst = json.loads((tmp_path / "out" / "validation.json").read_text())["cases"]
    assert (tiny["found"], worst["found"]) == ("corpus", "search")
    assert json.loads((tmp_path / "out" / "validation.json").read_text())["mixed"]["cases"] == 1
    # What it made up can be looked at, and is told.
    assert (tmp_path / "kept" / "search" / worst["scenario"] / "scenario.yaml").is_file()
    assert f"- {worst['scenario']}: {worst['about']}" in (tmp_path / "out" / "validation.md").read_text()
    assert "seed" in worst["about"]
