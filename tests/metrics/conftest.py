"""A small farm whose numbers can be computed by hand: four builds of three requests on a runner and its clone."""

import pytest

from sim.trace import BUILDS, SAMPLES, STEPS, Meta, Prices, Trace

# build, request, lease, target, arrived, ready, completed, outcome, reason, runner
BUILD_ROWS = [
    (0, 0, 0, "web", 0, 10, 70, "ok", None, 0),
    (1, 0, 0, "api", 0, 10, 40, "ok", None, 0),
    (2, 1, 1, "web", 20, 25, 55, "ok", None, 1),
    (3, 2, 2, "web", 30, 40, 70, "failed", "exit code 1", 0),
]
# build, step, key, kind, outcome, ready, started, completed, lock wait, shared with, runner, cpu, miss
STEP_ROWS = [
    (0, "load", None, "overhead", "executed", 10, 10, 11, 0, None, 0, 1, None),
    (0, "npm ci", 7, "exec", "executed", 10, 12, 40, 0, None, 0, 20, "cold"),
    (1, "npm ci", 7, "exec", "shared", 15, 15, 40, None, 0, 0, None, None),
    (1, "copy", 9, "copy", "cached", 10, 10, 10, None, None, 0, None, None),
    (2, "npm ci", 7, "exec", "executed", 25, 25, 50, 0, None, 1, 18, "clone"),
    (3, "npm ci", 7, "exec", "cached", 40, 40, 40, None, None, 0, None, None),
    (3, "test", 8, "exec", "failed", 40, 40, 60, 3, None, 0, 5, None),
]
# in the order of sim.trace.RUNNERS
RUNNER_ROWS = [
    (0, "app", "linux/amd64", 4, None, 0, 10, 110, None),
    (1, "app", "linux/amd64", 4, 0, 20, 25, 85, None),
]
PRICES = Prices({"app linux/amd64": 0.06}, "lease", None, 36.0)


def a_build(build, request, lease, target, arrived_s, ready_s, completed_s, outcome, reason, runner):
    given = dict(locals(), project="app", platforms=("linux/amd64",), started_s=ready_s)
    return tuple(given.get(name) for name in BUILDS)


def a_step(
    build, step, key, kind, outcome, ready_s, started_s, completed_s, lock_wait_s, shared_with, runner, cpu_s, miss
):
    given = locals()
    return tuple(given.get(name) for name in STEPS)


def a_trace(builds=BUILD_ROWS, steps=STEP_ROWS, runners=RUNNER_ROWS, samples=(), **meta):
    rows = {
        "builds": [a_build(*row) for row in builds],
        "steps": [tuple(map(row.get, STEPS)) if isinstance(row, dict) else a_step(*row) for row in steps],
        "runners": runners,
        "samples": [tuple(dict(row).get(name) for name in SAMPLES) for row in samples],
    }
    return Trace.from_rows(rows, Meta(**{"source": "simulated", "name": "hand", "prices": PRICES} | meta))


@pytest.fixture
def make():
    return a_trace


@pytest.fixture
def builds():
    return list(BUILD_ROWS)


@pytest.fixture
def steps():
    return list(STEP_ROWS)
