"""Errors, noise, bands and outcomes, on runs small enough to count by hand."""

from math import isnan

import numpy as np
import pytest
from measured_builders import a_run

from sim.fit.validation.errors import BAND, band, compare, fewest, noise, outcomes, summary


def test_an_error_is_signed_and_a_share_of_what_was_measured():
    errors = compare("one", "cpu", [a_run(11.0), a_run(13.0)], [a_run(10.0)])
    assert errors.makespan.error == pytest.approx(0.2)
    assert errors.builds[0].error == pytest.approx(0.2)


def test_short_builds_are_judged_as_if_they_took_a_second():
    errors = compare("one", "cpu", [a_run(0.3)], [a_run(0.2)])
    assert errors.builds[0].error == pytest.approx(0.1)


def test_a_build_counts_from_its_arrival():
    errors = compare("one", "cpu", [a_run(2.0, 5.5, arrived_s=[0.0, 3.0])], [a_run(2.0, 5.0, arrived_s=[0.0, 3.0])])
    assert [score.error for score in errors.builds] == pytest.approx([0.0, 0.25])


def test_noise_is_a_replays_distance_from_the_mean_of_the_others():
    # 1 against 2.5, 2 against 2, 3 against 1.5
    assert noise([1.0, 2.0, 3.0], 2.0) == pytest.approx((1.5 + 0.0 + 1.5) / 3 / 2.0)


def test_noise_of_one_replay_is_unknown():
    assert isnan(noise([1.0], 1.0))


def test_band_of_few_replications_is_all_of_them():
    assert band([3.0, 1.0, 2.0]) == (1.0, 3.0)


@pytest.mark.parametrize("n", [39, 79, 199])
def test_a_band_holds_its_share_of_further_draws(n):
    random = np.random.default_rng(7)
    inside = 0
    for _ in range(4000):
        draws = random.exponential(size=n + 1)
        low, high = band(draws[:n].tolist())
        inside += low <= draws[n] <= high
    assert inside / 4000 == pytest.approx(BAND, abs=0.015)


def test_fewest_replications_for_a_band():
    assert fewest() == 39
    assert fewest(0.9) == 19


def test_builds_that_one_side_lacks_are_named_and_not_compared():
    errors = compare("one", "cpu", [a_run(1.0, 2.0)], [a_run(1.0, None)])
    assert len(errors.builds) == 1
    assert errors.unmatched == ("1 app linux/amd64",)


def test_varied_replications_make_the_bands_only():
    errors = compare("one", "cpu", [a_run(10.0)], [a_run(9.0)], varied=[a_run(8.0), a_run(12.0)])
    assert errors.builds[0].error == pytest.approx(1 / 9)
    assert errors.builds[0].inside == 1


def steps(*names, outcome):
    return dict.fromkeys(names, outcome)


def test_outcomes_are_compared_step_by_step_in_every_replay():
    told = a_run(1.0, steps={0: {"[a 1/2] RUN x": "executed", "[a 2/2] RUN y": "cached"}})
    seen = a_run(1.0, steps={0: {"[a 2/3] RUN x": "executed", "[a 3/3] RUN y": "executed"}})
    found = outcomes([told], [seen, seen])
    assert (found.right, found.total) == (2, 4)
    assert found.wrong == ("0 app linux/amd64: [a #] RUN y: cached instead of executed (2 of 2)",)


def test_who_of_two_that_start_together_executes_is_chance():
    told = a_run(1.0, 1.0, steps={0: steps("x", outcome="executed"), 1: steps("x", outcome="shared")})
    seen = a_run(1.0, 1.0, steps={0: steps("x", outcome="shared"), 1: steps("x", outcome="executed")})
    assert outcomes([told], [seen]).right == 2


def test_who_comes_later_does_not_execute_by_chance():
    late = [0.0, 0.5]
    told = a_run(1.0, 1.0, arrived_s=late, steps={0: steps("x", outcome="executed"), 1: steps("x", outcome="shared")})
    seen = a_run(1.0, 1.0, arrived_s=late, steps={0: steps("x", outcome="shared"), 1: steps("x", outcome="executed")})
    assert outcomes([told], [seen]).right == 0


def test_a_cached_step_may_stay_unreported():
    told, seen = a_run(1.0), a_run(1.0, steps={0: {"x": "cached", "y": "executed"}})
    assert outcomes([told], [seen]).right == 1


def test_replays_that_differ_show_what_can_be_right_at_most():
    runs = [a_run(1.0, steps={0: {"x": outcome}}) for outcome in ("executed", "executed", "cached")]
    found = outcomes([runs[0]], runs)
    assert (found.right, found.repeated, found.total) == (2, 2, 3)
    assert (found.settled, found.settled_right, found.at_best) == (0, 0, 2)


def test_of_what_all_replays_have_in_common_nothing_is_chance():
    """y is decided by who is first, and z is cached where it is not shown: x and z are settled, and z was told wrong."""
    told = a_run(1.0, steps={0: {"x": "executed", "y": "executed", "z": "executed"}})
    runs = [
        a_run(1.0, steps={0: {"x": "executed", "y": outcome} | shown})
        for outcome, shown in (("executed", {"z": "cached"}), ("cached", {}))
    ]
    found = outcomes([told], runs)
    assert (found.total, found.settled, found.settled_right, found.at_best) == (5, 3, 2, 4)
    assert (outcomes([told], runs[:1]).settled, outcomes([told], runs[:1]).total) == (0, 3)


def test_a_class_has_the_means_over_its_scenarios_and_builds():
    first = compare("first", "cpu", [a_run(11.0)], [a_run(10.0)])
    second = compare("second", "cpu", [a_run(9.0, 10.0)], [a_run(10.0, 10.0)])
    found = summary("cpu", [first, second])
    assert found.makespan_mape == pytest.approx(0.05)
    assert found.build_mape == pytest.approx((0.1 + 0.1 + 0.0) / 3)
    assert found.build_bias == pytest.approx(0.0)
    assert (found.n, found.cases, found.worst) == (3, 2, "first")


def test_a_class_of_nothing_knows_nothing():
    found = summary("cpu", [])
    assert [isnan(value) for value in (found.makespan_mape, found.coverage, found.outcome_accuracy)] == [True] * 3
    assert found.worst == ""
    assert found.n == 0
