from dataclasses import replace
from pathlib import Path

import pytest

from sim.metrics import summarise
from sim.report.summary import longest_steps, summary_lines, wait_sentence
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.trace import BUILDS, STEPS, Meta, Table, Trace

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


def a_run(requests=3, slow=0, steps=(), **meta):
    """Requests a minute apart, each one build of 10 s; the first `slow` take 50 s. The last one is killed for its memory."""
    builds = []
    for at in range(requests):
        row = {"build": at, "request": at, "lease": at, "target": "app", "arrived_s": at * 60.0, "runner": 0}
        row |= {"ready_s": at * 60.0, "started_s": at * 60.0, "completed_s": at * 60.0 + (50 if at < slow else 10)}
        killed = {"outcome": "failed", "reason": "RUN make: out of memory (exit code 137)"}
        builds.append(row | (killed if at == requests - 1 else {"outcome": "ok"}))
    rows = {
        "builds": [tuple(map(row.get, BUILDS)) for row in builds],
        "steps": [tuple(map(r.get, STEPS)) for r in steps],
    }
    return Trace.from_rows(rows, Meta("simulated", **meta))


def lines_of(trace):
    """The summary's lines by label, those without one under the label above."""
    found, label = {}, ""
    for line in summary_lines(trace, summarise(trace)[0], 0.0)[1:]:
        label = line[2:12].strip() or label
        found.setdefault(label, []).append(line[12:])
    return found


def a_step(build, outcome, cpu_s, **fields):
    row = {"build": build, "step": "RUN make", "key": build + 1, "kind": "exec", "outcome": outcome, "cpu_s": cpu_s}
    return row | {"saved_cpu_s": 0.0, "ready_s": 0.0, "started_s": 0.0, "completed_s": 8.0} | fields


def test_work_lost_done_again_and_saved_are_two_lines():
    steps = [
        a_step(0, "executed", 4.0, miss="evicted"),
        a_step(1, "cached", 0.0, saved_cpu_s=4.0),
        a_step(1, "executed", 1.0, kind="export", step="exporting to image", key=None, completed_s=2.5),
        a_step(2, "failed", 3.0, reason="out of memory (exit code 137)"),
    ]
    lines = lines_of(a_run(steps=steps))
    assert lines["work"] == ["8 core-s; lost: failed 3; saved: cache 4", "done again: eviction 4"]
    assert lines["exports"] == ["1 export: 2.5 s"]
    assert lines["requests"] == [
        "2 ok, 1 failed; builds failed: 1 out of memory (exit code 137); at 1 x RUN make: out of memory (exit code 137)"
    ]


def test_a_short_warm_up_is_one_line_that_says_what_to_set():
    assert "warm-up" not in lines_of(a_run(20, slow=5))
    assert "warm-up" not in lines_of(a_run(100))
    assert lines_of(a_run(100, slow=10))["warm-up"] == [
        "none is set, one is seen: set warmup: 10m (mean duration 10 s instead of 14 s; MSER-5)"
    ]
    (line,) = lines_of(a_run(100, slow=10, warmup_s=300.0))["warm-up"]
    assert line.startswith("seems to last longer than 5m: set warmup: 10m ")
    assert "warm-up" not in lines_of(a_run(100, slow=10, warmup_s=600.0))
    (line,) = lines_of(a_run(100, slow=70))["warm-up"]
    assert "too few to tell" in line
