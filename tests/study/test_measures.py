"""What a study keeps agrees with the summary of the same run."""

from pathlib import Path

import pytest

from sim.metrics import summarise
from sim.report.numbers import SHOWN
from sim.runs import simulate
from sim.scenario import load
from sim.study.measures import measure

SCENARIO = Path(__file__).parents[2] / "scenarios" / "frequent-small"


@pytest.fixture(scope="module")
def trace():
    return simulate(load(SCENARIO, ["requests=80", "warmup=0s", "farm.autoscaling.builds_per_instance=1"]))


def test_wasted_work_is_what_was_lost_or_done_again(trace):
    found, work = measure(trace), summarise(trace)[0].work
    parts = ("lost_cpu_s", "clone_repeat_cpu_s", "evicted_repeat_cpu_s", "no_cache_repeat_cpu_s")
    assert found["wasted_cpu_s"] == pytest.approx(sum(found[name] for name in parts))
    assert found["clone_repeat_cpu_s"] == work.again_clone_s > 0
    assert work.executed_s + found["lost_cpu_s"] == pytest.approx(found["cpu_s"])


def test_a_short_warm_up_is_1(trace):
    warmup = summarise(trace)[0].warmup
    assert measure(trace)["short_warmup"] == float(not warmup.is_enough)


def test_every_measure_that_is_shown_is_measured(trace):
    assert set(SHOWN) <= set(measure(trace))
