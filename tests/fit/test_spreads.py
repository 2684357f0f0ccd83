"""Constants and how much single executions of them differ: found again in runs that were made with them."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from pathlib import Path

import pytest

from sim.cli import main
from sim.fit.calibrate import Measured, known_costs
from sim.fit.constants_fit import between_scenarios, counted, fit_constants, single_spreads
from sim.fit.measured.schedule import Schedule
from sim.profile.file import read_profile
from sim.profile.variation import TIMES, Variation
from sim.runs import prepare, simulate_case
from sim.scenario import load

CORPUS = Path(__file__).parents[1] / "real" / "corpus"
FIVE = ("mixed-1", "mixed-2", "mixed-3", "cpu-small-1", "cpu-edit-1")
NAMES = FIVE[:4]


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


def test_what_a_control_group_counted_stays_and_the_waiting_beside_it_is_found():
    """A tail of 30 ms, 10 of them work. Without `given` the fit takes 16 of the 18 core-ms for work, and 23 ms for waiting."""
    case = prepare(load(CORPUS / "cpu-small-1"), say=lambda text: None)
    daemon = replace(case.profile.daemon, tail_cpu_s=0.018, tail_latency_s=0.020)
    assert counted(daemon) == ["tail_cpu_s"]
    one = Measured.of(simulate_case(replace(case, profile=case.profile.with_daemon(daemon))), rules=case.scenario.costs)
    known = [known_costs(one, Schedule(one.observation), daemon)]
    found = {fit.name: fit for fit in fit_constants(known, daemon, ["tail_cpu_s", "tail_latency_s"], counted(daemon))}
    assert found["tail_cpu_s"].value == 0.018
    assert found["tail_latency_s"].value == pytest.approx(0.020, rel=0.1)


@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_what_scenarios_differ_by_beyond_the_constants_is_found(sigma):
    """Daemons that are slower in one scenario by as much as they are faster in the next."""
    known = []
    for at, name in enumerate((*NAMES, "cpu-edit-1", "mixed-small-1", "mixed-edit-1", "cpu-chain-2")):
        case = prepare(load(CORPUS / name), say=lambda text: None)
        daemon = case.profile.daemon
        other = replace(daemon, **{one: getattr(daemon, one) * exp(sigma * (-1) ** at) for one in TIMES})
        one = Measured.of(
            simulate_case(replace(case, profile=case.profile.with_daemon(other))), where=name, rules=case.scenario.costs
        )
        known.append(known_costs(one, Schedule(one.observation), daemon))
    found, n = between_scenarios(known, daemon, daemon)
    assert n == len(known)
    assert found == pytest.approx(sigma, rel=0.3, abs=0.03)


def test_few_scenarios_do_not_say_what_the_next_one_differs_by():
    case = prepare(load(CORPUS / "cpu-chain-1"), say=lambda text: None)
    one = Measured.of(simulate_case(case), rules=case.scenario.costs)
    known = [known_costs(one, Schedule(one.observation), case.profile.daemon)]
    assert between_scenarios(known, case.profile.daemon, case.profile.daemon) == (0.0, 0)


def test_what_varies_is_written_and_what_a_suite_said_of_the_cores_stays(tmp_path, capsys):
    """Luck with cores and daemons were found and not written: bands with the file were narrower than those of its validation."""
    traces, scenarios = [], []
    for name in FIVE:
        case = prepare(load(CORPUS / name), say=lambda text: None)
        simulate_case(case).write(tmp_path / name)
        traces.append(str(tmp_path / name))
        scenarios += ["--scenario", str(CORPUS / name)]
    start, out = tmp_path / "suite.yaml", tmp_path / "out.yaml"
    start.write_text("schema: 1\ncore_speed: {value: 1.0, spread: 0.05, n: 6}\ndaemon: {run_cpu_s: 0.1}\n")
    assert (
        main(["calibrate", *traces, "--constants", "--cpus", "2", *scenarios, "--start", str(start), "-o", str(out)])
        == 0
    )
    found = read_profile(out)
    assert found.core_share.n > 5
    assert found.daemon_speed.n == len(FIVE)
    assert found.variation().core == 0.05
