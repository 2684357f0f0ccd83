"""Waiting for a place: time-outs, cancellation while a runner boots, full farms, instances, and farms that never serve."""

from dataclasses import replace
from math import inf

import pytest
from builders import AMD64, Handmade, a_farm, a_graph, a_request, ends, ideal, run, simulated, source

from sim.errors import InputError
from sim.graph import Graph, Link
from sim.scenario.farm import Autoscaling, Override, Runner

NAMES = ("a", "b", "c")
MADE = Handmade({name: a_graph(source(), run(name, 0), target=name) for name in NAMES})
COSTS = ideal(("RUN *", {"latency": 10.0}))


def traced(requests, costs=COSTS, made=MADE, **farm):
    return simulated(made, requests, costs, a_farm(targets=NAMES, **farm))


def three(**fields):
    return [a_request(index, float(index), (name,), **fields) for index, name in enumerate(NAMES)]


def outcome(trace):
    return dict(zip(trace.builds["build"].tolist(), trace.builds["outcome"].tolist(), strict=True))


def runner_rows(trace):
    """(requested, ready, stopped) of each runner."""
    return [row[5:8] for row in trace.runners.rows()]


def test_a_time_out_of_0_is_now_or_never():
    trace = traced(three(), limit=1, max_instances=1, acquire_timeout_s=0.0)
    assert outcome(trace) == {0: "ok", 1: "timed_out", 2: "timed_out"}
    assert ends(trace) == {0: 10.0, 1: 1.0, 2: 2.0}


def test_now_or_never_counts_clones_that_take_no_time():
    trace = traced(three(), limit=1, max_instances=2, acquire_timeout_s=0.0)
    assert outcome(trace) == {0: "ok", 1: "ok", 2: "timed_out"}


def test_a_runner_whose_lease_gave_up_boots_on_then_idles_then_stops():
    trace = traced(three()[:1], boot_s=25.0, acquire_timeout_s=10.0, idle_timeout_s=60.0)
    assert outcome(trace) == {0: "timed_out"}
    assert runner_rows(trace) == [(0.0, 25.0, 85.0)]


def test_a_runner_whose_lease_was_cancelled_serves_the_next():
    requests = [a_request(0, 0.0, ("a",), cancel_after_s=5.0), a_request(1, 20.0, ("b",))]
    trace = traced(requests, boot_s=25.0)
    assert outcome(trace) == {0: "cancelled", 1: "ok"}
    assert ends(trace) == {0: 5.0, 1: 35.0}
    assert len(trace.runners) == 1


def test_who_times_out_leaves_its_place_in_the_queue_to_the_next():
    requests = [a_request(0, 0.0, ("a",)), a_request(1, 1.0, ("b",)), a_request(2, 6.0, ("c",))]
    trace = traced(requests, limit=1, max_instances=1, acquire_timeout_s=7.0)
    assert outcome(trace) == {0: "ok", 1: "timed_out", 2: "ok"}
    assert ends(trace) == {0: 10.0, 1: 8.0, 2: 20.0}


def test_a_full_farm_queues_or_shares():
    scaling = Autoscaling(1, 1, "queue")
    farm = replace(a_farm(targets=NAMES), autoscaling=scaling)
    assert ends(simulated(MADE, three(), COSTS, farm)) == {0: 10.0, 1: 20.0, 2: 30.0}
    shared = replace(farm, autoscaling=replace(scaling, on_full="share"))
    assert ends(simulated(MADE, three(), COSTS, shared)) == {0: 10.0, 1: 11.0, 2: 12.0}


def test_never_more_instances_than_allowed():
    requests = [a_request(index, index * 0.1, (NAMES[index % 3],), changed=[("x", index)]) for index in range(30)]
    trace = traced(requests, limit=1, max_instances=4, boot_s=3.0, clone_s=1.0, idle_timeout_s=2.0)
    moves = sorted(move for asked_s, _, stopped_s in runner_rows(trace) for move in ((asked_s, 1), (stopped_s, -1)))
    up = [sum(change for _, change in moves[: place + 1]) for place in range(len(moves))]
    assert max(up) == 4


def test_one_idle_timer_a_runner_however_often_it_falls_idle():
    """Live events stay few: a build each second for 400 s beside an idle time-out of 900 s."""
    from sim.model import simulate as module

    most = 0
    requests = [a_request(index, float(index), ("a",)) for index in range(400)]
    run_all, run_loop = module.World, module.run

    class Watched(run_all):
        def __init__(self, *given):
            super().__init__(*given)
            step = self.env.step

            def counted():
                nonlocal most
                most = max(most, len(self.env._queue))
                step()

            self.env.step = counted

    module.World, module.run = Watched, lambda env: env.run()  # by steps, which are counted
    try:
        trace = traced(requests, idle_timeout_s=900.0)
    finally:
        module.World, module.run = run_all, run_loop
    assert runner_rows(trace) == [(0.0, 0.0, 399.0 + 900.0)]
    assert 0 < most < 20


@pytest.mark.parametrize("routing", ["fill_first", "least_loaded", "sticky", "random"])
def test_each_routing_serves_all(routing):
    requests = [a_request(index, index * 2.0, (NAMES[index % 3],), changed=[("x", index)]) for index in range(40)]
    trace = traced(requests, limit=2, max_instances=3, routing=routing)
    assert set(outcome(trace).values()) == {"ok"}


def test_sticky_targets_have_a_runner_of_their_own_while_there_is_room():
    first = [a_request(index, 0.0, (NAMES[index],)) for index in range(3)]  # brings three runners up
    later = [a_request(3 + index, 20.0 + 11.0 * index, (NAMES[index % 3],), no_cache=True) for index in range(12)]
    trace = traced([*first, *later], limit=1, max_instances=3, routing="sticky")
    runner_of = {}
    for row in trace.builds.rows():
        if row[1] >= 3:
            runner_of.setdefault(row[3], set()).add(row[13])
    assert all(len(runners) == 1 for runners in runner_of.values())


# Farms and requests that would never end.


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"boot_s": inf}, "farm.boot_s: no runner would ever be ready"),
        ({"clone_s": -1.0}, "farm.clone_s: no runner would ever be ready"),
        ({"limit": 0}, "farm.autoscaling.builds_per_instance: no build would ever get a runner"),
        ({"limit": 1, "max_instances": 0}, "farm.autoscaling.max_instances: no build would ever get a runner"),
        ({"platforms": {}}, "farm.platforms: the farm has none"),
        ({"cpus": 0.0}, "farm.runner.cpus: nothing would ever end"),
        (
            {"overrides": (Override("main", None, Runner(1.0, network_bytes_per_s=0.0)),)},
            "farm.runner.network: nothing",
        ),
        ({"boots_at_once": -1}, "farm.boots_at_once: is less than 0"),
    ],
)
def test_a_farm_that_never_serves_says_so(setting, line):
    with pytest.raises(InputError) as caught:
        traced(three(), **setting)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("acquire_timeout_s", [60.0, inf])
def test_an_emulated_platform_that_the_farm_lacks_is_told_before_time_begins(acquire_timeout_s):
    steps = MADE.graphs["a"].steps
    made = Handmade({"a": MADE.graphs["a"], "b": Graph("b", (AMD64, "linux/arm64"), steps, (1,))})
    with pytest.raises(
        InputError, match=r"^farm.platforms: target b is built for linux/arm64, which the farm has not; "
    ):
        traced([a_request(0, 0.0, ("a",)), a_request(1, 9e9, ("b",))], made=made, acquire_timeout_s=acquire_timeout_s)


@pytest.mark.parametrize(
    "requests",
    [
        [a_request(0, 0.0, ("a",), needs=(1,)), a_request(1, 0.0, ("b",), needs=(0,))],
        [a_request(0, 0.0, ("a",), after=0)],
        [a_request(7, 0.0, ("a",), needs=(3,))],
    ],
    ids=["circle", "itself", "missing"],
)
def test_requests_that_wait_in_a_circle_or_for_none_say_so(requests):
    with pytest.raises(InputError, match=r"^request \d waits for request \d, which never ends; "):
        traced(requests)


def test_a_base_of_another_project_that_is_not_asked_for_says_so():
    app = Graph("a", (AMD64,), MADE.graphs["a"].steps, (1,), links=(Link("b", 1),))
    made = Handmade({"a": app, "b": MADE.graphs["b"], "c": MADE.graphs["c"]}, {"a": ("b",)}, bake=True)
    with pytest.raises(InputError, match=r"^request 0 builds a, which imports b, and not b itself"):
        traced([a_request(0, 0.0, ("a",))], made=made, projects={"a": "one", "b": "two", "c": "two"})


def test_a_closed_client_goes_on_after_a_job_that_never_ran():
    """b needs a, which fails; the client's next push follows b all the same."""
    costs = ideal(("RUN a", {"latency": 4.0, "fails": 1.0}), ("RUN *", {"latency": 2.0}))
    requests = [
        a_request(0, 0.0, ("a",)),
        a_request(1, 0.0, ("b",), needs=(0,)),
        a_request(2, 0.0, ("c",), needs=(1,)),
        a_request(3, 0.0, ("b",), after=2, think_s=10.0),
    ]
    trace = traced(requests, costs)
    assert [(row[1], row[7]) for row in trace.builds.rows()] == [(0, 0.0), (3, 14.0)]


def test_a_closed_client_goes_on_after_a_job_that_was_superseded_before_it_came():
    requests = [
        a_request(0, 0.0, ("a",)),
        a_request(1, 5.0, ("c",)),
        a_request(2, 0.0, ("b",), needs=(0,), superseded_by=1),
        a_request(3, 0.0, ("b",), after=2, think_s=10.0),
    ]
    trace = traced(requests)
    assert {row[1]: row[7] for row in trace.builds.rows()} == {0: 0.0, 1: 5.0, 3: 20.0}
