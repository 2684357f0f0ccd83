"""The simple predictors, against what can be computed by hand."""

import pytest
from measured_builders import a_build, a_run

from sim.fit.validation.max_min import max_min
from sim.fit.validation.observed import Observed
from sim.fit.validation.predictors import Overheads, critical_path, median_of_past, sum_of_steps
from sim.graph import Context, Graph, Input, Step
from sim.profile import Profile
from sim.scenario.farm import Farm, Runner
from sim.scenario.fields.costs import CostRule
from sim.workload import Request
from sim.workload.request import Content

FREE = Overheads(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class SomeGraphs:
    """One graph for all."""

    def __init__(self, graph):
        self._graph = graph

    def platforms(self, target):
        return self._graph.platforms

    def graph(self, target, args=(), platforms=()):
        return self._graph


def step(name, kind="exec", inputs=(), source=""):
    return Step(f"d {name}", f"o {name}", name, kind, "linux/amd64", tuple(inputs), source=source)


def fork(*names):
    """Steps side by side, and one that copies from all."""
    steps = [step(name) for name in names]
    joined = step("join", "copy", [Input(at, by_content=True, paths=(f"/{at}",)) for at in range(len(names))])
    return Graph("app", ("linux/amd64",), (*steps, joined), (len(names),))


def run(predictor, graph, costs, requests, cpus=2.0, slots=0, overheads=FREE):
    units = {"cpu": "s", "latency": "s", "write": "B"}
    written = {
        name: {key: f"{one}{units[key]}" if key in units else one for key, one in cost.items()}
        for name, cost in costs.items()
    }
    profile = Profile.ideal([CostRule(step=name, **cost) for name, cost in written.items()])
    farm = Farm(Runner(cpus=cpus), {"app": "p"}, max_parallelism=slots)
    return predictor(requests, SomeGraphs(graph), farm, profile, overheads)


def a_request(index=0, at_s=0.0, **more):
    return Request(index, at_s, "app", ("app",), **more)


def ends(found):
    return [round(found.builds[build].ended_s, 6) for build in sorted(found.builds)]


def test_steps_share_cores_max_min():
    # 1 + 4 threads on 2 cores: one core each until the first has done its 1, then 2 cores for the other's 3 left.
    found = run(max_min, fork("x", "y"), {"x": {"cpu": 1.0}, "y": {"cpu": 4.0, "threads": 4}}, [a_request()])
    assert ends(found) == [2.5]


def test_three_single_threads_on_two_cores():
    costs = {name: {"cpu": 1.0} for name in "xyz"}
    assert ends(run(max_min, fork(*"xyz"), costs, [a_request()])) == [1.5]


def test_slots_are_first_come_first_served():
    costs = {name: {"latency": 1.0} for name in "xyz"}
    assert ends(run(max_min, fork(*"xyz"), costs, [a_request()], slots=1)) == [3.0]


def test_equal_steps_in_flight_execute_once_and_finished_ones_are_cached():
    costs = {"x": {"latency": 1.0}}
    requests = [a_request(0), a_request(1, 0.4), a_request(2, 5.0)]
    assert ends(run(max_min, fork("x"), costs, requests)) == [1.0, 1.0, 5.0]


def test_an_edit_of_what_is_copied_makes_a_new_key():
    context = Context(".", {"a": 1, "b": 1})
    copy = step("copy", "copy", [Input(0, by_content=True, paths=("/a",))])
    work = step("x", inputs=[Input(1)])
    steps = (step("context", "context", source="local://context"), copy, work)
    graph = Graph("app", ("linux/amd64",), steps, (2,), contexts={"local://context": context})
    requests = [
        a_request(0),
        a_request(1, 5.0, content=Content((("b", 1),))),
        a_request(2, 9.0, content=Content((("a", 2),))),
    ]
    assert ends(run(max_min, graph, {"x": {"latency": 1.0}}, requests)) == [1.0, 5.0, 10.0]


def test_followers_arrive_after_those_they_wait_for():
    requests = [a_request(0), a_request(1, needs=(0,), after_s=0.5), a_request(2, after=1, think_s=0.25)]
    assert ends(run(max_min, fork("x"), {"x": {"latency": 1.0}}, requests)) == [1.0, 1.5, 1.75]


def test_overheads_stand_where_they_belong():
    overheads = Overheads(0.2, 0.1, 1.0, 0.05, 0.02, 0.0, 0.3)
    found = run(max_min, fork("x"), {"x": {"cpu": 1.0, "write": 1}}, [a_request()], overheads=overheads)
    assert ends(found) == [pytest.approx(0.05 + 2 * 0.02 + 0.2 + 1.0 + 1.0 + 0.1 + 0.3)]


def test_sum_and_path_know_no_contention():
    costs = {"x": {"cpu": 2.0, "threads": 4}, "y": {"latency": 3.0}}
    requests = [a_request(0), a_request(1, 10.0)]
    assert ends(run(sum_of_steps, fork("x", "y"), costs, requests)) == [4.0, 10.0]
    assert ends(run(critical_path, fork("x", "y"), costs, requests)) == [3.0, 10.0]


def test_the_median_is_of_builds_of_that_target_that_had_ended():
    measured = a_run(1.0, 5.0, 12.0, arrived_s=[0.0, 2.0, 10.0])
    found = median_of_past(measured, [a_run(7.0)])
    durations = [found.duration_s(a_build(at)) for at in range(3)]
    assert durations == [7.0, 1.0, 2.0]


def test_the_median_of_nothing_is_nothing():
    assert median_of_past(a_run(1.0), []).makespan_s == 0.0
    assert median_of_past(Observed({}), []).builds == {}
