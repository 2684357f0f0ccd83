"""What replays of the corpus showed BuildKit to do; each fails when its mechanism is taken out (how: in the docstring)."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from builders import (
    Handmade,
    a_farm,
    a_graph,
    a_request,
    a_rule,
    context,
    copy,
    ideal,
    locked,
    outcomes,
    run,
    simulated,
    source,
)

from sim import simulate
from sim.model.machine.fair_share import Machine
from sim.model.plan.spawning import spawned
from sim.profile import DAEMON, Profile
from sim.profile.cost import CLIENT_PARTS
from sim.profile.variation import Variation
from sim.scenario.farm import Runner

CORPUS = Path(__file__).parents[1] / "real" / "corpus"


def times(trace, column="completed_s"):
    """When what ran ended (or began), by build and step."""
    rows = zip(*(trace.steps[name].tolist() for name in ("build", "step", column)), strict=True)
    return {(int(build), step): at_s for build, step, at_s in rows if at_s == at_s}


def test_a_key_that_is_committed_after_it_was_looked_up_is_missed():
    """Three of three replays of cpu-edit-2. Without `Search._looked_before` build 2 finds what build 0 has just committed."""
    trace = simulate(CORPUS / "cpu-edit-2")
    last = "[stage-2 3/3] COPY --from=s1 /out/a.1.0 /out/a.1.0"
    assert (last, "executed") in outcomes(trace, 2)
    assert (last, "cached") in outcomes(trace, 4)


def test_steps_of_a_build_that_race_for_a_lock_take_it_in_either_order():
    """Replays of cpu-locked-1 had both. Without `spawned` in `Search._run` one order wins under every seed."""
    graph = a_graph(
        source(), run("one", 0, mounts=[locked()]), run("two", 0, mounts=[locked()]), copy("both", 1, 2, "/x")
    )
    costs = ideal(("RUN one", {"latency": 1.0}), ("RUN two", {"latency": 2.0}))
    firsts = set()
    for seed in range(20):
        trace = simulated(graph, [a_request(0)], costs, seed=seed)
        waits = dict(zip(trace.steps["step"], trace.steps["lock_wait_s"].tolist(), strict=True))
        firsts.add(min(("RUN one", "RUN two"), key=waits.__getitem__))
    assert firsts == {"RUN one", "RUN two"}


# Which two of four stages started first. Their base just unpacked: 30 builds by hand, and replays of cpu-fork-1 and cpu-fork-2;
# their base there: replays of cpu-fork-2 and cpu-slots-1.
FIRST_TWO = {
    True: {"23": 21, "02": 10, "12": 7, "03": 5, "01": 4, "13": 3},
    False: {"01": 13, "13": 5, "12": 1, "03": 1, "23": 0, "02": 0},
}


@pytest.mark.parametrize("is_fresh", [True, False])
def test_stages_that_become_ready_together_start_as_measured(is_fresh):
    """All orders alike are 0.28 and 0.57 away (total variation): the twin that fails."""
    measured, chance = FIRST_TWO[is_fresh], Random(5)
    drawn = ["".join(map(str, sorted(spawned([3, 0, 2, 1], is_fresh, chance)[:2]))) for _ in range(4000)]
    n = sum(measured.values())
    distance = sum(abs(drawn.count(pair) / len(drawn) - seen / n) for pair, seen in measured.items()) / 2
    assert distance < 0.22


def test_a_slot_goes_first_to_one_of_the_stages_that_go_first():
    """A base that was there: the third of four is hardly ever among the first two; half of the time if all orders were alike."""
    copies = [
        copy(f"{name} out", above, of, "/x") for name, above, of in zip("abcd", (0, 5, 6, 7), (1, 2, 3, 4), strict=True)
    ]
    graph = a_graph(source(), *(run(name, 0) for name in "abcd"), *copies)
    costs = ideal(*((f"RUN {name}", {"latency": 1.0}) for name in "abcd"))
    early = 0
    for seed in range(60):
        requests = [a_request(0), a_request(1, at_s=10.0, no_cache=True)]
        begun_s = times(simulated(graph, requests, costs, a_farm(max_parallelism=2), seed=seed), "started_s")
        early += begun_s[1, "RUN c"] < 10.5
    assert early <= 10


def test_a_copy_of_what_was_just_made_starts_when_that_is_hashed():
    """So many ns a byte (see `hash_byte_cpu_s`). Without `Search._awaits_digest` it starts with the end of the RUN."""
    graph = a_graph(source(), run("make", 0), copy("out", 0, 1, "/x"))
    profile = Profile.of([a_rule("RUN make", latency=1.0), a_rule("COPY out", write=50e6)])
    trace = simulated(graph, [a_request(0)], profile)
    gap_s = times(trace, "started_s")[0, "COPY out"] - times(trace)[0, "RUN make"]
    assert gap_s == pytest.approx(50e6 * DAEMON.hash_byte_cpu_s)


def hashed(*rules):
    """No overheads but a digest of 1 s for 100 MB."""
    costs = ideal(*rules)
    return costs.with_daemon(replace(costs.daemon, hash_byte_cpu_s=1e-8))


def test_a_digest_is_made_while_a_copy_waits_for_its_other_input():
    """mixed-scale-1: the last COPY begins 2 ms after the one before. Hashed when all inputs are there it would begin at 4."""
    graph = a_graph(source(), run("make", 0), run("slow", 0), copy("out", 2, 1, "/x"))
    costs = hashed(("RUN make", {"latency": 1.0}), ("RUN slow", {"latency": 3.0}), ("COPY out", {"write": 100e6}))
    assert times(simulated(graph, [a_request(0)], costs), "started_s")[0, "COPY out"] == pytest.approx(3.0)


def test_a_digest_holds_no_slot():
    """mixed-slots-1: what was queued goes on meanwhile. Hashed within the COPY's slot the other build would end at 4."""
    first, second = a_graph(source(), run("make", 0), copy("out", 0, 1, "/x")), a_graph(source(), run("other", 0))
    graphs = Handmade({"app": first, "web": second})
    costs = hashed(
        ("RUN make", {"latency": 1.0}), ("RUN other", {"latency": 2.0}), ("COPY out", {"write": 100e6, "latency": 1.0})
    )
    farm = a_farm(targets=("app", "web"), max_parallelism=1)
    requests = [a_request(0), a_request(1, 0.5, targets=("web",))]
    ended = times(simulated(graphs, requests, costs, farm))
    assert (ended[1, "RUN other"], ended[0, "COPY out"]) == pytest.approx((3.0, 4.0))


def test_builds_that_wait_for_one_stage_hash_it_once():
    """Two that join one RUN have one digest and one COPY. With a digest each the COPY would begin at 3 on one core."""
    graph = a_graph(source(), run("make", 0), copy("out", 0, 1, "/x"))
    costs = hashed(("RUN make", {"latency": 1.0}), ("COPY out", {"write": 100e6}))
    trace = simulated(graph, [a_request(0), a_request(1, 0.5)], costs, a_farm(cpus=1.0))
    assert {at_s for (_, step), at_s in times(trace, "started_s").items() if step == "COPY out"} == {2.0}
    assert sum(trace.steps["cpu_s"].tolist()) == pytest.approx(1.0)


def test_a_copy_of_equal_content_hits_when_that_is_hashed_and_the_work_is_counted():
    """An early cut-off is known by the digest alone. Without `Search._awaits_digest` build 1 ends at 11."""
    graph = a_graph(context(), source(), copy("in", 1, 0, "a.txt"), run("make", 2), copy("out", 1, 3, "/x"))
    costs = hashed(("RUN make", {"latency": 1.0, "same_output": True}), ("COPY out", {"write": 100e6, "latency": 5.0}))
    trace = simulated(graph, [a_request(0), a_request(1, 10.0, changed=[("a.txt", 1)])], costs)
    assert ("COPY out", "cached") in outcomes(trace, 1)
    assert trace.builds["completed_s"].tolist() == pytest.approx([7.0, 12.0])
    assert sum(trace.steps["cpu_s"].tolist()) == pytest.approx(2.0)


def test_a_digest_that_nobody_waits_for_any_more_ends():
    """Half of it was done when its build was cancelled; that half is counted."""
    graph = a_graph(source(), run("make", 0), copy("out", 0, 1, "/x"))
    costs = hashed(("RUN make", {"latency": 1.0}), ("COPY out", {"write": 100e6}))
    trace = simulated(graph, [a_request(0, cancel_after_s=1.5)], costs)
    assert trace.builds["outcome"].tolist() == ["cancelled"]
    assert sum(trace.steps["cpu_s"].tolist()) == pytest.approx(0.5)


def test_a_weight_is_a_share_of_busy_cores_and_nothing_alone():
    """Twice the weight is twice the rate; a step alone has its cap. Without weights both of the first end at 8 and 12."""
    machine = Machine(1.0)
    machine.add(0.0, 4.0, 1.0, "heavy", weight=2.0)
    machine.add(0.0, 6.0, 1.0, "light")
    assert machine.settle() == pytest.approx(6.0)
    assert machine.finish(6.0) == "heavy"
    assert machine.settle() == pytest.approx(10.0)
    alone = Machine(2.0)
    alone.add(0.0, 4.0, 1.0, "heavy", weight=0.5)
    assert alone.settle() == pytest.approx(4.0)


def test_clients_on_the_runners_machine_take_of_its_cores():
    """As a replay's do. Without `Session.client_phase` the build ends at 10."""
    costs = ideal(("RUN one", {"cpu": 10.0}))
    beside = costs.with_daemon(replace(costs.daemon, client_cpu_s=2.0))
    trace = simulated(a_graph(source(), run("one", 0)), [a_request(0)], beside, a_farm(cpus=1.0))
    assert trace.builds["completed_s"].tolist() == pytest.approx([12.0])


def test_openings_differ_as_a_calibration_has_found():
    """cpu-locked-1: which of two builds that start at once gets the lock. Without the factor all ten end at 1."""
    daemon = replace(ideal().daemon, open_cpu_s=1.0)
    varied = ideal().with_daemon(daemon).varying(Variation((("open_cpu_s", 0.5),)))
    requests = [a_request(index) for index in range(10)]
    ended_s = simulated(a_graph(source()), requests, varied, a_farm(cpus=20.0)).builds["completed_s"]
    assert len(set(ended_s.tolist())) == 10
    assert 0.2 < ended_s.std() < 0.9


def test_a_client_works_anywhere_on_the_host_of_its_runner():
    """mixed-scale-1: the other core is idle. A build waits for its client's start, for what it sends, and for its end."""
    costs = ideal(("RUN one", {"cpu": 10.0}))
    beside = costs.with_daemon(replace(costs.daemon, client_cpu_s=2.0))
    farm = a_farm(cpus=1.0, host=Runner(2.0))
    trace = simulated(a_graph(source(), run("one", 0)), [a_request(0)], beside, farm)
    sent = (CLIENT_PARTS.definition + CLIENT_PARTS.dockerignore) / 2
    waited_for = CLIENT_PARTS.start + sent + CLIENT_PARTS.end
    assert trace.builds["completed_s"].tolist() == pytest.approx([10.0 + 2.0 * waited_for])


@pytest.mark.parametrize(
    ("farm", "ends_s"),
    [
        (a_farm(cpus=4.0), 1.1 + 0.2),
        (a_farm(cpus=4.0, host=Runner(4.0)), 1.1 + 0.2),
        (replace(a_farm(), runner=Runner(4.0, disk_write_bytes_per_s=100e6)), 1.1 + 2.0),
    ],
)
def test_what_two_steps_wrote_waits_for_one_disk_which_a_farm_may_state(farm, ends_s):
    """An unmount syncs what its step wrote (`sync_byte_s`). Without `with_disk` the first two end with their writing."""
    graph = a_graph(source(), run("one", 0), run("two", 0), copy("both", 1, 2, "/x"))
    costs = ideal(*((f"RUN {name}", {"cpu": 1.0, "write": 100e6}) for name in ("one", "two")))
    slow = costs.with_daemon(replace(costs.daemon, sync_byte_s=1e-9, write_byte_cpu_s=1e-9))
    trace = simulated(graph, [a_request(0)], slow, farm)
    assert trace.builds["completed_s"].tolist() == pytest.approx([ends_s])


def test_a_run_and_a_copy_wait_for_the_disk_whatever_they_wrote():
    """Unmounts and commits (`sync_latency_s`), side by side. Without the phases in `Costing` the build ends at 4."""
    graph = a_graph(source(), run("one", 0), run("two", 0), copy("both", 1, 2, "/x"))
    costs = ideal(*((f"RUN {name}", {"cpu": 2.0}) for name in ("one", "two")))
    slow = costs.with_daemon(replace(costs.daemon, sync_latency_s=0.5))
    trace = simulated(graph, [a_request(0)], slow, a_farm(cpus=1.0))
    assert trace.builds["completed_s"].tolist() == pytest.approx([4.0 + 2 * 0.5])


def test_an_image_is_looked_at_once_and_unpacked_once():
    """Every scenario of the corpus began too early. Without `Solve._looks` and `source_cpu_s` both builds take 1 s."""
    graph = a_graph(source(), run("one", 0))
    costs = ideal(("RUN one", {"latency": 1.0}))
    slow = costs.with_daemon(replace(costs.daemon, image_cpu_s=0.5, source_cpu_s=0.25))
    trace = simulated(graph, [a_request(0), a_request(1, 5.0, args=(("A", "1"),))], slow)
    took_s = trace.builds["completed_s"] - trace.builds["arrived_s"]
    assert took_s.tolist()[0] == pytest.approx(0.5 + 0.25 + 1.0)
    assert took_s.tolist()[1] < 1.01


def test_who_comes_while_the_history_record_is_written_shares_the_vertices():
    """cpu-slots-1, four of five replays. With `_let_go` in `Solve.finish` for all, build 1 finds the step's record: cached."""
    costs = ideal(("RUN one", {"latency": 1.0}))
    slow = costs.with_daemon(replace(costs.daemon, tail_latency_s=0.5))
    trace = simulated(
        a_graph(source(), run("one", 0)), [a_request(at, at_s) for at, at_s in enumerate((0.0, 1.2, 3.0))], slow
    )
    assert [dict(outcomes(trace, build))["RUN one"] for build in range(3)] == ["executed", "shared", "cached"]


def test_what_failed_runs_again_for_who_comes_while_that_record_is_written():
    """Recorded case failure-queued-stages. Without `_let_go` in `Solve.finish` build 1 fails at once, with build 0's step."""
    costs = ideal(("RUN one", {"latency": 1.0, "fails": 1.0}))
    slow = costs.with_daemon(replace(costs.daemon, tail_latency_s=0.5))
    trace = simulated(a_graph(source(), run("one", 0)), [a_request(0), a_request(1, 1.2)], slow)
    assert trace.builds["completed_s"].tolist() == pytest.approx([1.5, 1.2 + 1.5])
