"""The model's own loop over SimPy's events does what SimPy's does."""

from __future__ import annotations

import gc

import pytest
from simpy import Environment

from sim.model import simulate as model
from sim.model.machine.shared import run
from tests.bench.full import full_work, run_full


def test_a_run_is_the_same_by_simpys_own_loop(monkeypatch):
    work = full_work(150, seed=3)
    ours = run_full(work)
    monkeypatch.setattr(model, "run", Environment.run)
    theirs = run_full(work)
    for kind in ("builds", "steps", "runners"):
        # As texts, for nan is not equal to itself.
        assert list(map(repr, ours.table(kind).rows())) == list(map(repr, theirs.table(kind).rows()))


def test_what_a_process_raises_comes_out_and_the_collector_is_as_before():
    env, before = Environment(), gc.get_threshold()

    def fails():
        yield env.timeout(2.0)
        assert gc.get_threshold()[0] > before[0]
        raise ValueError("at two")

    env.process(fails())
    with pytest.raises(ValueError, match="at two"):
        run(env)
    assert env.now == 2.0
    assert gc.get_threshold() == before
