"""Work lost, done again and saved: by hand, and conserved by the model."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from sim.metrics import summarise
from sim.metrics.work import Work
from sim.runs import simulate
from sim.scenario import load
from sim.trace import STEPS

SCENARIOS = Path(__file__).parents[2] / "scenarios"
OOM = "out of memory (exit code 137)"


def a_step(build, outcome, cpu_s=0.0, saved_cpu_s=0.0, **fields):
    """A row of build 0 to 3 of the hand-made farm that used or saved so much."""
    return {"build": build, "step": "RUN", "kind": "exec", "outcome": outcome, "started_s": 40.0, "runner": 0} | (
        {"key": 7, "cpu_s": cpu_s, "saved_cpu_s": saved_cpu_s} | fields
    )


def work_of(trace):
    return summarise(trace)[0].work


def test_every_core_second_led_to_a_result_or_was_lost(make):
    rows = [
        a_step(0, "executed", 10, miss="cold"),
        a_step(0, "executed", 20, miss="clone", key=8),
        a_step(0, "executed", 30, miss="evicted", key=9),
        a_step(1, "executed", 40, miss="no_cache"),
        a_step(1, "executed", 3, kind="export", key=None),
        a_step(1, "cached", saved_cpu_s=50),
        a_step(2, "shared", saved_cpu_s=10, shared_with=0),
        a_step(3, "failed", 5, key=10),
        a_step(3, "failed", 6, key=11, reason=OOM),
        a_step(3, "cancelled", 7, key=12),
    ]
    found = work_of(make(steps=rows))
    assert asdict(found) == {
        "cpu_s": 121,
        "executed_s": 103,
        "lost_s": 18,
        "failed_s": 11,
        "out_of_memory_s": 6,
        "cancelled_s": 7,
        "again_clone_s": 20,
        "again_evicted_s": 30,
        "again_no_cache_s": 40,
        "saved_dedup_s": 10,
        "saved_cache_s": 50,
        "would_have_s": 181,
    }


def test_work_that_others_took_over_is_not_lost_and_keeps_its_reason(make):
    """The owner left; of the two who waited one pays, and only the other saved."""
    rows = [
        a_step(0, "cancelled", 0.0, miss="clone"),
        a_step(1, "shared", 9.0, shared_with=0),
        a_step(2, "shared", 0.0, saved_cpu_s=9.0, shared_with=0),
    ]
    found = work_of(make(steps=rows))
    assert (found.executed_s, found.lost_s, found.again_clone_s, found.saved_dedup_s) == (9, 0, 9, 9)


def test_a_trace_that_does_not_state_savings_has_those_of_dedup_from_the_owner(make, steps):
    more = (3, "npm ci", 7, "exec", "shared", 40, 40, 40, None, 0, 0, None, None)
    assert work_of(make()).saved_dedup_s == 20
    assert work_of(make(steps=[*steps, more])).saved_dedup_s == 40
    keyless = [(row[0], row[1], None, *row[3:]) for row in steps]
    assert work_of(make(steps=keyless)).saved_dedup_s == 20  # by name
    assert work_of(make()).saved_cache_s is work_of(make()).would_have_s is None  # what was cached is not known


def test_a_shared_failure_saves_failing_again(make, steps):
    more = (2, "test", 8, "exec", "failed", 45, None, 60, None, 3, 1, None, None)
    found = work_of(make(steps=[*steps, more]))
    assert (found.saved_dedup_s, found.cpu_s, found.failed_s) == (20 + 5, 44, 5)


def test_an_owner_outside_of_the_trace_makes_savings_na(make, steps):
    assert work_of(make(steps=steps[2:3])).saved_dedup_s is None


def test_a_killed_step_of_unknown_use_makes_the_loss_na(make):
    assert work_of(make(steps=[a_step(0, "cancelled", None)])).lost_s is None
    assert work_of(make(steps=[a_step(0, "cancelled", None, started_s=None)])).lost_s == 0


def test_no_steps_no_work(make):
    assert work_of(make(steps=())) == Work()


def test_groups_add_up_to_the_whole(make, steps):
    whole, parts = summarise(make())[0].work, [one.work for one in summarise(make(), by="target")]
    for name in ("cpu_s", "lost_s", "again_clone_s", "saved_dedup_s"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)


def test_dedup_saves_exactly_what_its_absence_costs():
    """The same two builds with and without: what is not shared is executed, core-second for core-second."""
    shared, alone = (
        work_of(simulate(load(SCENARIOS / "dedup-pair", [f"farm.dedup={dedup}"]))) for dedup in ("on", "off")
    )
    assert shared.saved_dedup_s > 60
    assert alone.saved_dedup_s < 1  # vertices of a live build that had ended are found also without dedup
    assert shared.would_have_s == pytest.approx(alone.would_have_s, rel=1e-12)
    assert alone.cpu_s - shared.cpu_s == pytest.approx(shared.saved_dedup_s - alone.saved_dedup_s, rel=1e-12)


def test_the_model_loses_nothing_in_a_farm_with_clones_failures_and_cancelling():
    settings = ["requests=60", "warmup=0s", "farm.autoscaling.builds_per_instance=1"]
    trace = simulate(load(SCENARIOS / "frequent-small", settings))
    found, used = work_of(trace), Counter()
    for row in trace.steps.rows():
        used[row[STEPS.index("outcome")]] += row[STEPS.index("cpu_s")]
    assert found.cpu_s == pytest.approx(sum(used.values()), rel=1e-12)
    assert found.executed_s + found.lost_s == pytest.approx(found.cpu_s, rel=1e-12)
    assert found.cancelled_s == pytest.approx(used["cancelled"])
    assert 0 < found.lost_s < found.cpu_s
    assert 0 < found.again_clone_s < found.executed_s


@pytest.mark.parametrize(
    ("outcome", "build_reason", "step_reason", "cause"),
    [
        ("failed", "[app] RUN", "", "step failed"),
        ("failed", f"[app] RUN: {OOM}", OOM, OOM),
        ("failed", "keep alive ping failed", None, "keep alive ping failed"),
        ("timed_out", "no runner of main within 300 s", None, "no runner of main within 300 s"),
    ],
)
def test_failures_are_counted_by_cause(make, builds, outcome, build_reason, step_reason, cause):
    builds[3] = (*builds[3][:7], outcome, build_reason, 0)
    steps = [] if step_reason is None else [a_step(3, "failed", 5, reason=step_reason)]
    one = summarise(make(builds=builds, steps=[a_step(0, "executed", 1), *steps]))[0]
    assert one.causes == {cause: 1}
    assert one.failures == {build_reason: 1}


def test_exports_are_work_but_no_steps(make):
    rows = [a_step(0, "executed", 2), a_step(0, "executed", 3, kind="export", completed_s=46.0, key=None)]
    one = summarise(make(steps=rows))[0]
    assert one.steps.outcomes["executed"] == 1
    assert one.work.cpu_s == 5
    assert (one.export_s.count, one.export_s.total) == (1, 6.0)
