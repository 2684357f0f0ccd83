"""The pool's decisions, without a clock."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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


def a_clone_beside_main(**settings):
    """Main is 0, its clone 1; lease 1 runs on main, lease 2 on the clone."""
    pool = Pool(limit=1, max_instances=9, **settings)
    pool.arrive(1)
    pool.ready(0)
    pool.arrive(2)
    pool.forked(1)
    pool.ready(1)
    return pool


def stop_idle(pool, lease, runner):
    [watch] = pool.release(lease, runner)
    [stop] = pool.idle(runner, watch.spell)
    return stop


def main_of(pool):
    return [number for number, state in pool.runners.items() if state.is_main]


def test_a_clone_is_discarded():
    pool = a_clone_beside_main()
    pool.moved(1)
    assert stop_idle(pool, 2, 1) == Stop(1, is_main=False, commit=False)
    assert main_of(pool) == [0]


def test_the_last_to_stop_wins_and_main_goes_on_with_a_copy():
    pool = a_clone_beside_main(write_back="last_write_wins")
    pool.moved(0)
    assert stop_idle(pool, 2, 1) == Stop(1, is_main=False, commit=True)
    assert main_of(pool) == []
    assert pool.arrive(3) == [Boot(2, clone_of=None)]  # nobody holds the base: the next is main
    pool.ready(2)
    assert stop_idle(pool, 1, 0) == Stop(0, is_main=False, commit=True)  # and what was main writes over it
    assert main_of(pool) == []


def test_main_stops_and_leaves_the_base_as_it_is():
    for write_back in ("discard", "last_write_wins", "fork_commit"):
        pool = a_clone_beside_main(write_back=write_back)
        assert stop_idle(pool, 1, 0) == Stop(0, is_main=True, commit=False)


def test_a_fork_commits_only_on_the_base_that_it_forked():
    def after(*calls):
        pool = a_clone_beside_main(write_back="fork_commit")
        for call, runner in calls:
            getattr(pool, call)(runner)
        return stop_idle(pool, 2, 1).commit

    assert after(("moved", 1))
    assert not after(("moved", 1), ("moved", 0))
    assert not after(("moved", 0))
    assert not after()  # nothing learned: nothing to write, and main keeps the base


def test_of_two_forks_of_one_base_the_first_commits():
    pool = a_clone_beside_main(write_back="fork_commit")
    pool.arrive(3)
    pool.ready(2)
    pool.moved(1)
    pool.moved(2)
    assert stop_idle(pool, 3, 2).commit
    assert not stop_idle(pool, 2, 1).commit
    pool.moved(0)  # was main, is a fork of what the base was
    assert stop_idle(pool, 1, 0) == Stop(0, is_main=False, commit=False)


def test_a_main_that_still_boots_finds_the_new_base():
    pool = a_clone_beside_main(write_back="last_write_wins")
    stop_idle(pool, 1, 0)
    assert pool.arrive(3) == [Boot(2, clone_of=None)]
    pool.withdraw(3)
    assert stop_idle(pool, 2, 1).commit
    assert main_of(pool) == [2]


def ready_runners(count, **settings):
    """A pool with runners 0 to count - 1, each with room for many."""
    pool = Pool(limit=1, max_instances=count, **settings)
    for lease in range(count):
        pool.arrive(-1 - lease)
        pool.ready(lease)
    pool.limit = 1000
    for lease in range(count):
        pool.release(-1 - lease, next(n for n, state in pool.runners.items() if -1 - lease in state.leases))
    return pool


def runner_of(pool, lease, sticky=0):
    [given] = [action for action in pool.arrive(lease, sticky) if isinstance(action, Assign)]
    return given.runner


def test_fill_first_takes_main_then_the_oldest():
    pool = ready_runners(3)
    assert [runner_of(pool, lease) for lease in range(3)] == [0, 0, 0]
    pool.limit = 3
    assert runner_of(pool, 3) == 1


def test_least_loaded_spreads():
    pool = ready_runners(3, routing="least_loaded")
    assert [runner_of(pool, lease) for lease in range(6)] == [0, 1, 2, 0, 1, 2]


def test_random_takes_all_and_the_same_with_the_same_stream():
    first, second = (
        [runner_of(pool, lease) for lease in range(60)]
        for pool in (ready_runners(3, routing="random", random=Random(5)) for _ in range(2))
    )
    assert first == second
    assert min(first.count(runner) for runner in range(3)) > 5


def homes(pool, targets=range(300)):
    """By target, the runner that sticky routing gives it; nothing stays on it."""
    found = {}
    for target in targets:
        found[target] = runner_of(pool, 10_000 + target, sticky=target * 7919)
        pool.release(10_000 + target, found[target])
    return found


def test_sticky_targets_stay_where_they_were_as_runners_come_and_go():
    pool = ready_runners(6, routing="sticky")
    before = homes(pool)
    assert before == homes(pool)
    assert min(list(before.values()).count(runner) for runner in range(6)) > 300 / 6 / 2  # spread evenly enough
    [stop] = pool.idle(2, pool.runners[2].spell)
    assert stop.runner == 2
    after = homes(pool)
    assert {target for target in before if before[target] != after[target]} == {
        target for target, runner in before.items() if runner == 2
    }
    pool.limit = 0
    [boot] = pool.arrive(1)
    pool.withdraw(1)
    pool.ready(boot.runner)
    pool.limit = 1000
    again = homes(pool)
    moved = {target for target in after if after[target] != again[target]}
    assert {again[target] for target in moved} == {boot.runner}
    assert 300 / 6 / 2 < len(moved) < 300 / 6 * 2


def test_a_sticky_target_goes_to_its_second_choice_when_the_first_is_full():
    pool = ready_runners(3, routing="sticky")
    pool.limit = 1
    assert sorted(runner_of(pool, lease, sticky=5) for lease in range(3)) == [0, 1, 2]


def test_a_booting_runner_that_nobody_waits_for_any_more_idles():
    pool = Pool(limit=1, max_instances=2)
    pool.arrive(1)
    pool.withdraw(1)
    [watch] = pool.ready(0)
    assert pool.idle(0, watch.spell) == [Stop(0, is_main=True)]


def test_who_waits_for_a_place_takes_the_boot_of_one_who_gave_up():
    pool = Pool(limit=1, max_instances=1)
    pool.arrive(1)
    pool.arrive(2)
    pool.withdraw(1)
    assert pool.ready(0) == [Assign(2, 0)]


def test_sharing_begins_only_when_no_runner_boots():
    pool = Pool(limit=1, max_instances=2, on_full="share")
    pool.arrive(1)
    pool.ready(0)
    pool.arrive(2)
    assert pool.arrive(3) == []
    assert pool.ready(1) == [Assign(2, 1), Assign(3, 0)]


class Driven(RuleBasedStateMachine):
    """A driver that does what actions say, keeps caches as sets of records, and judges each action against its own books."""

    @initialize(
        limit=st.integers(1, 3),
        instances=st.integers(1, 4),
        on_full=st.sampled_from(["queue", "share"]),
        routing=st.sampled_from(["fill_first", "least_loaded", "sticky", "random"]),
        write_back=st.sampled_from(["discard", "last_write_wins", "fork_commit", "registry"]),
    )
    def begin(self, limit, instances, on_full, routing, write_back):
        self.pool = Pool(limit, instances, on_full, routing, write_back)
        self.leases = self.records = 0
        self.waiting, self.running = [], {}  # leases in order; lease -> runner
        self.booting, self.caches = {}, {}  # runner -> is a clone; runner -> cache
        self.base = {0}
        self.watches, self.gone = [], set()
        self.idle_spells = {}

    def load(self, runner):
        return list(self.running.values()).count(runner)

    def carry_out(self, actions):
        for action in actions:
            if isinstance(action, Boot):
                assert action.runner not in self.gone | set(self.caches) | set(self.booting)
                assert action.clone_of is None or action.clone_of in set(self.caches) | set(self.booting)
                self.booting[action.runner] = action.clone_of is not None
            elif isinstance(action, Assign):
                assert action.lease == self.waiting.pop(0), "first come, first served, once"
                assert action.runner in self.caches
                if self.load(action.runner) >= self.pool.limit:
                    assert self.pool.on_full == "share"
                    assert len(self.caches) == self.pool.max_instances
                    assert self.load(action.runner) == min(map(self.load, self.caches))
                self.running[action.lease] = action.runner
            elif isinstance(action, WatchIdle):
                self.watches.append(action)
                self.idle_spells[action.runner] = action.spell
            else:
                self.stop(action)

    def stop(self, action):
        assert action.runner not in self.running.values()
        cache = self.caches.pop(action.runner)
        self.gone.add(action.runner)
        assert action.is_main == (cache is self.base)
        if action.commit:
            assert self.pool.write_back in ("last_write_wins", "fork_commit")
            assert self.pool.write_back == "last_write_wins" or cache > self.base, "a fork commit loses nothing"
            self.base = cache
        elif self.pool.write_back == "last_write_wins":
            assert cache is self.base

    @rule(sticky=st.integers(0, 99))
    def arrive(self, sticky):
        self.leases += 1
        self.waiting.append(self.leases)
        self.carry_out(self.pool.arrive(self.leases, sticky))

    @precondition(lambda self: self.booting)
    @rule(pick=st.integers(0, 99))
    def be_ready(self, pick):
        runner = sorted(self.booting)[pick % len(self.booting)]
        is_clone = self.booting.pop(runner)
        self.caches[runner] = set(self.base) if is_clone else self.base
        self.pool.forked(runner)
        self.carry_out(self.pool.ready(runner))

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 99), learns=st.booleans())
    def end(self, pick, learns):
        lease = sorted(self.running)[pick % len(self.running)]
        runner = self.running.pop(lease)
        if learns:
            self.records += 1
            self.caches[runner].add(self.records)
            self.pool.moved(runner)
        self.carry_out(self.pool.release(lease, runner))

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 99))
    def give_up(self, pick):
        lease = self.waiting.pop(pick % len(self.waiting))
        assert self.pool.withdraw(lease)
        assert not self.pool.withdraw(lease)

    @precondition(lambda self: self.watches)
    @rule(pick=st.integers(0, 99))
    def idle_too_long(self, pick):
        watch = self.watches.pop(pick % len(self.watches))
        actions = self.pool.idle(watch.runner, watch.spell)
        assert not actions or self.idle_spells[watch.runner] == watch.spell, "idle all the time"
        self.carry_out(actions)

    @invariant()
    def limits_hold(self):
        pool = self.pool
        assert len(self.caches) + len(self.booting) == len(pool.runners) <= pool.max_instances
        assert pool.on_full == "share" or max(map(self.load, self.caches), default=0) <= pool.limit
        assert list(pool.waiting) == self.waiting

    @invariant()
    def nobody_waits_beside_a_free_place_or_for_nothing(self):
        if self.waiting:
            assert all(self.load(runner) >= self.pool.limit for runner in self.caches)
            assert self.booting or len(self.pool.runners) == self.pool.max_instances

    @invariant()
    def one_holds_the_base_at_most(self):
        holders = main_of(self.pool)
        assert len(holders) <= 1
        assert [runner for runner, cache in self.caches.items() if cache is self.base] == [
            runner for runner in holders if runner in self.caches
        ]


TestDriven = Driven.TestCase
TestDriven.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, print_blob=True)
