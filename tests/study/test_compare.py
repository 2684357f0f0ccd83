"""Candidates from flags, and who wins."""

from pathlib import Path

import pytest

from sim.errors import InputError
from sim.study.compare import compare, vary

SCENARIO = Path(__file__).parents[2] / "scenarios" / "dedup-pair" / "scenario.yaml"


def test_vary_is_the_product_and_brackets_protect_commas():
    assert vary(["farm.size=default,large", "farm.dedup=on"]) == [
        ("farm.size=default", "farm.dedup=on"),
        ("farm.size=large", "farm.dedup=on"),
    ]
    assert vary(["projects={a: [x, y]},one"]) == [("projects={a: [x, y]}",), ("projects=one",)]


@pytest.mark.parametrize("flags", [["farm.size"], ["farm.size=large"], ["=a,b"], []])
def test_nothing_to_compare_is_an_error(flags):
    with pytest.raises(InputError):
        vary(flags)


def test_without_dedup_the_pair_is_slower_and_behind_says_by_how_much():
    found = compare(SCENARIO, vary(["farm.dedup=on,off"]), sets=["objective=mean_duration"], replications=3, workers=1)
    assert found.winner == "dedup=on"
    gap = found.candidate("dedup=off").behind
    assert gap.mean == pytest.approx(
        found.candidate("dedup=off").objective.mean - found.candidate("dedup=on").objective.mean
    )
    assert gap.low > 0
    assert found.separable
