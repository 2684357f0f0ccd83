"""MSER-5 on series whose transient is known."""

import numpy as np
import pytest

from sim.metrics import mser5, summarise, warmup_of

SEED = 20261124


@pytest.fixture
def draws():
    print("seed", SEED)
    return np.random.default_rng(SEED)


def a_slow_start(make, ends_after, requests=200, **meta):
    """Requests every 10 s on one runner: the first take 100 s, all others about 10."""
    rows = []
    for at in range(requests):
        took_s = 100.0 if at < ends_after else 10.0 + at % 3
        rows.append((at, at, at, "web", at * 10, at * 10, at * 10 + took_s, "ok", None, 0))
    return make(builds=rows, steps=(), **meta)


def test_the_formula_against_its_definition(draws):
    for size in (50, 53, 200, 1000):
        values = draws.normal(size=size) + 5.0 * np.exp(-np.arange(size) / 20)
        means = [values[at : at + 5].mean() for at in range(0, size - 4, 5)]
        n = len(means)
        spread = [sum((one - np.mean(means[d:])) ** 2 for one in means[d:]) / (n - d) ** 2 for d in range(n - 4)]
        best = int(np.argmin(spread))
        assert mser5(values).cut == (best * 5 if best <= n / 2 else None)


def test_a_step_is_cut_where_it_ends(draws):
    values = np.where(np.arange(400) < 60, 20.0, 0.0) + draws.normal(size=400)
    assert 60 <= mser5(values).cut <= 80


def test_a_trend_to_the_end_is_too_short_to_tell():
    assert mser5(np.arange(400.0)).cut is None


@pytest.mark.parametrize("size", [0, 4, 29])
def test_a_few_values_tell_nothing(size):
    assert mser5([1.0] * size).cut is None


def test_a_constant_needs_no_cut():
    assert mser5([1e9 + 0.1] * 100).cut == 0


def test_a_correlated_series_without_transient_is_mostly_left_alone(draws):
    """AR(1) with coefficient 0.5, begun in its stationary state: seldom is a tenth cut or the run called too short."""
    kept = 0
    for _ in range(300):
        noise = draws.normal(size=600)
        noise[0] /= np.sqrt(1 - 0.5**2)
        for at in range(1, noise.size):
            noise[at] += 0.5 * noise[at - 1]
        cut = mser5(noise).cut
        kept += cut is not None and cut <= 60
    assert kept >= 0.8 * 300


def test_a_queue_that_starts_empty_needs_a_cut(draws):
    """M/M/1 at rho 0.9 started empty, by Lindley: its mean in equilibrium is 10 services, its first request's 1."""
    cuts = []
    for _ in range(100):
        work, gaps = draws.exponential(0.9, 3000), draws.exponential(1.0, 3000)
        waits = np.zeros(3000)
        for at in range(1, 3000):
            waits[at] = max(waits[at - 1] + work[at - 1] - gaps[at], 0.0)
        cuts.append(mser5(waits + work).cut)
    told = [cut for cut in cuts if cut is not None]
    assert len(told) > 50
    assert np.mean(told) > 50


def test_a_warm_up_is_enough_when_it_leaves_out_the_slow_requests(make):
    short, long = (warmup_of(a_slow_start(make, 20, warmup_s=given)) for given in (100.0, 191.0))
    assert short.needed_s == 200.0
    assert (short.is_enough, long.is_enough) == (False, True)
    assert short.mean_s > short.mean_needed_s == pytest.approx(11, abs=0.1)
    assert summarise(a_slow_start(make, 20))[0].warmup.requests == 200


def test_no_transient_needs_no_warm_up(make):
    found = warmup_of(a_slow_start(make, 0))
    assert (found.needed_s, found.is_enough) == (0.0, True)


def test_a_run_that_is_slow_most_of_the_time_is_too_short(make):
    found = warmup_of(a_slow_start(make, 150))
    assert (found.needed_s, found.is_enough) == (None, False)


def test_short_runs_without_a_horizon_are_not_judged(make):
    assert warmup_of(make()) is None
    assert warmup_of(a_slow_start(make, 20, requests=49)) is None
    assert warmup_of(a_slow_start(make, 20, requests=49, horizon_s=1000.0)).needed_s is None
    assert warmup_of(make(builds=(), steps=(), horizon_s=10.0)) is None


def test_cancelled_requests_do_not_count(make, builds):
    cancelled = [(at, at, at, "web", at, at, at + 1, "cancelled", "superseded", 0) for at in range(60)]
    assert warmup_of(make(builds=cancelled, steps=())) is None
