"""Drift is found, named and forgiven; nothing drifts by itself."""

import json
import shutil
from pathlib import Path

import pytest

from sim.cli import main
from sim.errors import InputError
from sim.fit.regress import BASELINES, KINDS, Drift, read_baseline, regress, update

ROOT = Path(__file__).parents[2]
CASES = ("m7-07", "m7-09")


@pytest.fixture
def checkout(tmp_path):
    """A small checkout: two recorded cases and a bench."""
    for name in CASES:
        folder = Path("tests/fit/mixed/cases") / name
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "bench.json").write_text(json.dumps({"ratio_naive": 14.0, "seconds": 3.0}))
    update(tmp_path, "first")
    return tmp_path


def change(checkout, kind, case, number, by):
    path = checkout / BASELINES / f"{kind}.json"
    written = json.loads(path.read_text())
    written["numbers"][case][number] *= by
    path.write_text(json.dumps(written))


M7 = "tests/fit/mixed/cases/m7-07"


def test_nothing_moves_by_itself(checkout):
    found = regress(checkout)
    assert found.drifts == ()
    assert found.compared > 10


def test_a_time_that_moved_is_named_with_how_much(checkout):
    change(checkout, "timing", M7, "makespan_s", 1.02)
    (drift,) = regress(checkout).drifts
    assert (drift.kind, drift.case, drift.number) == ("timing", M7, "makespan_s")
    assert "(-1.96 %)" in drift.line()


def test_a_thousandth_is_no_drift(checkout):
    change(checkout, "timing", M7, "makespan_s", 1.0005)
    assert regress(checkout).drifts == ()


def test_one_outcome_more_is_drift(checkout):
    change(checkout, "timing", M7, "steps_executed", 2)
    assert [drift.number for drift in regress(checkout).drifts] == ["steps_executed"]


def test_an_error_may_shrink_but_not_grow(checkout):
    change(checkout, "fidelity", "mixed", "build_mape", 2.0)
    assert regress(checkout).drifts == ()
    change(checkout, "fidelity", "mixed", "build_mape", 0.1)
    assert [drift.kind for drift in regress(checkout).drifts] == ["fidelity"]


def test_a_slower_bench_is_drift(checkout):
    (checkout / "results" / "bench.json").write_text(json.dumps({"ratio_naive": 11.0}))
    assert [drift.line() for drift in regress(checkout).drifts] == ["bench: bench: ratio_naive 14 -> 11 (-21.43 %)"]


def test_cases_come_and_go(checkout):
    shutil.rmtree(checkout / "tests/fit/mixed/cases/m7-09")
    shutil.copytree(ROOT / "tests/fit/mixed/cases/m7-08", checkout / "tests/fit/mixed/cases/m7-08")
    told = {drift.line() for drift in regress(checkout).drifts if drift.kind == "timing"}
    assert told == {
        "timing: tests/fit/mixed/cases/m7-09: the case is gone",
        "timing: tests/fit/mixed/cases/m7-08: the case is new",
    }


def test_update_says_since_when_and_why_and_leaves_what_has_not_moved(checkout):
    change(checkout, "timing", M7, "makespan_s", 1.02)
    written = update(checkout, "exports are modelled")
    assert [path.name for path in written] == ["timing.json"]
    baseline = read_baseline(checkout, "timing")
    assert baseline.why == "exports are modelled"
    assert read_baseline(checkout, "bench").why == "first"
    assert baseline.since.endswith("exports are modelled")
    assert regress(checkout).drifts == ()


def test_an_update_needs_a_reason(checkout):
    with pytest.raises(InputError, match="--update needs a reason"):
        update(checkout, " ")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "numbers": 3}'])
def test_a_broken_baseline_is_one_line(checkout, text):
    (checkout / BASELINES / "timing.json").write_text(text)
    with pytest.raises(InputError) as caught:
        regress(checkout)
    assert "\n" not in str(caught.value)


def test_new_and_gone_numbers_have_no_percentage():
    assert Drift("bench", "bench", "ratio", None, 1.0).line() == "bench: bench: ratio is new"
    assert Drift("timing", "x", "steps_cached", 0.0, 2.0).line() == "timing: x: steps_cached 0 -> 2 (from 0)"


def test_command_exits_1_and_names_the_baseline(checkout, capsys):
    assert main(["regress", "--root", str(checkout), "-q"]) == 0
    change(checkout, "timing", M7, "makespan_s", 1.02)
    assert main(["regress", "--root", str(checkout), "-q"]) == 1
    out = capsys.readouterr().out
    assert f"timing: {M7}: makespan_s" in out
    assert "first" in out
    assert main(["regress", "--root", str(checkout), "--json", "-q"]) == 1
    assert json.loads(capsys.readouterr().out)["moved"][0]["number"] == "makespan_s"


def test_command_without_a_baseline_says_how_to_make_one(tmp_path, capsys):
    assert main(["regress", "--root", str(tmp_path), "-q"]) == 2
    assert "buildcast regress --update --why" in capsys.readouterr().err


def test_the_committed_baselines_are_there():
    for kind in KINDS:
        assert read_baseline(ROOT, kind).numbers
