"""The reasons of the matrix are statements that can be false."""

from types import SimpleNamespace

import pytest

from sim.study.compare import Candidate
from sim.study.interval import Interval
from sim.study.rows import FULL, QUICK, ROWS, Pairs

CALM = {"hit_share": 0.6, "clone_repeat_cpu_s": 0.0, "cpu_s": 100.0, "stretch": 1.0, "mean_duration": 50.0}
CALM |= {"boot_s": 1.0, "dedup_saved_cpu_s": 10.0}


def pairs(change):
    """Eight equal candidates, changed by `change(setting) -> measures`."""
    found = []
    for at, setting in enumerate(QUICK):
        measures = CALM | change(setting)
        cost = Interval(measures.pop("cost", 1.0 + at), 0.0, 2.0)
        found.append(Candidate(setting.label, setting.flags, cost, cost, measures))
    return Pairs(QUICK, SimpleNamespace(candidates=tuple(found)))


HELPS = [
    lambda one: {"hit_share": 0.4, "clone_repeat_cpu_s": 30.0} if one.builds_per_instance else {},
    lambda one: {} if one.builds_per_instance else {"stretch": 2.0, "mean_duration": 90.0},
    lambda one: {} if one.projects == "per_target" else {"stretch": 2.0},
    lambda one: {"cost": 0.5} if one.builds_per_instance or one.projects == "per_target" else {"stretch": 2.0},
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.folder)
def test_a_reason_holds_where_the_quantities_say_so_and_not_where_all_are_equal(row):
    assert row.judge(pairs(HELPS[row.number - 1]))[0]
    assert not row.judge(pairs(lambda _: {}))[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.folder)
def test_candidates_stand_on_both_sides_of_every_recommendation(row):
    for settings in (QUICK, FULL):
        assert {row.recommends(one) for one in settings} == {True, False}


def test_sizes_of_the_studies():
    assert (len(QUICK), len(FULL)) == (8, 36)
    assert set(QUICK) <= set(FULL)
