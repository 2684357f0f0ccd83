"""Intervals against tables and by repetition."""

import random

import pytest

from sim.study.interval import chance_better, t_interval


def test_t_interval_of_a_known_sample():
    """n 5, mean 3, s = sqrt(2.5), t(4, 0.975) = 2.776445 [any t table]: half width 1.963243."""
    found = t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.high) == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-6)


def test_ninety_five_percent_cover_the_mean():
    seed = 20261124
    print("seed", seed)
    draws = random.Random(seed)
    samples = [[draws.gauss(7.0, 3.0) for _ in range(10)] for _ in range(1000)]
    covered = sum(found.low <= 7.0 <= found.high for found in map(t_interval, samples))
    assert 930 <= covered <= 970


def test_chance_better():
    assert chance_better([1.0, 1.0, 1.0]) == 1.0
    assert chance_better([0.0, 0.0]) == 0.5
    assert chance_better([-1.0, 1.0]) == pytest.approx(0.5)
    assert chance_better([1.0, 2.0, 1.5, 1.2]) > 0.99 > chance_better([1.0, -0.9, 1.5, -1.2])
