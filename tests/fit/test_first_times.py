"""What only a first time shows, and what stands before a build's first vertex: found again, and nothing where it is not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.calibrate import Measured, calibrate, known_costs
from sim.fit.constants_fit import fit_constants
from sim.fit.held_out import has_few_files
from sim.fit.measured.clients import bake_starts_s
from sim.fit.measured.images import first_more_s, looks_s
from sim.fit.measured.schedule import Schedule
from sim.profile import DAEMON
from sim.runs import prepare, simulate_case
from sim.scenario import load

sys.path.insert(0, str(Path(__file__).parent))
from recorded import a_trace

CORPUS = Path(__file__).parents[1] / "real" / "corpus"


def test_what_an_image_takes_beside_its_rule_is_found_again_and_so_is_a_context():
    """A base takes 42 ms by its rule, and 90. Without `has_few_files` contexts say nothing; 30 of 12 ms hardly outweigh the
    documented 4.
    """
    known = []
    daemon = replace(DAEMON, source_cpu_s=0.048, context_cpu_s=0.012)
    for name in ("cpu-small-1", "cpu-edit-1", "cpu-edit-2"):
        case = prepare(load(CORPUS / name), say=lambda text: None)
        trace = simulate_case(replace(case, profile=case.profile.with_daemon(daemon)))
        one = Measured.of(trace, where=name, rules=case.scenario.costs, has_few_files=has_few_files(case))
        known.append(known_costs(one, Schedule(one.observation), DAEMON))
    found = {fit.name: fit.value for fit in fit_constants(known, DAEMON, ["source_cpu_s", "context_cpu_s"])}
    assert found["source_cpu_s"] == pytest.approx(0.048, rel=0.25)
    assert found["context_cpu_s"] == pytest.approx(0.012, rel=0.35)


def a_look(begun_s: float, took_s: float, runner: int = 0) -> dict[str, object]:
    step = "[context image-0] load metadata for docker.io/library/image-0"
    return {"step": step, "kind": "source", "runner": runner, "started_s": begun_s, "completed_s": begun_s + took_s}


def test_the_first_look_at_an_image_is_a_runners_first_and_counts_where_it_is_alone():
    alone = a_trace([a_look(1.0, 0.050), a_look(2.0, 0.010), a_look(3.0, 0.008)])
    crowd = a_trace([a_look(1.0, 0.100), a_look(1.05, 0.090), a_look(2.0, 0.009)])
    assert looks_s(alone) == (pytest.approx([0.050]), pytest.approx([0.010, 0.008]))
    assert looks_s(crowd) == ([], pytest.approx([0.009]))
    assert first_more_s([looks_s(alone), looks_s(crowd)]) == []  # one says little
    assert first_more_s([looks_s(alone)] * 4) == pytest.approx([0.041] * 4)


def test_how_long_buildx_takes_to_begin_is_read_where_nothing_else_is_under_way():
    """mixed-bake-2: two bakes at once, then two alone. Of the documented daemon: its own latency comes back."""
    case = prepare(load(CORPUS / "mixed-bake-2"), say=lambda text: None)
    slow = replace(DAEMON, bake_latency_s=0.080)
    trace = simulate_case(replace(case, profile=case.profile.with_daemon(slow)))
    assert bake_starts_s(trace) == pytest.approx([0.080 + DAEMON.client_latency_s] * 2, rel=1e-3)
    measured = [Measured.of(trace, rules=case.scenario.costs)]
    found = {one.name: one.value for one in calibrate(measured, DAEMON, costs_known=True).constants}
    assert found["bake_latency_s"] == pytest.approx(0.080, abs=0.01)
    lone = simulate_case(prepare(load(CORPUS / "cpu-chain-1"), say=lambda text: None))
    assert bake_starts_s(lone) == []
