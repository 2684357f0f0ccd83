"""Draws: functions of their arguments alone, with the distributions they promise."""

import os
import subprocess
import sys
from math import log
from statistics import correlation, fmean, median, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.profile import DAEMON, Profile
from sim.profile.variation import Variation

KEYS = [key * 0x9E3779B97F4A7C15 & (2**64 - 1) for key in range(20_000)]


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_factors_are_lognormal_of_median_one(spread):
    logs = [log(Profile.factor(1, key, 0, spread)) for key in KEYS]
    assert median(logs) == pytest.approx(0, abs=4 * spread * 1.2533 / len(KEYS) ** 0.5)
    assert stdev(logs) == pytest.approx(spread, rel=0.03)


def test_no_spread_is_exactly_one():
    assert Profile.factor(1, 2, 3, 0.0) == 1.0


@given(st.integers(0, 2**80), st.integers(0, 2**80), st.integers(0, 99), st.integers(0, 99))
def test_uniform_stays_in_its_interval(seed, key, attempt, purpose):
    assert 0 <= Profile.uniform(seed, key, attempt, purpose) < 1
    assert 0 < Profile.factor(seed, key, attempt, 5.0) < float("inf")


@pytest.mark.parametrize("which", ["seed", "key", "attempt", "purpose"])
def test_neighbours_are_unrelated(which):
    """Consecutive seeds, keys, attempts and purposes: mean 1/2 and no correlation (4 sd of n = 20 000)."""
    order = {"seed": 0, "key": 1, "attempt": 2, "purpose": 3}[which]
    numbers = []
    for count in range(20_000):
        arguments = [7, 12345, 0, 1]
        arguments[order] = count
        numbers.append(Profile.uniform(*arguments))
    assert fmean(numbers) == pytest.approx(0.5, abs=4 * 0.2887 / 20_000**0.5)
    assert correlation(numbers[:-1], numbers[1:]) == pytest.approx(0, abs=4 / 20_000**0.5)


def test_every_process_draws_the_same():
    program = (
        "from sim.profile import Profile; print(Profile.factor(1, 2**63 + 5, 1, 0.4), Profile.uniform(1, 5, 0, 2))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "99")
    }
    assert answers == {f"{Profile.factor(1, 2**63 + 5, 1, 0.4)} {Profile.uniform(1, 5, 0, 2)}"}


def test_a_daemon_as_a_whole_is_slower_or_faster_and_right_in_the_mean():
    varies = Variation(whole=0.2)
    drawn = [varies.daemon(DAEMON, seed) for seed in range(4000)]
    factors = [one.run_cpu_s / DAEMON.run_cpu_s for one in drawn]
    assert fmean(factors) == pytest.approx(1.0, abs=0.02)
    assert stdev(map(log, factors)) == pytest.approx(0.2, rel=0.05)
    assert [one.copy_cpu_s / DAEMON.copy_cpu_s for one in drawn] == pytest.approx(factors)
    assert {(one.lock_poll_s, one.run_cores, one.gzip_share) for one in drawn} == {
        (DAEMON.lock_poll_s, DAEMON.run_cores, DAEMON.gzip_share)
    }
    assert not varies.is_none
