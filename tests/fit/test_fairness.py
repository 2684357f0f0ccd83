"""How unfairly cores are shared out: found again in runs that were made with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.calibrate import Measured
from sim.fit.measured.executions import Execution, Observation
from sim.fit.measured.fairness import core_share, crowded
from sim.fit.measured.schedule import Schedule
from sim.profile import DAEMON
from sim.profile.constants import IDEAL
from sim.profile.cost import Cost
from sim.profile.variation import Variation
from sim.runs import prepare, simulate_case
from sim.scenario import load
from sim.scenario.farm import Runner

CORPUS = Path(__file__).parents[1] / "real" / "corpus"
CROWDED = ("cpu-bake-1", "cpu-dedup-1", "cpu-edit-2", "cpu-fork-1", "cpu-fork-3", "cpu-small-1")


def found_in(share, turns):
    """The spread that runs with weights of spread `share` show."""
    parts = []
    for name in CROWDED:
        case = prepare(load(CORPUS / name), say=lambda text: None)
        varied = replace(case, profile=case.profile.varying(Variation(share=share)))
        for turn in range(turns):
            trace = simulate_case(varied, replication=turn)
            measured = Measured.of(trace, where=name, rules=case.scenario.costs)
            schedule = Schedule(measured.observation)
            costs = [
                replace(cost, cpu_s=one.took_s) if one.kind == "source" else cost
                for one, cost in zip(schedule.executions, schedule.stated(case.profile), strict=True)
            ]
            parts.append(crowded(schedule, costs, DAEMON, schedule.simulate(costs, DAEMON).took_s.tolist()))
    return core_share(parts)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_the_weights_of_a_run_are_found_again(share):
    """The steps' own spread times 1 / sqrt(1 - 1 / n), n 2 to 4, finds a fifth less: the twin that fails."""
    spread, n = found_in(share, 6)
    assert n > 200
    assert spread == pytest.approx(share, rel=0.12)


def test_even_shares_show_none():
    spread, n = found_in(0.0, 1)
    assert n > 20
    assert spread < 0.02


def test_runners_that_crowd_each_other_say_nothing_of_weights():
    """One command a runner at a time, two runners on two cores. Without the look at what drawn weights do: a division by 0."""
    steps = [
        Execution(runner, 0, "RUN x", "exec", "", 9.0 * turn, 9.0 * turn + 4) for turn in range(12) for runner in (0, 1)
    ]
    machine = Runner(cpus=2.0)
    schedule = Schedule(Observation("two", tuple(steps), {0: machine, 1: machine}, host=machine))
    costs = [Cost(cpu_s=4.0, threads=2.0)] * len(steps)
    found = crowded(schedule, costs, IDEAL, schedule.simulate(costs, IDEAL).took_s.tolist())
    assert len(found.places) == len(steps)
    assert core_share([found]) == (0.0, 0)
