"""What clones learned, after they have stopped: lost, or the base of those who come later."""

import pytest
from builders import Handmade, a_farm, a_graph, a_request, ends, ideal, outcomes, run, simulated, source
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d")
MADE = Handmade({name: a_graph(source(), run(name, 0), target=name) for name in NAMES})
COSTS = ideal(("RUN a", {"latency": 20.0}), ("RUN *", {"latency": 4.0}))


def a_farm_of_clones(write_back, **fields):
    fields = {"limit": 1, "idle_timeout_s": 5.0, "write_back": write_back} | fields
    return a_farm(targets=NAMES, **fields)


def traced(write_back, *requests, **fields):
    """Requests are (time, target)."""
    asked = [a_request(index, at_s, (target,)) for index, (at_s, target) in enumerate(requests)]
    return simulated(MADE, asked, COSTS, a_farm_of_clones(write_back, **fields))


def hits(trace, build):
    """Whether the build's RUN was cached."""
    return [outcome for step, outcome in outcomes(trace, build) if step.startswith("RUN")] == ["cached"]


def misses(trace, build):
    return [row[-1] for row in trace.steps.rows() if row[0] == build and row[1].startswith("RUN")]


def clones(trace):
    """By runner, the runner that it is a clone of."""
    return {row[0]: row[4] for row in trace.runners.rows()}


# Main runs a until 20 and stops at 25; its clone runs b until 5 and stops at 10. Later c and b come.
ONE_CLONE = ((0.0, "a"), (1.0, "b"), (40.0, "b"), (50.0, "a"))


def test_discard_loses_what_the_clone_learned():
    trace = traced("discard", *ONE_CLONE)
    assert not hits(trace, 2)
    assert misses(trace, 2) == ["clone"]


def test_last_write_wins_keeps_it_when_the_clone_stops_last():
    trace = traced("last_write_wins", (0.0, "b"), (1.0, "a"), (60.0, "a"))
    assert hits(trace, 2)
    assert clones(trace)[2] is None


def test_a_detached_main_writes_over_the_clone_when_it_stops_later():
    """The clone (b) stops at 10, main (a) at 25: the last write is main's, and it never had b."""
    trace = traced("last_write_wins", *ONE_CLONE)
    assert not hits(trace, 2)
    assert hits(trace, 3)
    assert misses(trace, 2) == ["clone"]


def test_who_boots_after_a_write_back_is_main_on_the_new_base_while_the_old_main_goes_on():
    trace = traced("last_write_wins", (0.0, "a"), (1.0, "b"), (12.0, "b"), (50.0, "b"))
    assert clones(trace)[2] is None
    assert hits(trace, 2)  # at 12, beside main
    assert not hits(trace, 3)  # main, stopped at 25, wrote over it


def test_a_fork_commits_on_a_base_that_has_not_moved():
    """Main (a) has written nothing when the clone stops at 10; main's own fork is of the older base and is dropped."""
    trace = traced("fork_commit", *ONE_CLONE)
    assert hits(trace, 2)
    assert not hits(trace, 3)
    assert misses(trace, 3) == ["clone"]


def test_a_fork_does_not_commit_on_a_base_that_main_has_moved():
    """Main (b) ends at 4, when its clone (a), forked at 1, still runs."""
    trace = traced("fork_commit", (0.0, "b"), (1.0, "a"), (40.0, "a"), (70.0, "b"))
    assert not hits(trace, 2)
    assert hits(trace, 3)


def test_of_two_forks_the_first_to_stop_commits():
    trace = traced("fork_commit", (0.0, "a"), (1.0, "b"), (2.0, "c"), (60.0, "b"), (70.0, "c"))
    assert hits(trace, 3)
    assert not hits(trace, 4)


def test_a_clone_that_learned_nothing_leaves_main_the_base():
    trace = traced("fork_commit", (0.0, "b"), (5.0, "a"), (6.0, "b"), (60.0, "a"))
    assert clones(trace) == {0: None, 1: 0, 2: None}
    assert hits(trace, 3)


def test_a_clone_is_of_the_base_as_it_is_when_its_machine_is_up():
    """It is asked for at 11 and up at 21; main has done b at 14, and does a."""
    trace = traced("discard", (0.0, "b"), (11.0, "a"), (15.0, "b"), boot_s=10.0)
    assert hits(trace, 2)
    assert ends(trace)[2] == 21.0


def test_the_end_of_the_run_writes_nothing_and_bills_each_base_for_its_time():
    """The first base holds nothing until main's a, which it gets as a copy: b's base is billed from 10 on."""
    costs = ideal(("RUN a", {"latency": 20.0, "layer": 7.0}), ("RUN b", {"latency": 4.0, "layer": 10.0}))
    asked = [a_request(0, 0.0, ("a",)), a_request(1, 1.0, ("b",)), a_request(2, 12.0, ("a",))]
    trace = simulated(MADE, asked, costs, a_farm_of_clones("fork_commit"))
    # Main ends a at 20, detached. At 12 a new main boots on b's base; it ends a at 32 and stops at 37.
    assert clones(trace) == {0: None, 1: 0, 2: None}
    assert trace.meta.cache_byte_s == pytest.approx(10.0 * (37.0 - 10.0) + 7.0 * (37.0 - 32.0))


@settings(max_examples=60, deadline=None, print_blob=True)
@given(
    asked=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 3.0, 7.0, 30.0]), st.sampled_from(NAMES)), max_size=14),
    limit=st.integers(1, 2),
    boot_s=st.sampled_from([0.0, 2.0]),
)
def test_fork_commit_never_loses_what_a_base_had(asked, limit, boot_s):
    """A target that a main found on the base when it booted, hits on every main that boots later.

    What a main has built itself counts only for itself: a clone's commit may have detached it before.
    """
    now_s, requests = 0.0, []
    for gap_s, target in asked:
        now_s += gap_s
        requests.append((now_s, target))
    trace = traced("fork_commit", *requests, limit=limit, boot_s=boot_s, clone_s=boot_s / 2)
    boots = {row[0]: row[6] for row in trace.runners.rows() if row[4] is None}
    known = {}
    built = set()
    for build, target, runner, ready_s in sorted(
        (row[0], row[3], row[13], row[8]) for row in trace.builds.rows() if row[13] in boots
    ):
        if hits(trace, build):
            if target in known and boots[runner] > known[target]:
                continue
            if (runner, target) not in built:
                known.setdefault(target, ready_s)
        else:
            built.add((runner, target))
            assert target not in known or boots[runner] <= known[target]
