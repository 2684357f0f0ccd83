"""Memory, disk, network, emulation and phases through the true model, against times worked out by hand."""

import pytest
from builders import AMD64, a_farm, a_graph, a_request, context, copy, ends, ideal, outcomes, run, simulated, source

from sim.graph import Graph
from sim.profile.variation import Variation
from sim.scenario.farm import Farm, Runner


def two_runs():
    return a_graph(source(), run("a", 0), run("b", 0), results=(1, 2))


def a_runner_farm(runner, **fields):
    return Farm(runner, {"app": "main"}, **fields)


def test_reading_and_writing_share_one_device():
    """100 bytes read at 50/s and 100 written at 100/s alone take 2 s and 1 s; at once each has half of the device."""
    costs = ideal(("RUN a", {"read": 100.0}), ("RUN b", {"write": 100.0}))
    farm = a_runner_farm(Runner(2.0, disk_read_bytes_per_s=50.0, disk_write_bytes_per_s=100.0))
    trace = simulated(two_runs(), [a_request(0)], costs, farm)
    took = dict(zip(trace.steps["step"], trace.steps["completed_s"], strict=True))
    assert took["RUN b"] == pytest.approx(2.0)
    assert took["RUN a"] == pytest.approx(3.0)


def test_downloads_share_the_network():
    costs = ideal(("RUN a", {"download": 100.0}), ("RUN b", {"download": 300.0}))
    farm = a_runner_farm(Runner(2.0, network_bytes_per_s=100.0))
    trace = simulated(two_runs(), [a_request(0)], costs, farm)
    took = dict(zip(trace.steps["step"], trace.steps["completed_s"], strict=True))
    assert (took["RUN a"], took["RUN b"]) == (pytest.approx(2.0), pytest.approx(4.0))


def test_phases_follow_each_other_and_overlapping_ones_do_not():
    amounts = {"latency": 1.0, "download": 200.0, "read": 100.0, "cpu": 3.0, "write": 50.0}
    farm = a_runner_farm(
        Runner(2.0, disk_read_bytes_per_s=100.0, disk_write_bytes_per_s=50.0, network_bytes_per_s=100.0)
    )
    alone = a_graph(source(), run("a", 0))
    assert ends(simulated(alone, [a_request(0)], ideal(("RUN a", amounts)), farm))[0] == pytest.approx(8.0)
    # At once: reading and writing take turns on one device, and the CPU is busy for 3 s.
    together = ideal(("RUN a", amounts | {"overlap": True}))
    trace = simulated(alone, [a_request(0)], together, farm)
    assert ends(trace)[0] == pytest.approx(3.0)
    assert trace.steps["cpu_s"].sum() == pytest.approx(3.0)


def test_the_largest_step_dies_and_the_others_go_on():
    costs = ideal(("RUN a", {"latency": 5.0, "memory": 200.0}), ("RUN b", {"latency": 3.0, "memory": 150.0}))
    requests = [a_request(0, 0.0), a_request(1, 1.0, ("other",))]
    from builders import Handmade

    made = Handmade({"app": a_graph(source(), run("a", 0)), "other": a_graph(source(), run("b", 0), target="other")})
    farm = Farm(Runner(2.0, memory_bytes=300.0), {"app": "main", "other": "main"})
    trace = simulated(made, requests, costs, farm)
    assert outcomes(trace, 0)[-1] == ("RUN a", "failed")
    assert trace.builds["outcome"].tolist() == ["failed", "ok"]
    assert "out of memory (exit code 137)" in trace.builds["reason"][0]
    assert ends(trace) == {0: 1.0, 1: 4.0}
    # A failure is not cached: it runs again, alone this time.
    again = simulated(made, [*requests, a_request(2, 9.0)], costs, farm)
    assert outcomes(again, 2)[-1] == ("RUN a", "executed")


def test_far_beyond_the_memory_the_daemon_stops_answering():
    costs = ideal(("RUN a", {"latency": 5.0, "memory": 200.0}), ("RUN b", {"latency": 3.0, "memory": 350.0}))
    from builders import Handmade

    made = Handmade({"app": a_graph(source(), run("a", 0)), "other": a_graph(source(), run("b", 0), target="other")})
    farm = Farm(Runner(2.0, memory_bytes=300.0), {"app": "main", "other": "main"}, keep_alive_limit=1.5)
    trace = simulated(made, [a_request(0, 0.0), a_request(1, 1.0, ("other",))], costs, farm)
    assert trace.builds["outcome"].tolist() == ["failed", "failed"]
    assert all("keep alive ping failed" in reason for reason in trace.builds["reason"])


def test_memory_is_back_when_a_step_is_cancelled():
    costs = ideal(("RUN a", {"latency": 9.0, "memory": 200.0}))
    farm = a_runner_farm(Runner(2.0, memory_bytes=300.0))
    graph = a_graph(source(), run("a", 0))
    trace = simulated(graph, [a_request(0, 0.0, cancel_after_s=1.0), a_request(1, 2.0)], costs, farm)
    assert trace.builds["outcome"].tolist() == ["cancelled", "ok"]


def test_emulated_platforms_are_slower_by_their_factor():
    steps = (source(), run("a", 0))
    graph = Graph("app", ("linux/arm64",), tuple(_on(step, "linux/arm64") for step in steps), (1,))
    farm = a_farm(platforms={AMD64: 1.0, "linux/arm64": 8.0})
    assert ends(simulated(graph, [a_request(0)], ideal(("RUN a", {"cpu": 2.0})), farm))[0] == pytest.approx(16.0)


def _on(step, platform):
    from dataclasses import replace

    return replace(step, platform=platform)


def test_runners_on_one_host_share_its_cores():
    """Two projects, each with a runner of 2 cores, on a host of 2: what one leaves the other has (design section 4)."""
    from builders import Handmade

    made = Handmade({"a": a_graph(source(), run("a", 0), target="a"), "b": a_graph(source(), run("b", 0), target="b")})
    costs = ideal(("RUN a", {"cpu": 4.0, "threads": 2.0}), ("RUN b", {"cpu": 2.0, "threads": 2.0}))
    projects = {"a": "one", "b": "two"}
    requests = [a_request(0, 0.0, ("a",)), a_request(1, 0.0, ("b",))]
    apart = simulated(made, requests, costs, Farm(Runner(2.0), projects))
    assert ends(apart) == {0: 2.0, 1: 1.0}
    on_host = simulated(made, requests, costs, Farm(Runner(2.0), projects, host=Runner(2.0)))
    assert ends(on_host) == {0: 3.0, 1: 2.0}


def test_the_daemon_and_the_steps_share_the_cores_by_group():
    """One core: a COPY (the daemon's) beside three RUNs has half of it in a group, a quarter as a step's equal."""
    graph = a_graph(source(), run("a", 0), run("b", 0), context(), copy("c", 0, 3, "/a.txt"), results=(1, 2, 4))
    costs = ideal(("RUN *", {"cpu": 2.0}), ("COPY c", {"cpu": 1.0}))
    trace = simulated(graph, [a_request(0)], costs, a_runner_farm(Runner(1.0)))
    took = dict(zip(trace.steps["step"], trace.steps["completed_s"], strict=True))
    assert took["COPY c"] == pytest.approx(2.0)
    assert took["RUN a"] == took["RUN b"] == pytest.approx(5.0)


@pytest.mark.parametrize(("cpus", "is_even"), [(1.0, True), (2.0, False)])
def test_luck_with_the_cores_needs_more_than_one(cpus, is_even):
    """Three equal steps end together where their shares are equal. With luck on every runner the first case fails."""
    graph = a_graph(source(), *(run(name, 0) for name in "abc"), results=(1, 2, 3))
    costs = ideal(("RUN *", {"cpu": 2.0}))
    costs.variation = Variation(share=0.3)
    trace = simulated(graph, [a_request(0)], costs, a_runner_farm(Runner(cpus)))
    took = dict(zip(trace.steps["step"], trace.steps["completed_s"], strict=True))
    ends_s = [took[f"RUN {name}"] for name in "abc"]
    assert (max(ends_s) - min(ends_s) < 1e-9) == is_even
