"""Arrivals: the rate that was asked for, in each pattern and from any start; the variation of gaps."""

from itertools import islice, takewhile
from math import sqrt

import numpy as np
import pytest

from sim.errors import InputError
from sim.workload.arrivals import HOUR_S, OFFICE_HOURS, WEEK_S, arrivals, expected, week_weights
from sim.workload.streams import stream


def times(
    count_or_horizon_s: float, rate_per_s: float, seed: int = 1, by_count: bool = False, **kind: object
) -> np.ndarray:
    found = arrivals(stream(seed, "gap", 0), rate_per_s, **kind)
    kept = (
        islice(found, int(count_or_horizon_s)) if by_count else takewhile(lambda time: time < count_or_horizon_s, found)
    )
    return np.array(list(kept))


@pytest.mark.parametrize("pattern", ["flat", "office_hours", "weekly"])
@pytest.mark.parametrize("cv", [0.3, 1.0, 2.72])
@pytest.mark.parametrize("phase_s", [0.0, 8 * HOUR_S, 6 * 24 * HOUR_S + 1234.5])
def test_the_mean_over_whole_weeks_is_the_rate(pattern, cv, phase_s):
    """A renewal process has N(t) ~ t +- cv sqrt(t) (central limit theorem); 3.9 sd is one false alarm in 10 000."""
    rate_per_s, weeks, seed = 12 / HOUR_S, 8, 7
    count = len(times(weeks * WEEK_S, rate_per_s, seed, pattern=pattern, cv=cv, phase_s=phase_s))
    mean = rate_per_s * weeks * WEEK_S
    assert abs(count - mean) < 3.9 * max(1.0, cv) * sqrt(mean), f"seed {seed}: {count} arrivals, {mean:.0f} expected"


def test_the_rate_holds_from_the_first_hour_on():
    """Equilibrium renewal: E N(t) = t for every t, also for bursty gaps whose plain renewal process starts too fast."""
    counts = [len(times(HOUR_S, 12 / HOUR_S, seed, cv=2.72)) for seed in range(1500)]
    error = np.std(counts) / sqrt(len(counts))
    assert abs(np.mean(counts) - 12) < 3.9 * error, f"seeds 0..1499: mean {np.mean(counts):.2f} +- {error:.2f}"


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.72, 4.61])
def test_gaps_vary_as_asked(cv):
    gaps = np.diff(times(60_000, 1.0, seed=3, by_count=True, cv=cv))
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(cv, rel=0.05, abs=1e-9)


@pytest.mark.parametrize("pattern", ["office_hours", "weekly"])
def test_hours_get_their_share(pattern):
    phase_s = 8 * HOUR_S
    found = times(40 * WEEK_S, 100 / HOUR_S, seed=5, pattern=pattern, phase_s=phase_s)
    hour = ((found + phase_s) % WEEK_S // HOUR_S).astype(int)
    shares = np.bincount(hour, minlength=168) / len(found) * 168
    np.testing.assert_allclose(shares, week_weights(pattern), atol=0.12)


def test_weights_are_those_of_the_source():
    """farm-facts D1: peak to trough 3.6 over the hours (7.9 % at 19, 2.2 % at 13); Tuesday 19.4 %, Sunday 5.5 %."""
    weekly = week_weights("weekly")
    assert weekly.mean() == pytest.approx(1.0)
    assert weekly[19] / weekly[13] == pytest.approx(7.9 / 2.2)
    assert weekly[24:48].sum() / weekly[144:].sum() == pytest.approx(19.4 / 5.5)
    assert np.count_nonzero(week_weights("office_hours")) == 5 * len(OFFICE_HOURS)


def test_a_longer_run_only_appends():
    short, long = times(300, 1.0, by_count=True, cv=2.72), times(3000, 1.0, by_count=True, cv=2.72)
    assert (long[:300] == short).all()


def test_the_expected_count_is_the_weights_integral_to_the_hour():
    assert 168 <= expected(1 / HOUR_S, "flat", 0.0, WEEK_S) <= 169
    assert 3 * 168 <= expected(1 / HOUR_S, "office_hours", 0.0, 3 * WEEK_S) <= 3 * 168 + 1
    assert expected(1 / HOUR_S, "office_hours", 20 * HOUR_S, 4 * HOUR_S) == 0


@pytest.mark.parametrize(
    ("rate", "cv"), [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (float("inf"), 1.0), (1.0, -1.0)]
)
def test_impossible_numbers_are_refused(rate, cv):
    with pytest.raises(InputError):
        next(arrivals(stream(1, "gap", 0), rate, "flat", cv))
