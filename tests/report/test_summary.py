from dataclasses import replace
from pathlib import Path

import pytest

from sim.metrics import summarise
from sim.report.summary import longest_steps, summary_lines, wait_sentence
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.trace import Table

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture(scope="module")
def case():
    return prepare(load(SCENARIOS / "dedup-pair"))


@pytest.fixture(scope="module")
def trace(case):
    return simulate_case(case)


def test_where_the_time_goes_adds_up(trace):
    found = longest_steps(trace, top=100)
    assert found[0].step.endswith("RUN npm ci")
    assert found[0].executions == 1  # the second build waited
    assert 0.97 < sum(one.share for one in found) <= 1.0 + 1e-9
    assert [one.total_s for one in found] == sorted((one.total_s for one in found), reverse=True)


def test_a_wait_names_both_builds_with_their_time_of_arrival(case, trace):
    longest = summarise(trace)[0].dedup.top[0]
    sentence = wait_sentence(trace, longest, case.scenario.start)
    assert f"waited {longest.wait_s:.1f} s for" in sentence
    assert "(admin at 10:01:00)" in sentence
    assert "(shop, 10:00:00)" in sentence


def test_a_run_over_midnight_says_the_day(trace):
    late_s = 23 * 3600 + 59 * 60.0
    assert "tue 00:00:00)" not in "\n".join(summary_lines(trace, summarise(trace)[0], late_s - 3600))
    assert "admin at tue 00:00:00" in "\n".join(summary_lines(trace, summarise(trace)[0], late_s))


def test_what_is_not_known_is_not_a_number(trace):
    """A measured trace without steps: nothing is invented."""
    bare = replace(trace, steps=Table.from_rows("steps", []))
    lines = summary_lines(bare, summarise(bare)[0], 0.0)
    assert next(line for line in lines if line.startswith("  steps")).split() == ["steps", "n/a"]
    assert next(line for line in lines if line.startswith("  dedup")).split() == ["dedup", "n/a"]
