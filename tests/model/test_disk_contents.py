"""What runners keep on their disks and learn from registries, through the true model."""

import pytest
from builders import (
    Handmade,
    a_farm,
    a_graph,
    a_request,
    context,
    copy,
    ends,
    ideal,
    outcomes,
    run,
    simulated,
    source,
)

from sim.graph import CacheMount, Link
from sim.scenario.farm import CacheLimits
from sim.workload.output import Output

MB = 1e6


def misses(trace, build):
    rows = zip(*(trace.steps[name] for name in ("build", "step", "miss")), strict=True)
    return {step: miss for of, step, miss in rows if of == build and miss is not None}


def exports(trace):
    """[(build, vertex, started, completed, bytes)] of all exports."""
    names = ("build", "step", "started_s", "completed_s", "sent_bytes", "kind")
    rows = zip(*(trace.steps[name] for name in names), strict=True)
    return [(int(build), *rest) for build, *rest, kind in rows if kind == "export"]


CHAIN = a_graph(source(), run("one", 0), run("two", 1))
SIZES = ideal(("RUN *", {"latency": 1.0, "layer": 60 * MB, "write": 60 * MB}))


def test_a_record_over_the_limit_goes_leaf_first_a_second_after_the_build():
    """120 MB in a cache of 100: `two` goes, what it stood on stays, and its key is known still (semantics 8)."""
    farm = a_farm(cache=CacheLimits(max_bytes=100 * MB))
    trace = simulated(CHAIN, [a_request(0), a_request(1, 2.5), a_request(2, 9.0)], SIZES, farm)
    # The garbage is collected a second after the end of a build: at 2.5 both are still there.
    assert {outcome for _, outcome in outcomes(trace, 1)} == {"cached"}
    assert dict(outcomes(trace, 2))["RUN one"] == "cached"
    assert dict(outcomes(trace, 2))["RUN two"] == "executed"
    assert misses(trace, 2) == {"RUN two": "evicted"}


def test_garbage_is_collected_once_a_minute_at_most():
    """The second build overshoots; its garbage waits until a minute after the first run (13.8)."""
    other = a_graph(source(), run("three", 0), run("four", 1), target="other")
    made = Handmade({"app": CHAIN, "other": other})
    farm = a_farm(targets=("app", "other"), cache=CacheLimits(max_bytes=100 * MB))
    requests = [
        a_request(0),
        a_request(1, 5.0, ("other",)),
        a_request(2, 30.0, ("other",)),
        a_request(3, 70.0, ("other",)),
    ]
    trace = simulated(made, requests, SIZES, farm)
    assert {outcome for _, outcome in outcomes(trace, 2)} == {"cached"}
    assert "executed" in {outcome for _, outcome in outcomes(trace, 3)}


def test_unused_records_go_after_keep():
    farm = a_farm(cache=CacheLimits(keep_s=100.0))
    trace = simulated(CHAIN, [a_request(0), a_request(1, 90.0), a_request(2, 300.0), a_request(3, 310.0)], SIZES, farm)
    assert {outcome for _, outcome in outcomes(trace, 1)} == {"cached"}
    # Nothing is collected while the farm rests: the build at 300 s hits, and its end starts the next run.
    assert {outcome for _, outcome in outcomes(trace, 2)} == {"cached"}


def farm_of_two(**fields):
    """A pool of two runners for one build each: a long build keeps main busy, so the others run on clones."""
    return a_farm(targets=("app", "long"), limit=1, max_instances=2, idle_timeout_s=5.0, **fields)


LONG = a_graph(source(), run("long", 0), target="long")
TWO = Handmade({"app": CHAIN, "long": LONG})
CLONES = [a_request(0, 0.0, ("long",)), a_request(1, 1.0), a_request(2, 50.0)]
SLOW = ideal(("RUN long", {"latency": 200.0}), ("RUN *", {"latency": 1.0, "write": 60 * MB}))


def test_what_a_clone_did_is_lost_with_discard_and_kept_by_a_registry():
    lost = simulated(TWO, CLONES, SLOW, farm_of_two())
    assert misses(lost, 2) == {"RUN one": "clone", "RUN two": "clone"}
    kept = simulated(TWO, CLONES, SLOW, farm_of_two(write_back="registry"))
    assert {outcome for _, outcome in outcomes(kept, 2)} == {"cached"}
    assert [vertex for build, vertex, *_ in exports(kept) if build == 1] == ["exporting cache to registry"]


def test_lazy_layers_are_pulled_when_a_new_step_stands_on_them():
    """Two layers of 60 MB, packed to 35 %: they come over 42 MB/s in 1 s before the new RUN starts (13.7)."""
    from dataclasses import replace

    from sim.scenario.farm import Runner

    longer = a_graph(source(), run("one", 0), run("two", 1), run("new", 2), target="new")
    made = Handmade({"app": CHAIN, "long": LONG, "new": longer})
    farm = replace(farm_of_two(write_back="registry"), projects=dict.fromkeys(made.graphs, "main"))
    # The manifest of `app` is not that of `new`: a cache export stands under its target.
    requests = [a_request(0, 0.0, ("long",)), a_request(1, 1.0, ("new",)), a_request(2, 50.0, ("new",), args=())]
    plain = simulated(made, requests, SLOW, replace(farm, runner=Runner(2.0, network_bytes_per_s=42 * MB)))
    assert {outcome for _, outcome in outcomes(plain, 2)} == {"cached"}
    edited = a_graph(source(), run("one", 0), run("two", 1), context(), copy("c", 2, 3, "/a.txt"), target="new")
    made = Handmade({"app": CHAIN, "long": LONG, "new": edited})
    requests[2] = a_request(2, 50.0, ("new",), changed=[("a.txt", 1)])
    trace = simulated(made, requests, SLOW, replace(farm, runner=Runner(2.0, network_bytes_per_s=42 * MB)))
    took = dict(zip(zip(trace.steps["build"], trace.steps["step"], strict=True), trace.steps["started_s"], strict=True))
    assert dict(outcomes(trace, 2))["COPY c"] == "executed"
    assert took[2.0, "COPY c"] == pytest.approx(51.0, abs=0.01)


@pytest.mark.parametrize(("write_back", "again"), [("discard", {"clone"}), ("last_write_wins", set())])
def test_cache_mounts_and_records_of_a_clone_live_as_long_as_it_writes_back(write_back, again):
    trace = simulated(TWO, [*CLONES, a_request(3, 300.0)], SLOW, farm_of_two(write_back=write_back))
    assert set(misses(trace, 2).values()) == again


def test_a_mount_is_warm_on_the_runner_that_filled_it_and_cold_after_its_clone_is_gone():
    mount = CacheMount("npm", "/cache")
    app = a_graph(source(), context(), copy("c", 0, 1, "/a.txt"), run("npm", 2, mounts=(mount,)))
    made = Handmade({"app": app, "long": LONG})
    costs = ideal(("RUN long", {"latency": 200.0}), ("RUN npm", {"latency": 10.0, "warm": 0.2}))
    requests = [
        a_request(0, 0.0, ("long",)),
        *(a_request(i, at, changed=[("a.txt", i)]) for i, at in ((1, 1.0), (2, 13.0), (3, 60.0))),
    ]
    trace = simulated(made, requests, costs, farm_of_two())
    assert [ends(trace)[build] - at for build, at in ((1, 1.0), (2, 13.0), (3, 60.0))] == pytest.approx(
        [10.0, 2.0, 10.0]
    )


def test_layers_are_packed_once_and_both_pushes_send():
    """Two builds of one image at once: one packs for both, each sends it all; a third finds everything there (13.7)."""
    pushed = {"output": Output(push=True)}
    requests = [a_request(0, 0.0, **pushed), a_request(1, 0.0, **pushed), a_request(2, 60.0, **pushed)]
    trace = simulated(CHAIN, requests, SIZES, a_farm())
    sent = {build: sent_bytes for build, *_, sent_bytes in exports(trace)}
    assert sent[0] == sent[1] == pytest.approx(120 * MB * 0.35)
    assert sent[2] == 0.0
    assert trace.builds["export_bytes"].tolist() == [sent[0], sent[1], 0.0]


def test_a_base_is_exported_after_all_its_dependents_are_evaluated():
    """base 3 s, app 2 s on top of it: the base's image is written at 5 s (13.1)."""
    base = a_graph(source(), run("base", 0), target="base")
    app = a_graph(source(), run("base", 0), run("app", 1), target="app", links=(Link("base", 1),))
    made = Handmade({"app": app, "base": base}, {"app": ("base",)}, bake=True)
    costs = ideal(("RUN base", {"latency": 3.0}), ("RUN app", {"latency": 2.0}))
    requests = [a_request(0, 0.0, ("app", "base"), output=Output())]
    trace = simulated(made, requests, costs, a_farm(targets=("app", "base")))
    assert {started for _, _, started, *_ in exports(trace)} == {5.0}


@pytest.mark.parametrize(("reproducible", "outcome"), [(True, "cached"), (False, "executed")])
def test_a_base_that_is_not_reproducible_makes_all_its_consumers_run_again(reproducible, outcome):
    """The base is built again without cache; its consumer, in another project, has it by digest."""
    base = a_graph(source(), run("base", 0), target="base")
    app = a_graph(source(), run("base", 0), run("app", 1), target="app", links=(Link("base", 1),))
    made = Handmade({"app": app, "base": base}, {"app": ("base",)}, bake=True)
    farm = a_farm(targets=("app", "base"), projects={"app": "a", "base": "b"})
    requests = [
        a_request(0, 0.0, ("app", "base")),
        a_request(1, 50.0, ("base",), no_cache=True),
        a_request(2, 100.0, ("app", "base")),
    ]
    costs = ideal(("RUN *", {"latency": 1.0, "reproducible": reproducible}))
    trace = simulated(made, requests, costs, farm)
    assert [found for step, found in outcomes(trace, None) if step == "[app] RUN app"] == ["executed", outcome]


def test_a_context_goes_over_the_clients_line_and_kept_ones_send_what_changed():
    """600 bytes (a.txt, b.txt, src/c.txt) over 100 bytes/s; then a.txt alone, 100 bytes; fresh ones send all again."""
    graph = a_graph(source(), context(), copy("all", 0, 1))
    line = {"uplink_bytes_per_s": 100.0}
    kept = {"fresh_checkout": False, "client": 1, **line}
    requests = [
        a_request(0, 0.0, **kept),
        a_request(1, 20.0, changed=[("a.txt", 1)], **kept),
        a_request(2, 40.0, changed=[("a.txt", 1)], **line),
    ]
    trace = simulated(graph, requests, ideal(), a_farm())
    assert [ends(trace)[build] - at for build, at in ((0, 0.0), (1, 20.0), (2, 40.0))] == pytest.approx([6.0, 1.0, 6.0])
    assert trace.builds["context_bytes"].tolist() == [600.0, 100.0, 600.0]
