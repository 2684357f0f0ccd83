"""The pool's decisions, without a clock."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.pool import Assign, Boot, Pool, Stop, WatchIdle


def test_second_lease_at_limit_one_boots_a_clone():
    pool = Pool(limit=1, max_instances=20)
    assert pool.arrive(lease=1) == [Boot(runner=0, clone_of=None)]
    assert pool.ready(runner=0) == [Assign(lease=1, runner=0)]
    assert pool.arrive(lease=2) == [Boot(runner=1, clone_of=0)]


def test_without_auto_scaling_one_runner_takes_all():
    pool = Pool()
    pool.arrive(1)
    assert pool.arrive(2) == []
    assert pool.ready(0) == [Assign(1, 0), Assign(2, 0)]
    assert pool.arrive(3) == [Assign(3, 0)]


def test_a_booting_runner_counts_with_its_room():
    pool = Pool(limit=2, max_instances=20)
    assert pool.arrive(1) == [Boot(0, None)]
    assert pool.arrive(2) == []
    assert pool.arrive(3) == [Boot(1, 0)]


def test_waiting_leases_are_served_in_order_and_take_places_that_free_up():
    pool = Pool(limit=1, max_instances=2)
    pool.arrive(1)
    pool.ready(0)
    pool.arrive(2)
    assert pool.arrive(3) == []
    assert pool.release(1, 0) == [Assign(2, 0)]
    assert pool.ready(1) == [Assign(3, 1)]


def test_a_full_farm_may_share():
    pool = Pool(limit=1, max_instances=1, on_full="share")
    pool.arrive(1)
    pool.ready(0)
    assert pool.arrive(2) == [Assign(2, 0)]


def test_an_idle_runner_stops_only_when_it_stayed_idle():
    pool = Pool()
    pool.arrive(1)
    pool.ready(0)
    [watch] = pool.release(1, 0)
    assert isinstance(watch, WatchIdle)
    pool.arrive(2)
    assert pool.idle(0, watch.spell) == []
    [later] = pool.release(2, 0)
    assert pool.idle(0, watch.spell) == []
    assert pool.idle(0, later.spell) == [Stop(0, is_main=True)]


def test_after_main_has_stopped_the_next_to_boot_is_main():
    pool = Pool(limit=1, max_instances=3)
    pool.arrive(1)
    pool.ready(0)
    pool.arrive(2)
    pool.ready(1)
    [watch] = pool.release(1, 0)
    assert pool.idle(0, watch.spell) == [Stop(0, is_main=True)]
    assert pool.arrive(3) == [Boot(2, clone_of=None)]


def test_who_gives_up_waiting_is_forgotten():
    pool = Pool(limit=1, max_instances=1)
    pool.arrive(1)
    assert pool.withdraw(1)
    assert not pool.withdraw(1)
    assert [action for action in pool.ready(0) if isinstance(action, Assign)] == []


@settings(max_examples=200, deadline=None, print_blob=True)
@given(
    limit=st.integers(1, 4),
    instances=st.integers(1, 4),
    routing=st.sampled_from(["fill_first", "least_loaded", "sticky", "random"]),
    moves=st.lists(st.integers(0, 999), max_size=80),
)
def test_never_more_than_its_limits_and_nobody_waits_beside_a_free_place(limit, instances, routing, moves):
    pool = Pool(limit=limit, max_instances=instances, routing=routing)
    booting, running, lease = [], {}, 0

    def carry_out(actions):
        for action in actions:
            if isinstance(action, Boot):
                booting.append(action.runner)
            elif isinstance(action, Assign):
                running[action.lease] = action.runner

    for move in moves:
        if move % 3 == 0:
            lease += 1
            carry_out(pool.arrive(lease, sticky=move))
        elif move % 3 == 1 and booting:
            carry_out(pool.ready(booting.pop(move % len(booting))))
        elif running:
            ended = sorted(running)[move % len(running)]
            carry_out(pool.release(ended, running.pop(ended)))
        loads = [list(running.values()).count(runner) for runner in pool.runners]
        assert len(pool.runners) <= instances
        assert all(load <= limit for load in loads)
        assert sum(state.is_main for state in pool.runners.values()) <= 1
        if pool.waiting:
            assert all(len(state.leases) == limit for state in pool.runners.values() if state.ready)
