"""What random runs have found, each as small as it can be: rare events that a hundred examples seldom hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import Handmade, a_farm, a_graph, a_request, a_rule, context, copy, ends, ideal, outcomes, run, source
from stress_invariants import EVERY
from stress_runs import whole_run
from stress_worlds import Drawn

from sim.graph import Graph, Input, Step
from sim.profile import Profile
from sim.scenario.farm import CacheLimits, Runner
from sim.workload.output import Output

MB = 1e6


def sound(made, requests, profile, farm):
    """The trace of a run of which everything holds that must hold."""
    made = Handmade({"app": made}) if isinstance(made, Graph) else made
    ran = whole_run(Drawn(replace(farm, projects=dict.fromkeys(made.graphs, "main")), made, requests, profile, "", 1))
    for holds in EVERY:
        holds(ran)
    return ran.trace


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_hit_makes_needless_is_cancelled(fails):
    """While the context loads, a stage whose record has gone starts; then the COPY from it hits, and nobody needs it.

    It went because only the COPY was used at 50. Left alone it ran on, and where it failed the build ended a second time.
    """
    graph = a_graph(source(), context(), run("apt", 0), copy("src", 0, 1, "/a.txt"), copy("out", 3, 2, "/out"))
    costs = ideal(("RUN apt", {"latency": 5.0}))
    slow = {"uplink_bytes_per_s": 100.0}
    last = a_request(2, 90.0, failing=frozenset({graph.steps[2].digest} if fails else ()), **slow)
    trace = sound(
        graph,
        [a_request(0, 0.0, **slow), a_request(1, 50.0, **slow), last],
        costs,
        a_farm(cache=CacheLimits(keep_s=40.0)),
    )
    assert ("RUN apt", "cancelled") in outcomes(trace, 2)
    assert ("COPY out", "cached") in outcomes(trace, 2)
    assert ends(trace)[2] == pytest.approx(91.0)


def test_an_execution_that_outlives_its_owner_keeps_what_it_stands_on():
    """Who joins it never asks for the source, which its owner had; garbage collection, at 2, may not take that."""
    made = Handmade({"app": a_graph(source(), run("long", 0)), "tiny": a_graph(source(), target="tiny")})
    costs = ideal(("RUN long", {"latency": 30.0, "layer": 0.1 * MB}), ("*FROM*", {"latency": 1.0, "write": MB}))
    requests = [a_request(0, 0.0, ("tiny",)), a_request(1, 1.5, cancel_after_s=0.4), a_request(2, 1.7)]
    trace = sound(made, requests, costs, a_farm(cache=CacheLimits(max_bytes=0.5 * MB)))
    assert trace.builds["outcome"].tolist() == ["ok", "cancelled", "ok"]


def test_a_warm_start_fills_a_cache_that_is_too_small():
    graph = a_graph(source(), source("golang"), run("one", 0), copy("two", 2, 1, "/go"))
    costs = ideal(("*", {"latency": 1.0, "layer": MB}))
    sound(graph, [a_request(0)], costs, a_farm(cache=CacheLimits(max_bytes=1.5 * MB, policy="lru", start="warm")))


LONG = a_graph(source(), run("long", 0), target="long")
ON_CLONES = {"limit": 1, "max_instances": 2, "idle_timeout_s": 5.0, "write_back": "registry"}
"""A long build keeps main busy, so the others run on clones, and the later one imports what the earlier one exported."""


def test_an_imported_cache_that_does_not_fit_ends():
    """Beside a context in use there is no room for two records that a third stands on: each pushed out the other, for ever."""
    apart = [copy("a", None, 1, "/a.txt"), copy("b", None, 1, "/b.txt")]
    merge = Step("merge", "LINK", "LINK", "merge", "linux/amd64", (Input(2), Input(3)))
    made = Handmade({"app": a_graph(source(), context(), *apart, merge), "long": LONG})
    farm = a_farm(targets=made.graphs, cache=CacheLimits(max_bytes=10.0, policy="lru"), **ON_CLONES)
    requests = [a_request(0, 0.0, ("long",)), a_request(1, 1.0), a_request(2, 50.0)]
    trace = sound(made, requests, ideal(("RUN long", {"latency": 200.0})), farm)
    assert ("LINK", "cached") in outcomes(trace, 2)


def test_a_pull_for_an_export_stops_with_its_build():
    """60 MB pack to about 21 MB and take 20 s over 1 MB/s; the client gives up after 5."""
    made = Handmade({"app": a_graph(source(), run("one", 0)), "long": LONG})
    farm = replace(a_farm(targets=made.graphs, **ON_CLONES), runner=Runner(2.0, network_bytes_per_s=MB))
    local = Output("local")
    requests = [a_request(0, 0.0, ("long",)), a_request(1, 1.0), a_request(2, 100.0, output=local, cancel_after_s=5.0)]
    rules = [a_rule("RUN long", latency=200.0), a_rule("RUN one", write=60 * MB), a_rule("*FROM*")]
    trace = sound(made, requests, Profile.of(rules), farm)
    pulls = [row for row in trace.steps.rows() if "pull layers" in row[1]]
    assert [(row[0], row[5]) for row in pulls] == [(2, "cancelled")]
    assert pulls[0][13] > 0.0
    assert ends(trace)[2] == pytest.approx(105.03)


def test_a_history_record_that_is_broken_off_is_work_too():
    trace = sound(a_graph(source()), [a_request(0, cancel_after_s=0.05)], Profile.of([a_rule("*FROM*")]), a_farm(0.5))
    [row] = [row for row in trace.steps.rows() if row[4] == "overhead" and "history" in row[1]]
    assert row[5] == "cancelled"


def test_two_targets_that_wait_for_one_failing_step_end_once():
    both = {name: a_graph(source(), run("bad", 0), run(name, 1), target=name) for name in ("app", "web")}
    costs = ideal(("RUN bad", {"latency": 2.0, "fails": 1.0}))
    trace = sound(Handmade(both, bake=True), [a_request(0, 0.0, ("app", "web"))], costs, a_farm(targets=("app", "web")))
    assert sorted(trace.builds["outcome"].tolist()) == ["cancelled", "failed"]


def test_the_run_ends_with_its_last_build_not_with_a_timer_that_finds_nothing_to_do():
    """Else who pays for runners pays for the acquire time-out, and for the rest of a step that was killed."""
    graph = a_graph(source(), run("long", 0))
    costs = ideal(("RUN long", {"latency": 4000.0}))
    farm = a_farm(acquire_timeout_s=300.0, boot_s=25.0)
    trace = sound(graph, [a_request(0, cancel_after_s=30.0)], costs, farm)
    assert trace.runners["stopped_s"].tolist() == [30.0]
