"""Failures: the long-run rate and the memory that were asked for; the step where the change arrives."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.workload.failures import TargetGraphs, after_success, failing_step, failure_chain
from sim.workload.streams import stream


def test_the_source_numbers_give_its_third_one():
    """farm-facts D1: 12.3 % fail in all (13.5 % do not succeed), 71.5 % after a failure, 4.3 % after none."""
    assert after_success(0.123, 0.715) == pytest.approx(0.040, abs=0.001)
    assert after_success(0.135, 0.715) == pytest.approx(0.044, abs=0.001)


@given(st.floats(0, 0.99), st.floats(0, 0.99))
def test_the_chain_is_stationary_or_refused(rate, after_failure):
    try:
        begin = after_success(rate, after_failure)
    except InputError:
        assert rate * (1 - after_failure) > 1 - rate
        return
    assert rate * after_failure + (1 - rate) * begin == pytest.approx(rate)


@pytest.mark.parametrize(("rate", "after_failure"), [(0.12, 0.71), (0.3, 0.0), (0.2, None), (0.0, None), (1.0, None)])
def test_long_run(rate, after_failure):
    seed = 11
    chain = np.array(list(islice(failure_chain(stream(seed, "failure", 0), rate, after_failure), 60_000)))
    assert chain.mean() == pytest.approx(rate, abs=0.012), f"seed {seed}"
    if 0 < rate < 1:
        again = chain[1:][chain[:-1]].mean()
        assert again == pytest.approx(rate if after_failure is None else after_failure, abs=0.02), f"seed {seed}"


def test_the_first_push_fails_as_often_as_any():
    firsts = [next(failure_chain(stream(seed, "failure", 0), 0.3, 0.7)) for seed in range(2000)]
    assert np.mean(firsts) == pytest.approx(0.3, abs=0.04)


def test_always_failing_after_a_failure_is_refused():
    with pytest.raises(InputError):
        after_success(0.2, 1.0)


@pytest.fixture
def app(graphs):
    return TargetGraphs(tuple(graphs.graph("app", (), (platform,)) for platform in graphs.platforms("app")))


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        (("app/src/main.ts",), {"RUN npm run build"}),
        (("app/package.json",), {"RUN npm ci", "RUN npm run build"}),
        (("app/README.md",), {"RUN npm run build"}),  # reaches nothing: the last RUN
        ((), {"RUN npm run build"}),
    ],
)
def test_the_failing_step_is_one_that_the_change_reaches(app, changed, steps):
    picked = {failing_step([app], changed, pick) for pick in (0.0, 0.4, 0.6, 0.99)}
    assert picked == {frozenset({f"app:{name}@linux/amd64", f"app:{name}@linux/arm64"}) for name in steps}
