"""What a build looks up, shares and runs, on graphs small enough to know the answer (buildkit-semantics 1 to 4)."""

import pytest
from builders import (
    Handmade,
    a_farm,
    a_graph,
    a_request,
    a_rule,
    context,
    copy,
    ends,
    ideal,
    locked,
    outcomes,
    run,
    simulated,
    source,
)

from sim.profile import Profile

CHAIN = a_graph(source(), run("one", 0), run("two", 1))
COSTS = ideal(("RUN one", {"latency": 3.0}), ("RUN two", {"latency": 2.0}))


def test_second_build_joins_the_step_in_flight():
    trace = simulated(CHAIN, [a_request(0), a_request(1, 1.0)], COSTS)
    assert ends(trace) == {0: 5.0, 1: 5.0}
    assert ("RUN one", "shared") in outcomes(trace, 1)


def test_later_build_is_cached():
    trace = simulated(CHAIN, [a_request(0), a_request(1, 9.0)], COSTS)
    assert ends(trace)[1] == 9.0
    assert dict(outcomes(trace, 1)) == {"[1/9] FROM alpine": "cached", "RUN one": "cached", "RUN two": "cached"}


def test_without_dedup_both_execute():
    trace = simulated(CHAIN, [a_request(0), a_request(1, 1.0)], COSTS, a_farm(dedup=False))
    assert ends(trace) == {0: 5.0, 1: 6.0}


def test_normal_joins_no_cache_but_not_the_other_way():
    first_no_cache = simulated(CHAIN, [a_request(0, no_cache=True), a_request(1, 1.0)], COSTS)
    assert ends(first_no_cache)[1] == 5.0
    then_no_cache = simulated(CHAIN, [a_request(0), a_request(1, 1.0, no_cache=True)], COSTS)
    assert ends(then_no_cache)[1] == 6.0


def test_cancelled_owner_leaves_the_step_to_who_waits():
    trace = simulated(CHAIN, [a_request(0, cancel_after_s=2.0), a_request(1, 1.0)], COSTS)
    assert ends(trace) == {0: 2.0, 1: 5.0}
    assert outcomes(trace, 0)[-1] == ("RUN one", "cancelled")


def test_cancelled_alone_the_step_is_killed_and_runs_again():
    trace = simulated(CHAIN, [a_request(0, cancel_after_s=2.0), a_request(1, 4.0)], COSTS)
    assert ends(trace)[1] == 9.0


def test_failure_is_shared_and_not_cached():
    costs = ideal(("RUN one", {"latency": 2.0, "fails": 1.0}))
    trace = simulated(CHAIN, [a_request(0), a_request(1, 1.0), a_request(2, 4.0)], costs)
    assert ends(trace) == {0: 2.0, 1: 2.0, 2: 6.0}
    assert trace.builds["outcome"].tolist() == ["failed"] * 3


def test_failure_kills_the_other_stages():
    graph = a_graph(source(), run("bad", 0), run("long", 0), copy("both", 1, 2, "/x"))
    costs = ideal(("RUN bad", {"latency": 1.0, "fails": 1.0}), ("RUN long", {"latency": 9.0}))
    trace = simulated(graph, [a_request(0)], costs)
    assert ends(trace) == {0: 1.0}
    assert ("RUN long", "cancelled") in outcomes(trace)


GENERATED = a_graph(
    source(), context(), copy("src", 0, 1, "/src"), run("gen", 2), copy("out", 0, 3, "/out"), run("last", 4)
)


@pytest.mark.parametrize(
    ("same", "last"), [(True, "cached"), (False, "executed"), (("/out",), "cached"), (("/o",), "executed")]
)
def test_early_cut_off_when_the_copied_paths_are_the_same(same, last):
    costs = ideal(("RUN gen", {"latency": 1.0, "same_output": same}), ("RUN last", {"latency": 2.0}))
    requests = [a_request(0), a_request(1, 5.0, changed=[("src/c.txt", 1)])]
    trace = simulated(GENERATED, requests, costs)
    assert dict(outcomes(trace, 1))["RUN gen"] == "executed"
    assert dict(outcomes(trace, 1))["RUN last"] == last


def test_cut_off_is_remembered_by_definition():
    """A third build with the second's sources hits by definition: the stage does not run again."""
    costs = ideal(("RUN gen", {"latency": 1.0, "same_output": True}))
    changed = [("src/c.txt", 1)]
    requests = [a_request(0), a_request(1, 5.0, changed=changed), a_request(2, 9.0, changed=changed)]
    trace = simulated(GENERATED, requests, costs)
    assert "executed" not in dict(outcomes(trace, 2)).values()


@pytest.mark.parametrize(("reproducible", "keys"), [(True, 1), (False, 2)])
def test_what_copies_an_output_that_varies_gets_another_key_after_a_rerun(reproducible, keys):
    costs = ideal(("RUN gen", {"latency": 1.0, "reproducible": reproducible}))
    trace = simulated(GENERATED, [a_request(0), a_request(1, 9.0, no_cache=True)], costs)
    copied = trace.steps["step"] == "COPY out"
    assert len(set(trace.steps["key"][copied].tolist())) == keys


def test_a_file_that_is_not_copied_changes_nothing():
    trace = simulated(GENERATED, [a_request(0), a_request(1, 5.0, changed=[("a.txt", 1)])], ideal())
    assert "executed" not in dict(outcomes(trace, 1)).values()


def test_stages_run_at_once_and_share_the_cores_fairly():
    graph = a_graph(source(), run("wide", 0), run("thin", 0), copy("both", 1, 2, "/x"))
    costs = ideal(("RUN wide", {"cpu": 16.0, "threads": 4.0}), ("RUN thin", {"cpu": 4.0}))
    assert ends(simulated(graph, [a_request(0)], costs)) == {0: 10.0}


def test_serial_part_runs_on_one_core():
    costs = ideal(("RUN one", {"cpu": 10.0, "threads": float("inf"), "serial": 0.2}))
    assert ends(simulated(CHAIN, [a_request(0)], costs, a_farm(cpus=4.0))) == {0: 4.0}


def test_locked_mount_serialises_and_holds_its_slot():
    graphs = a_graph(source(), run("one", 0, mounts=[locked()]))
    other = a_graph(source(), run("two", 0))
    requests = [a_request(0), a_request(1, 0.2, targets=("twin",)), a_request(2, 0.4, targets=("other",))]

    twin = a_graph(source(), run("one more", 0, mounts=[locked()]), target="twin")
    made = Handmade({"app": graphs, "twin": twin, "other": other})
    costs = ideal(("RUN*", {"latency": 2.0}))
    trace = simulated(made, requests, costs, a_farm(targets=("app", "twin", "other"), max_parallelism=2))
    # twin waits for the lock with a slot in hand, so other gets its slot only when app's step ends.
    assert ends(trace) == pytest.approx({0: 2.0, 1: 4.0, 2: 4.0})


def test_a_locked_mount_is_polled():
    """The second try after the release gets it: tries come every `lock_poll_s` from the step's own start."""
    graph = a_graph(source(), run("one", 0, mounts=[locked()]))

    twin = a_graph(source(), run("one more", 0, mounts=[locked()]), target="twin")
    profile = Profile.of([a_rule("RUN*", latency=2.0)])
    trace = simulated(
        Handmade({"app": graph, "twin": twin}),
        [a_request(0), a_request(1, 0.05, targets=("twin",))],
        profile,
        a_farm(targets=("app", "twin")),
    )
    rows = dict(zip(trace.steps["step"], trace.steps["lock_wait_s"].tolist(), strict=True))
    polls = rows["RUN one more"] / profile.daemon.lock_poll_s
    assert polls == pytest.approx(round(polls))
    assert polls >= 20


def test_a_filled_cache_mount_makes_the_step_cheaper():
    graph = a_graph(source(), context(), copy("src", 0, 1, "/src"), run("build", 2, mounts=[locked()]))
    costs = ideal(("RUN build", {"cpu": 10.0, "warm": 0.2}))
    trace = simulated(graph, [a_request(0), a_request(1, 20.0, changed=[("src/c.txt", 1)])], costs)
    assert ends(trace) == pytest.approx({0: 10.0, 1: 22.0})


def test_cached_build_queues_for_slots_three_times():
    """Sources take slots too, one after the other (buildkit-semantics 3b)."""

    busy = a_graph(source(), run("p", 0), run("q", 0), copy("both", 1, 2, "/x"), target="busy")
    profile = Profile.of([a_rule("RUN*", latency=3.0)])
    trace = simulated(
        Handmade({"app": CHAIN, "busy": busy}),
        [a_request(0), a_request(1, 10.0, targets=("busy",)), a_request(2, 10.5)],
        profile,
        a_farm(targets=("app", "busy"), max_parallelism=2),
    )
    assert 13.0 < ends(trace)[2] < 13.5


def test_a_retry_after_a_flaky_failure_draws_anew():
    costs = ideal(("RUN one", {"latency": 1.0, "fails": 0.5}))
    trace = simulated(CHAIN, [a_request(index, 10.0 * index) for index in range(30)], costs)
    found = trace.builds["outcome"].tolist()
    assert "ok" in found
    assert found[found.index("ok") :] == ["ok"] * (30 - found.index("ok"))
