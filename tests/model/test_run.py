"""The model's own loop over SimPy's events does what SimPy's does."""

from __future__ import annotations

import gc
from collections import Counter

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


def test_a_run_leaves_nothing_for_the_collector():
    """It looks rarely while a run lasts; what builds and ended clones have must go without it, or memory would grow."""
    names = ("Solve", "Edge", "Session", "Order", "Lease", "Export", "Daemon", "Cache", "Disk", "Item")
    work = full_work(400, seed=3)

    def alive():
        kinds = Counter(type(one).__name__ for one in gc.get_objects())
        return {name: kinds[name] for name in names}

    gc.collect()
    gc.disable()
    try:
        before = alive()
        trace = run_full(work)
        after = alive()
    finally:
        gc.enable()
    assert any(row[4] is not None for row in trace.runners.rows())  # there were clones
    assert after == before
