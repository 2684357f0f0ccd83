"""Held-out profiles: fitted on what the model itself simulated with other constants, they find these."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.held_out import FOLDS, HeldOut, can_hold_out
from sim.fit.validate import Subject
from sim.fit.validation.observed import observe
from sim.profile import DAEMON, Profile
from sim.runs import prepare, simulate_case
from sim.scenario import load

CORPUS = Path(__file__).parents[1] / "real" / "corpus"
NAMES = ("cpu-chain-1", "cpu-fork-1", "cpu-slots-1", "cpu-edit-1", "cpu-fork-2", "cpu-fork-3", "mixed-1", "mixed-2")
TRUE = replace(DAEMON, run_cpu_s=0.12)


def a_subject(name):
    case = prepare(load(CORPUS / name))
    profile = Profile.of(case.scenario.costs)
    profile.daemon = TRUE
    trace = simulate_case(replace(case, profile=profile))
    trace = replace(trace, meta=replace(trace.meta, source="measured"))
    return Subject(case, (observe(trace),), traces=(trace,))


@pytest.fixture(scope="module")
def subjects():
    return [a_subject(name) for name in NAMES]


def test_constants_come_from_the_other_folds(subjects):
    held_out = HeldOut(subjects)
    assert held_out(subjects[0]).daemon.run_cpu_s == pytest.approx(TRUE.run_cpu_s, rel=0.15)


def test_constants_that_no_trace_shows_are_those_of_the_suite(subjects):
    """Nothing is exported here. Without `start` in `HeldOut.__call__` the documented value stands."""
    held_out = HeldOut(subjects, start=replace(DAEMON, gzip_byte_cpu_s=1e-9, run_cpu_s=0.05))
    daemon = held_out(subjects[0]).daemon
    assert daemon.gzip_byte_cpu_s == 1e-9
    assert daemon.run_cpu_s == pytest.approx(TRUE.run_cpu_s, rel=0.15)


def test_a_fold_is_fitted_once_and_without_its_own(subjects, monkeypatch):
    seen = []

    def fit(measured, daemon, costs_known):
        seen.append(len(measured))
        raise KeyError

    monkeypatch.setattr("sim.fit.held_out.calibrate", fit)
    with pytest.raises(KeyError):
        HeldOut(subjects)(subjects[0])
    assert seen == [len(NAMES) - len(NAMES) // FOLDS]


def test_recordings_without_traces_are_nothing_to_fit_on(subjects):
    assert can_hold_out(subjects)
    assert not can_hold_out([replace(one, traces=()) for one in subjects])
    assert not can_hold_out(subjects[:3])


def test_traces_of_a_busy_machine_are_not_fitted_on(subjects):
    def busy(one):
        (trace,) = one.traces
        return replace(one, traces=(replace(trace, meta=replace(trace.meta, machine={"busy": True})),))

    assert not can_hold_out([busy(one) for one in subjects])
