"""Winners and margins, predicted and measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.validation.decisions import decide, decisions
from sim.fit.validation.replays import Measured
from sim.runs import simulate_case
from sim.study.compare import candidates

ROW = Path(__file__).parents[2] / "real/decisions/frequent-small"
LABELS = ["small", "large", "scaled"]


def test_the_same_winner():
    found = decide("row", "cost", LABELS, [[2.0], [1.0], [3.0]], [[2.2, 2.4], [1.0, 1.2], [3.0, 3.0]])
    assert found.agrees
    assert found.predicted_margin == pytest.approx(1.0)
    assert found.measured_margin == pytest.approx(2.3 / 1.1 - 1)
    assert found.regret == 0.0


def test_another_winner_costs_the_regret():
    found = decide("row", "cost", LABELS, [[1.0], [2.0], [3.0]], [[1.1, 1.1], [1.0, 1.0], [3.0, 3.0]])
    assert not found.agrees
    assert found.regret == pytest.approx(0.1)


def test_a_margin_within_noise_is_not_clear():
    found = decide("row", "cost", LABELS, [[1.0], [2.0], [3.0]], [[1.0, 1.4], [1.3, 1.2], [3.0, 3.0]])
    # The gaps to the runner-up are 0.3 and -0.2: half a unit apart.
    assert found.noise == pytest.approx(0.5 / 1.2)
    assert not found.is_clear


class Kept:
    """Replays that lie there; their machine says what all clients took."""

    seed = 1

    def __init__(self, clients_cpu_s):
        self.machine = {"clients_cpu_s": clients_cpu_s}

    def all(self, cases, progress=None):
        traces = [simulate_case(case) for case in cases]
        return [Measured([replace(one, meta=replace(one.meta, machine=self.machine))]) for one in traces]


def test_candidates_are_forecast_with_the_clients_that_replays_have_beside_their_daemons():
    """What those take, the other candidate's replays say. Without `_on_that_machine` both forecasts are the same."""
    cases = candidates(ROW, [("farm.runner.cpus=1",), ("farm.runner.cpus=2",)], [], lambda _: None)
    lone, beside = (decisions([("row", cases)], Kept(cpu_s), replications=2, workers=1)[0] for cpu_s in (0.0, 20.0))
    for plain, slowed in zip(lone.choices, beside.choices, strict=True):
        assert slowed.predicted > 1.05 * plain.predicted
