"""The fast machine against its slow twin, and against what can be worked out by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.machine import progressive
from sim.model.machine.fair_share import Machine

JOBS = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.01, 10), st.sampled_from([0.5, 1.0, 2.0, 3.0, 4.0, 16.0])),
    min_size=1,
    max_size=25,
)


def ends_of(capacity, jobs):
    """Drive the machine by its own deadlines, as a timer would."""
    machine = Machine(capacity)
    order = sorted(range(len(jobs)), key=lambda job: jobs[job][0])
    ended = [0.0] * len(jobs)
    while order or machine.jobs:
        arrival = jobs[order[0]][0] if order else float("inf")
        now = min(arrival, machine.next_end_s)
        if machine.next_end_s <= now:
            ended[machine.finish(now)] = now
        if order and arrival <= now:
            job = order.pop(0)
            machine.add(now, jobs[job][1], jobs[job][2], job)
        machine.settle()
    return ended, machine


@settings(max_examples=200, deadline=None, print_blob=True)
@given(capacity=st.sampled_from([1.0, 2.0, 3.5, 8.0]), jobs=JOBS)
def test_ends_as_progressive_filling_says(capacity, jobs):
    expected = progressive.ends(capacity, [(at, work, min(cap, capacity)) for at, work, cap in jobs])
    ended, machine = ends_of(capacity, jobs)
    for mine, slow in zip(ended, expected, strict=True):
        assert abs(mine - slow) <= 1e-9 * max(1.0, slow)
    assert abs(machine.work_done - sum(work for _, work, _ in jobs)) <= 1e-8 * max(1.0, machine.work_done)


def test_one_and_four_threads_on_two_cores():
    """Max-min by step, not by thread: the one-thread step keeps its whole core (buildkit-semantics 13.3)."""
    ended, _ = ends_of(2.0, [(0.0, 4.0, 1.0), (0.0, 16.0, 4.0)])
    assert ended == [4.0, 10.0]


def test_removed_job_gives_its_share_back():
    machine = Machine(1.0)
    first = machine.add(0.0, 10.0, 1.0, "first")
    machine.add(0.0, 10.0, 1.0, "second")
    machine.settle()
    assert machine.remove(4.0, first) == 8.0
    assert machine.settle() == 12.0
