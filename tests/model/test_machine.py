"""The fast machine against its slow twin, and against what can be worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.machine import progressive
from sim.model.machine.fair_share import DAEMON, STEPS, Host, Machine
from sim.model.machine.memory import Memory
from sim.model.machine.pipe import Pipe
from sim.model.machine.progressive import Node

CAPS = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 16.0, float("inf")])
JOBS = st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 10), CAPS), min_size=1, max_size=25)


def ends_of(share, jobs, groups=None, sleepy=()):
    """Drive a share by its own deadlines, as a timer would. `sleepy`: the numbers of jobs that sleep and wake."""
    order = sorted(range(len(jobs)), key=lambda job: jobs[job][0])
    ended = [0.0] * len(jobs)
    while order or share.jobs:
        arrival = jobs[order[0]][0] if order else float("inf")
        now = min(arrival, share.next_end_s)
        if share.next_end_s <= now:
            ended[share.finish(now)] = now
        if order and arrival <= now:
            job = order.pop(0)
            share.add(now, jobs[job][1], jobs[job][2], job, groups[job] if groups else STEPS, 1.0, job in sleepy)
        share.settle()
    return ended


def assert_same(mine, slow):
    for one, other in zip(mine, slow, strict=True):
        assert abs(one - other) <= 1e-9 * max(1.0, other)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(capacity=st.sampled_from([1.0, 2.0, 3.5, 8.0]), jobs=JOBS)
def test_ends_as_progressive_filling_says(capacity, jobs):
    machine = Machine(capacity)
    assert_same(ends_of(machine, jobs), progressive.ends(capacity, jobs))
    assert abs(machine.work_done - sum(work for _, work, _ in jobs)) <= 1e-8 * max(1.0, machine.work_done)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(capacity=st.sampled_from([1.0, 3.5]), jobs=JOBS)
def test_a_pipe_ends_as_progressive_filling_says(capacity, jobs):
    jobs = [(at_s, work, float("inf")) for at_s, work, _ in jobs]
    assert_same(ends_of(Pipe(capacity), jobs), progressive.ends(capacity, jobs))


def machine_tree(capacity, cgroup, caps, groups, running):
    """A machine as a tree: the steps' cgroup beside the daemon's, or beside each of its threads."""
    leaves = {job: Node(caps[job]) for job in running}
    steps = Node(float("inf"), [leaves[job] for job in running if groups[job] % 2 == STEPS])
    threads = [leaves[job] for job in running if groups[job] % 2 == DAEMON]
    beside = [Node(float("inf"), threads)] if cgroup == "group" and threads else threads
    return leaves, Node(capacity, [*([steps] if steps.members else []), *beside])


@pytest.mark.parametrize("cgroup", ["group", "root"])
@settings(max_examples=150, deadline=None, print_blob=True)
@given(data=st.data(), capacity=st.sampled_from([1.0, 2.0, 3.5, 8.0]), jobs=JOBS)
def test_two_groups_end_as_progressive_filling_says(cgroup, data, capacity, jobs):
    groups = [data.draw(st.sampled_from([STEPS, DAEMON])) for _ in jobs]
    caps = [cap for _, _, cap in jobs]

    def rates(running):
        leaves, tree = machine_tree(capacity, cgroup, caps, groups, running)
        progressive.fill(tree)
        return [leaves[job].rate for job in running]

    assert_same(ends_of(Machine(capacity, cgroup), jobs, groups), progressive.ends_by(rates, jobs))


@settings(max_examples=150, deadline=None, print_blob=True)
@given(data=st.data(), capacity=st.sampled_from([1.0, 2.0, 6.0]), jobs=JOBS)
def test_machines_on_a_host_end_as_progressive_filling_says(data, capacity, jobs):
    sizes = data.draw(st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=1, max_size=3))
    host = Host(capacity)
    firsts = [host.attach(Machine(size)) for size in sizes]
    on = [data.draw(st.integers(0, len(sizes) - 1)) for _ in jobs]
    groups = [firsts[machine] + data.draw(st.sampled_from([STEPS, DAEMON])) for machine in on]
    caps = [cap for _, _, cap in jobs]

    def rates(running):
        leaves, machines = {}, []
        for machine, size in enumerate(sizes):
            mine = [job for job in running if on[job] == machine]
            if mine:
                found, tree = machine_tree(size, "group", caps, groups, mine)
                leaves.update(found)
                machines.append(tree)
        progressive.fill(Node(capacity, machines))
        return [leaves[job].rate for job in running]

    assert_same(ends_of(host, jobs, groups), progressive.ends_by(rates, jobs))


def test_twin_fails_when_a_group_keeps_what_it_cannot_use(monkeypatch):
    """Broken on purpose: each of two busy groups has half of the cores, whether it can use them or not."""

    def halves(machine, allowance):
        steps, daemon = machine.groups
        parts = (allowance, 0.0) if not daemon.jobs else (0.0, allowance) if not steps.jobs else (allowance / 2,) * 2
        waits = [
            group.fill(part) if group.jobs else float("inf") for group, part in zip(machine.groups, parts, strict=True)
        ]
        machine._first = machine.groups[waits.index(min(waits))]
        return min(waits)

    monkeypatch.setattr(Machine, "share_out", halves)
    jobs, groups = [(0.0, 6.0, 3.0), (0.0, 4.0, 1.0)], [STEPS, DAEMON]
    leaves, tree = machine_tree(4.0, "group", [3.0, 1.0], groups, [0, 1])
    progressive.fill(tree)
    assert [leaves[job].rate for job in (0, 1)] == [3.0, 1.0]
    assert ends_of(Machine(4.0), jobs, groups) != pytest.approx([2.0, 4.0])


def test_one_and_four_threads_on_two_cores():
    """Max-min by step, not by thread: the one-thread step keeps its whole core (buildkit-semantics 13.3)."""
    assert ends_of(Machine(2.0), [(0.0, 4.0, 1.0), (0.0, 16.0, 4.0)]) == [4.0, 10.0]


def test_a_daemon_in_a_group_gets_half_and_in_the_root_a_part_for_each_thread():
    """Ten steps and two gzip threads on three cores (buildkit-semantics 10)."""
    jobs = [*[(0.0, 100.0, 1.0)] * 10, (0.0, 1.5, 1.0), (0.0, 1.5, 1.0)]
    groups = [*[STEPS] * 10, DAEMON, DAEMON]
    assert ends_of(Machine(3.0, "group"), jobs, groups)[-1] == pytest.approx(2.0)
    assert ends_of(Machine(3.0, "root"), jobs, groups)[-1] == pytest.approx(1.5)


def test_where_steps_want_all_cores_a_sleepy_thread_gets_its_crowded_share():
    """A quarter of the core that it could use, and all that steps leave. Without `crowded_share` it would always end at 1."""
    thread = (0.0, 1.0, 1.0)
    for steps, sleepy, ends_s in (([(0.0, 9.0, 1.0)], [1], 1.0), ([(0.0, 9.0, 1.0)] * 2, [2], 4.0)):
        machine, groups = Machine(2.0, crowded_share=0.25), [*[STEPS] * len(steps), DAEMON]
        assert ends_of(machine, [*steps, thread], groups, sleepy)[-1] == pytest.approx(ends_s)
        assert ends_of(Machine(2.0, crowded_share=0.25), [*steps, thread], groups)[-1] == pytest.approx(1.0)
    # Steps could use 1.5 cores, which leaves half a core.
    groups = [STEPS, DAEMON]
    assert ends_of(Machine(2.0, crowded_share=0.25), [(0.0, 9.0, 1.5), thread], groups, [1])[-1] == 2.0
    groups = [STEPS, STEPS, DAEMON, DAEMON]
    found = ends_of(Machine(2.0, "root", 0.25), [*[(0.0, 9.0, 1.0)] * 2, thread, thread], groups, [2, 3])
    assert found[-2:] == [4.0, 4.0]


@pytest.mark.parametrize(("computing", "ends_s"), [(0, 1.0), (1, 1.0), (2, 4.0)])
def test_the_daemons_own_computing_threads_crowd_a_sleepy_one(computing, ends_s):
    """mixed-slots-1: .dockerignores took twice as long beside hashing. Without `Group.fill_crowded` the last ends at 1.5."""
    jobs = [*[(0.0, 9.0, 1.0)] * computing, (0.0, 1.0, 1.0)]
    found = ends_of(Machine(2.0, crowded_share=0.25), jobs, [DAEMON] * len(jobs), [computing])
    assert found[-1] == pytest.approx(ends_s)


@pytest.mark.parametrize(("others", "ends_s"), [(1, 1.0), (2, 4.0)])
def test_on_a_host_the_steps_of_any_machine_crowd_a_daemon(others, ends_s):
    host = Host(2.0)
    first, second = (host.attach(Machine(2.0, crowded_share=0.25)) for _ in range(2))
    jobs = [*[(0.0, 9.0, 1.0)] * others, (0.0, 1.0, 1.0)]
    found = ends_of(host, jobs, [*[first + STEPS] * others, second + DAEMON], [others])
    assert found[-1] == pytest.approx(ends_s)


def test_removed_job_gives_its_share_back():
    machine = Machine(1.0)
    first = machine.add(0.0, 10.0, 1.0, "first")
    machine.add(0.0, 10.0, 1.0, "second")
    machine.settle()
    assert machine.remove(4.0, first) == 8.0
    assert machine.settle() == 12.0


def test_the_largest_dies_and_of_equal_ones_the_first():
    memory = Memory(300.0)
    memory.claim("first", 200.0)
    assert memory.victim() is None
    memory.claim("second", 200.0)
    assert memory.victim() == "first"
    memory.give_back("first")
    assert (memory.victim(), memory.in_use_bytes) == (None, 200.0)
