import math

import numpy as np
import pytest

from sim.errors import InputError
from sim.metrics import OBJECTIVES, objective, per_request, summarise


def test_arrays_of_requests(make):
    seen = per_request(make())
    assert seen.request.tolist() == [0, 1, 2]
    assert seen.duration_s.tolist() == [70, 35, 40]
    assert seen.outcome.tolist() == ["ok", "ok", "failed"]
    # 60, 30, 30 s of lease at 0.001 a second, and waiting at 0.01 a second
    np.testing.assert_allclose(seen.cost, [0.06 + 0.7, 0.03 + 0.35, 0.03 + 0.4])


def test_who_pays_can_be_asked_both_ways(make):
    # runner 0 for 100 s: builds of 60 + 30 and 30 s; runner 1 for 60 s
    np.testing.assert_allclose(per_request(make(), per="runner").cost, [0.075 + 0.7, 0.06 + 0.35, 0.025 + 0.4])


def test_costs_add_up_to_the_summary(make):
    for meta in ({}, {"warmup_s": 20.0}, {"cache_byte_s": 1e15}):
        assert objective(make(**meta), "cost_total") == pytest.approx(summarise(make(**meta))[0].money.total_usd)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean_duration", 145 / 3),
        ("p50_duration", 40),
        ("p95_duration", 67),
        ("cost_per_request", 1.57 / 3),
        ("cost_total", 1.57),
    ],
)
def test_objectives(make, name, value):
    assert objective(make(), name) == pytest.approx(value)


def test_a_request_is_as_bad_as_its_worst_build(make, builds):
    builds[1] = (*builds[1][:7], "failed", "exit code 1", 0)
    assert per_request(make(builds=builds)).outcome.tolist() == ["failed", "ok", "failed"]


def test_cancelled_requests_have_no_say_in_durations(make, builds):
    builds[2] = (*builds[2][:7], "cancelled", "superseded", 1)
    assert objective(make(builds=builds), "mean_duration") == 55
    assert summarise(make(builds=builds))[0].duration_s.mean == 55


def test_no_requests_and_no_prices_are_nan(make):
    for name in set(OBJECTIVES) - {"cost_total"}:
        assert math.isnan(objective(make(builds=(), steps=()), name))


def test_an_unknown_objective_lists_the_known(make):
    with pytest.raises(InputError, match="mean_duration"):
        objective(make(), "speed")
