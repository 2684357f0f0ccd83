"""Leases on the farm: clones, boots, idle stop, platforms, bake's links, bases of other projects, cancellation."""

from dataclasses import replace

import pytest
from builders import (
    AMD64,
    Handmade,
    a_farm,
    a_graph,
    a_request,
    a_rule,
    ends,
    ideal,
    outcomes,
    run,
    simulated,
    source,
)

from sim.errors import InputError
from sim.graph import Graph, Link
from sim.profile import Profile

A = a_graph(source(), run("a", 0), target="a")
B = a_graph(source(), run("b", 0), target="b")
TWO = Handmade({"a": A, "b": B})
COSTS = ideal(("RUN a", {"latency": 4.0}), ("RUN b", {"latency": 2.0}))


def column(table, name):
    return table[name].tolist()


def test_a_clone_has_what_the_base_had_and_its_additions_are_lost():
    farm = a_farm(targets=("a", "b"), limit=1, boot_s=1.0, clone_s=0.5, idle_timeout_s=3.0)
    requests = [
        a_request(0, 0.0, ("a",)),
        a_request(1, 1.0, ("b",)),  # on a clone, which has nothing yet
        a_request(2, 20.0, ("b",)),  # on main again: the clone did it, main did not
    ]
    trace = simulated(TWO, requests, COSTS, farm)
    assert ends(trace) == pytest.approx({0: 5.0, 1: 4.5, 2: 23.0})
    assert column(trace.builds, "runner") == [1.0, 0.0, 2.0]
    misses = dict(zip(column(trace.steps, "build"), column(trace.steps, "miss"), strict=True))
    assert misses[2] == "clone"


def test_a_clone_made_later_hits_what_main_had_by_then():
    farm = a_farm(targets=("a", "b"), limit=1)
    requests = [a_request(0, 0.0, ("b",)), a_request(1, 5.0, ("a",)), a_request(2, 6.0, ("b",))]
    trace = simulated(TWO, requests, COSTS, farm)
    assert dict(outcomes(trace, 2))["RUN b"] == "cached"
    clone_of = dict(zip(column(trace.runners, "runner"), column(trace.runners, "clone_of"), strict=True))
    assert clone_of[1.0] == 0.0


def test_boot_is_waited_for_and_an_idle_runner_stops():
    farm = a_farm(targets=("a", "b"), boot_s=25.0, idle_timeout_s=60.0)
    trace = simulated(TWO, [a_request(0, 0.0, ("b",)), a_request(1, 200.0, ("b",))], COSTS, farm)
    assert ends(trace) == {0: 27.0, 1: 225.0}
    assert column(trace.runners, "stopped_s") == [87.0, 285.0]


def test_who_waits_too_long_for_a_runner_times_out():
    farm = a_farm(targets=("a", "b"), boot_s=25.0, acquire_timeout_s=10.0)
    trace = simulated(TWO, [a_request(0, 0.0, ("b",))], COSTS, farm)
    assert column(trace.builds, "outcome") == ["timed_out"]
    assert ends(trace) == {0: 10.0}


def test_a_newer_request_of_the_branch_cancels_the_older():
    trace = simulated(TWO, [a_request(0, 0.0, ("a",), superseded_by=1), a_request(1, 1.0, ("a",))], COSTS)
    assert column(trace.builds, "outcome") == ["cancelled", "ok"]


def test_needs_and_closed_clients_follow_the_end_of_others():
    requests = [
        a_request(0, 0.0, ("a",)),
        a_request(1, 0.0, ("b",), needs=(0,), after_s=1.0),
        a_request(2, 0.0, ("b",), after=1, think_s=10.0),
        a_request(3, 0.0, ("b",), after=2, think_s=10.0),
    ]
    trace = simulated(TWO, requests, COSTS, horizon_s=20.0)
    assert column(trace.builds, "arrived_s") == [0.0, 5.0, 17.0]


def test_what_needs_a_failed_request_does_not_run():
    costs = ideal(("RUN a", {"latency": 4.0, "fails": 1.0}))
    trace = simulated(TWO, [a_request(0, 0.0, ("a",)), a_request(1, 0.0, ("b",), needs=(0,))], costs)
    assert column(trace.builds, "request") == [0.0]


def two_platforms():
    return Graph("app", (AMD64, "linux/arm64"), A.steps, A.results)


def test_native_platforms_have_runners_of_their_own():
    farm = a_farm(cpus=1.0, platforms={AMD64: 1.0, "linux/arm64": 1.0})
    trace = simulated(Handmade({"app": two_platforms()}), [a_request(0)], ideal(("RUN a", {"cpu": 4.0})), farm)
    assert ends(trace) == {0: 4.0, 1: 4.0}
    assert column(trace.builds, "platforms") == [(AMD64,), ("linux/arm64",)]


def test_a_platform_that_the_farm_lacks_is_refused():
    with pytest.raises(InputError, match="linux/arm64"):
        simulated(Handmade({"app": two_platforms()}), [a_request(0)], ideal())


BASE = a_graph(source(), run("base", 0), target="base")
APP = a_graph(
    source(), run("base", 0), source("tool"), run("tool", 2), run("app", 1), target="app", links=[Link("base", 1)]
)


def linked(**farm):
    made = Handmade({"base": BASE, "app": APP}, {"app": ("base",)}, bake=True)
    graph = a_graph(
        source(), run("base", 0), source("tool"), run("tool", 2), run("app", 1, by_content=[(3, ("/t",))]), target="app"
    )
    made.graphs["app"] = Graph(graph.target, graph.platforms, graph.steps, graph.results, links=(Link("base", 1),))
    costs = ideal(("*RUN base", {"latency": 2.0}), ("*RUN tool", {"latency": 3.0}), ("*RUN app", {"latency": 1.0}))
    return simulated(made, [a_request(0, 0.0, ("app", "base"))], costs, a_farm(targets=("app", "base"), **farm))


def test_a_linked_target_evaluates_nothing_before_its_base():
    assert max(ends(linked()).values()) == 6.0


def test_older_buildx_has_no_such_barrier():
    assert max(ends(linked(bake_link_barrier=False)).values()) == 4.0


def test_a_linked_target_is_asked_for_when_the_graph_of_its_base_is_known():
    """buildx waits for it (build/build.go:861; replays of mixed-bake-2). The .dockerignore of their context is loaded once,
    though their Dockerfiles are two. With all targets at once `RUN base` starts at 1.5, and at 3 where each loads its own.
    """
    made = Handmade({"base": BASE, "app": replace(APP, dockerfile="Dockerfile.app")}, {"app": ("base",)}, bake=True)
    costs = ideal(("*RUN*", {"latency": 1.0}))
    slow = costs.with_daemon(replace(costs.daemon, definition_cpu_s=1.0, dockerignore_cpu_s=0.5))
    farm = a_farm(cpus=4.0, targets=("app", "base"))
    trace = simulated(made, [a_request(0, 0.0, ("app", "base"))], slow, farm)
    starts = dict(zip(column(trace.steps, "step"), column(trace.steps, "started_s"), strict=True))
    assert starts["[base internal] load build definition from Dockerfile"] == 0.0
    assert starts["[base internal] load .dockerignore"] == 1.0
    assert starts["[app internal] load build definition from Dockerfile.app"] == 1.5
    assert starts["[base] RUN base"] == 2.5


def test_a_linked_target_does_not_ask_for_the_images_of_its_base():
    """They come with the base's graph. With all images of `Compiled.images` asked for, `RUN base` starts at 2."""
    app = replace(a_graph(source(), run("base", 0), run("app", 1), target="app"), links=(Link("base", 1),))
    made = Handmade({"base": BASE, "app": app}, {"app": ("base",)}, bake=True)
    costs = ideal(("*RUN*", {"latency": 1.0}))
    slow = costs.with_daemon(replace(costs.daemon, image_cpu_s=1.0))
    trace = simulated(made, [a_request(0, 0.0, ("app", "base"))], slow, a_farm(cpus=4.0, targets=("app", "base")))
    starts = dict(zip(column(trace.steps, "step"), column(trace.steps, "started_s"), strict=True))
    assert starts["[base] RUN base"] == 1.0


def test_a_base_is_executed_once_and_shown_under_its_own_name():
    rows = [row for row in outcomes(linked()) if "RUN base" in row[0]]
    assert sorted(rows) == [("[base] RUN base", "executed"), ("[base] RUN base", "shared")]


def test_a_base_of_another_project_is_imported():
    trace = linked(projects={"base": "one", "app": "two"})
    assert max(ends(trace).values()) == 6.0
    assert [step for step, _ in outcomes(trace) if "import base" in step] == ["[app context base] import base"]
    assert not any("RUN base" in step and outcome != "executed" for step, outcome in outcomes(trace))


def test_one_failing_target_ends_the_whole_bake():
    made = Handmade({"a": A, "b": B}, bake=True)
    costs = ideal(("*RUN a", {"latency": 4.0}), ("*RUN b", {"latency": 2.0, "fails": 1.0}))
    trace = simulated(made, [a_request(0, 0.0, ("a", "b"))], costs)
    assert sorted(column(trace.builds, "outcome")) == ["cancelled", "failed"]
    assert max(ends(trace).values()) == 2.0


def test_a_target_is_named_only_beside_others():
    """One lease holds the same target in both requests; buildx names it only where there are several."""
    made = Handmade({"a": A, "b": B}, bake=True)
    farm = a_farm(targets=("a", "b"), projects={"a": "one", "b": "two"})
    trace = simulated(made, [a_request(0, 0.0, ("a",)), a_request(1, 9.0, ("a", "b"))], ideal(), farm)
    assert {step for step, _ in outcomes(trace, 0)} == {"[1/9] FROM alpine", "RUN a"}
    assert {step for step, _ in outcomes(trace, 1)} == {"[a 1/9] FROM alpine", "[a] RUN a"}


def test_a_warm_chain_of_bases_in_projects_of_their_own_needs_nothing():
    low = a_graph(source(), run("low", 0), target="low")
    mid = replace(a_graph(source(), run("low", 0), run("mid", 1), target="mid"), links=(Link("low", 1),))
    app = replace(a_graph(source(), run("low", 0), run("mid", 1), run("app", 2), target="app"), links=(Link("mid", 2),))
    made = Handmade({"app": app, "mid": mid, "low": low}, {"app": ("mid",), "mid": ("low",)}, bake=True)
    farm = a_farm(targets=("app", "mid", "low"), projects={"app": "a", "mid": "m", "low": "z"})
    farm = replace(farm, cache=replace(farm.cache, start="warm"))
    trace = simulated(made, [a_request(0, 0.0, ("app", "low", "mid"))], ideal(("*RUN*", {"latency": 2.0})), farm)
    assert "executed" not in {outcome for _, outcome in outcomes(trace)}


def test_a_failure_cancels_what_still_waits_for_a_runner():
    farm = a_farm(targets=("a", "b"), projects={"a": "one", "b": "two"}, boot_s=10.0, acquire_timeout_s=60.0)
    made = Handmade({"a": A, "b": B}, bake=True)
    costs = ideal(("*RUN a", {"latency": 4.0}), ("*RUN b", {"latency": 2.0, "fails": 1.0}))
    requests = [a_request(0, 0.0, ("b",)), a_request(1, 13.0, ("a", "b"))]
    trace = simulated(made, requests, costs, farm)
    waiting = next(row for row in trace.builds.rows() if row[3] == "a")
    assert (waiting[8], waiting[11]) == (None, "cancelled")


def test_a_warm_cache_holds_one_build_of_everything():
    farm = a_farm(targets=("a", "b"))
    farm = replace(farm, cache=replace(farm.cache, start="warm"))
    trace = simulated(TWO, [a_request(0, 0.0, ("a",)), a_request(1, 0.0, ("b",))], COSTS, farm)
    assert ends(trace) == {0: 0.0, 1: 0.0}


def test_a_farm_that_starts_with_the_images_pulls_none_and_runs_everything():
    costs = ideal(("*FROM*", {"latency": 3.0}), ("RUN a", {"latency": 2.0}))
    took_s = {}
    for start in ("cold", "images"):
        farm = a_farm(targets=("a", "b"))
        farm = replace(farm, cache=replace(farm.cache, start=start))
        took_s[start] = ends(simulated(TWO, [a_request(0, 0.0, ("a",))], costs, farm))[0]
    assert took_s == pytest.approx({"cold": 5.0, "images": 2.0})


def test_overheads_are_work_not_delays():
    """Ten RUNs at once on two cores: their set-up takes five core-seconds of one's for each core (buildkit-semantics 11)."""
    profile = Profile.of([a_rule("RUN*", latency=0.0)])
    steps = [source(), *[run(f"r{at}", 0) for at in range(10)]]
    graph = Graph("app", (AMD64,), tuple(steps), tuple(range(1, 11)))
    one = Graph("app", (AMD64,), tuple(steps[:2]), (1,))
    ten_s, one_s = (ends(simulated(of, [a_request(0)], profile))[0] for of in (graph, one))
    alone_s = profile.daemon.run_cpu_s / profile.daemon.run_cores
    assert ten_s - one_s == pytest.approx(5 * profile.daemon.run_cpu_s - alone_s, rel=1e-6)
