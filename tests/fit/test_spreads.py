"""How much single executions of a constant differ: found again in runs that were made with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.calibrate import Measured, known_costs
from sim.fit.constants_fit import single_spreads
from sim.fit.measured.schedule import Schedule
from sim.profile.variation import Variation
from sim.runs import prepare, simulate_case
from sim.scenario import load

CORPUS = Path(__file__).parents[1] / "real" / "corpus"
NAMES = ("mixed-1", "mixed-2", "mixed-3", "cpu-small-1")


@pytest.mark.parametrize("share", [0.0, 0.15])
def test_the_spread_of_runs_is_found_again_whatever_luck_there_is_with_cores(share):
    """Luck with cores is drawn by itself. Every RUN where the daemon's share is above 3 % asked: 0.26 and 0.51, the twin that
    fails.
    """
    known = []
    for name in NAMES:
        case = prepare(load(CORPUS / name), say=lambda text: None)
        varied = replace(case, profile=case.profile.varying(Variation((("run_cpu_s", 0.2),), share=share)))
        for turn in range(3):
            one = Measured.of(simulate_case(varied, replication=turn), where=name, rules=case.scenario.costs)
            known.append(known_costs(one, Schedule(one.observation), case.profile.daemon))
    found = single_spreads(known, case.profile.daemon, ["run_cpu_s"])
    assert found["run_cpu_s"] == pytest.approx(0.2, rel=0.35)
