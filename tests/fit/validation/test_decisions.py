"""Winners and margins, predicted and measured."""

import pytest

from sim.fit.validation.decisions import decide

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
