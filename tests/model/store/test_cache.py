"""The cache against an obvious twin that copies everything in full, on random moves of a base and its clones."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.model.store.cache import Cache
from sim.model.store.candidates import by_score
from sim.model.store.collection import OTHERS_KEEP_S, OTHERS_MAX_BYTES
from sim.scenario.farm import CacheLimits

KEYS = 9
MOUNTS = 3


@dataclass
class Slow:
    """A cache in plain dicts; whatever is asked is computed from all of it."""

    limits: CacheLimits
    items: dict = field(default_factory=dict)  # key: (number, size, result, parents)
    usage: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)
    collected: set = field(default_factory=set)
    attempts: dict = field(default_factory=dict)
    byte_s: float = 0.0
    now_s: float = 0.0
    number: int = 0

    def fork(self) -> Slow:
        copies = [dict(one) for one in (self.items, self.usage, {}, self.links)]
        return Slow(
            self.limits, *copies, set(self.collected), dict(self.attempts), now_s=self.now_s, number=self.number
        )

    def bytes(self) -> float:
        return sum(size for _, size, _, _ in self.items.values())

    def put(self, key, now_s, size, result, parents, uses):
        self.number += 1
        self.items[key] = (self.number, size, result, parents)
        self.usage[key] = (now_s, uses)

    def free(self) -> list:
        stood_on = {parent for _, _, _, parents in self.items.values() for parent in parents}
        return [
            (self.usage[key][0], item[0], key, self.usage[key][1])
            for key, item in self.items.items()
            if key not in stood_on and not self.holds.get(key)
        ]

    def counted(self) -> float:
        in_use = [key for key, held in self.holds.items() if held and isinstance(key, tuple) and key in self.items]
        return self.bytes() - sum(self.items[key][1] for key in in_use)

    def drop(self, key) -> None:
        del self.items[key], self.usage[key]
        if isinstance(key, int):
            self.collected.add(key)

    def collect(self, now_s) -> None:
        def old(keep_s, is_eligible):
            return [one for one in self.free() if one[0] <= now_s - keep_s and is_eligible(one[2])]

        if self.limits.policy == "buildkit":
            while self.counted() >= OTHERS_MAX_BYTES:
                candidates = old(OTHERS_KEEP_S, lambda key: isinstance(key, tuple))
                if not candidates:
                    break
                self.drop(by_score(candidates)[0][2])
        while candidates := old(self.limits.keep_s, lambda key: True):
            self.drop(min(candidates)[2])
        if self.limits.policy == "buildkit":
            while self.counted() >= self.limits.max_bytes and (candidates := self.free()):
                self.drop(by_score(candidates)[0][2])
        self.make_room(None)

    def make_room(self, spare) -> None:
        while self.limits.policy == "lru" and self.bytes() > self.limits.max_bytes:
            candidates = [one for one in self.free() if one[2] != spare]
            if not candidates:
                break
            self.drop(min(candidates)[2])


def take(pairs, move):
    """Make one move on the fast and the slow twin of one view."""
    at, kind, key, value, now_s = move
    fast, slow = pairs[at % len(pairs)]
    slow.byte_s += slow.bytes() * (now_s - slow.now_s)
    slow.now_s = now_s
    fast.advance(now_s)
    mount = ("mount", ("id", key % MOUNTS))
    if kind == "record":
        # A chain's step stands on one of the keys below it, if that is here (a child never replaces its own ancestor).
        parents = tuple(one for one in ((key - 1 - value % 3),) if one in slow.items)
        fast.add_record(key, value, now_s, float(value * 60e6), parents, cpu_s=float(value))
        slow.put(key, now_s, float(value * 60e6), value, parents, 0)
        slow.make_room(key)
    elif kind == "hold":
        fast.hold(key)
        slow.holds[key] = slow.holds.get(key, 0) + 1
    elif kind == "release" and slow.holds.get(key):
        fast.release(key, now_s)
        release(slow, key, now_s)
    elif kind == "mount":
        fast.put_item(*mount, float(value * 50e6), now_s)
        slow.put(mount, now_s, float(value * 50e6), 0, (), slow.usage.get(mount, (0.0, 0))[1])
    elif kind == "hold mount":
        fast.hold_item(*mount)
        slow.holds[mount] = slow.holds.get(mount, 0) + 1
    elif kind == "release mount" and slow.holds.get(mount):
        fast.release_item(*mount, now_s)
        release(slow, mount, now_s)
    elif kind == "link":
        fast.add_link(key, value)
        slow.links[key] = value
    elif kind == "attempt":
        fast.attempts[key] = fast.attempts.get(key, 0) + 1
        slow.attempts[key] = slow.attempts.get(key, 0) + 1
    return fast, slow


def release(slow, key, now_s):
    slow.holds[key] -= 1
    if not slow.holds[key] and key in slow.items:
        slow.usage[key] = (now_s, slow.usage[key][1] + 1)


def same(fast, slow):
    for key in range(KEYS):
        item = slow.items.get(key)
        assert fast.record(key) == (None if item is None else item[2])
        assert fast.link(key) == slow.links.get(key)
        assert fast.was_collected(key) is (key in slow.collected)
        assert fast.attempts.get(key, 0) == slow.attempts.get(key, 0)
    for number in range(MOUNTS):
        key = ("mount", ("id", number))
        assert fast.has_item(*key) is (key in slow.items)
        assert fast.item_bytes(*key) == slow.items.get(key, (0, 0.0))[1]
    assert sorted(fast.items("mount")) == sorted(key[1] for key in slow.items if isinstance(key, tuple))
    assert fast.used_bytes == pytest.approx(slow.bytes(), abs=1e-3)
    assert fast.byte_s == pytest.approx(slow.byte_s, abs=1e-3)


KINDS = ["record"] * 4 + [
    "hold", "release", "mount", "hold mount", "release mount", "link", "attempt", "collect", "collect", "clone", "commit",
]  # fmt: skip
MOVES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(KINDS),
        st.integers(0, KEYS - 1),
        st.integers(0, 5),
        st.sampled_from([0.0, 1.0, 600.0, 90_000.0]),
    ),
    max_size=60,
)
LIMITS = st.builds(
    CacheLimits,
    max_bytes=st.sampled_from([300e6, 700e6, 1e12]),
    keep_s=st.sampled_from([100_000.0, 1e12]),
    policy=st.sampled_from(["buildkit", "lru"]),
)


@settings(max_examples=400, deadline=None, print_blob=True)
@given(moves=MOVES, limits=LIMITS)
def test_views_delete_what_the_twin_deletes_and_never_see_each_others_changes(moves, limits):
    pairs = [(Cache(limits), Slow(limits))]
    now_s = 0.0
    for at, kind, key, value, step_s in moves:
        now_s += step_s
        fast, slow = take(pairs, (at, kind, key, value, now_s))
        if kind == "collect":
            before_bytes = slow.bytes()
            slow.collect(now_s)
            needed = fast.needs_collection(now_s)
            freed = fast.collect(now_s)
            assert freed == pytest.approx(before_bytes - slow.bytes(), abs=1e-3)
            assert needed or not freed
            protected = not slow.free() or limits.policy == "lru"
            assert protected or slow.counted() < limits.max_bytes
        elif kind in ("clone", "commit"):
            pairs.append((fast.clone() if kind == "clone" else fast.committed(), slow.fork()))
        for one in pairs:
            same(*one)


def test_a_replaced_record_is_not_counted_twice_and_a_base_has_moved():
    cache = Cache()
    for size_bytes in (10.0, 30.0):
        cache.add_record(1, 1, 1.0, size_bytes, cpu_s=size_bytes)
    assert cache.used_bytes == 30.0
    assert cache.cpu_s_of(1) == 30.0
    assert cache.changes == 2


def test_stored_bytes_are_charged_by_time():
    cache = Cache()
    cache.add_record(1, 1, 10.0, 100.0)
    cache.put_item("mount", ("npm", 0), 50.0, 20.0)
    cache.advance(30.0)
    assert cache.byte_s == 100.0 * 10 + 150.0 * 10


def test_a_cancelled_transfer_is_gone_at_once_from_its_view_only():
    base = Cache(CacheLimits(max_bytes=100.0))
    base.put_item("context", 1, 10.0, 0.0)
    clone = base.clone()
    clone.hold_item("context", 1)
    clone.drop_item("context", 1, 1.0)
    assert not clone.has_item("context", 1)
    assert clone.used_bytes == 0.0
    clone.release_item("context", 1, 2.0)
    assert base.has_item("context", 1)


def test_a_committed_clone_holds_its_own_and_what_the_base_had_at_the_fork():
    base = Cache()
    base.add_record(1, 11)
    base.add_link(5, 1)
    clone = base.clone()
    base.add_record(2, 12)
    clone.add_record(3, 13)
    clone.attempts[1] = 1
    base = clone.committed()
    assert [base.record(key) for key in (1, 2, 3)] == [11, None, 13]
    assert base.link(5) == 1
    assert base.attempts.get(1, 0) == 1


def test_a_resized_record_keeps_its_place_and_its_former_size_on_the_base():
    base = two_records()
    clone = base.clone()
    clone.resize(1, 12.0, 5.0)
    clone.resize(3, 12.0, 5.0)
    assert clone.used_bytes == 22.0
    assert base.used_bytes == 20.0
    assert left(clone) == [2]
    assert left(base) == [2]


def two_records() -> Cache:
    """Room for one; 1 is the older one."""
    cache = Cache(CacheLimits(max_bytes=15.0))
    cache.add_record(1, 1, 1.0, 10.0)
    cache.add_record(2, 1, 2.0, 10.0)
    return cache


def use(cache: Cache, key: int, now_s: float) -> None:
    cache.hold(key)
    cache.release(key, now_s)


def left(cache: Cache) -> list[int]:
    cache.collect(10.0)
    return [key for key in (1, 2) if cache.record(key) is not None]


def test_a_clones_uses_count_on_it_and_nowhere_else():
    base = two_records()
    clone, other = base.clone(), base.clone()
    use(clone, 1, 5.0)
    assert left(clone) == [1]
    assert left(other) == [2]
    assert left(base) == [2]


def test_a_bases_uses_after_the_fork_do_not_count_on_the_clone():
    base = two_records()
    clone = base.clone()
    use(base, 1, 5.0)
    assert left(clone) == [2]
    assert left(base) == [1]


def test_what_a_build_on_the_base_refers_to_is_free_on_the_clone():
    base = two_records()
    base.hold(1)
    base.collect(3.0)
    clone = base.clone()
    clone.add_record(2, 1, 5.0, 10.0)
    assert left(base) == [1]
    assert left(clone) == [2]


def test_a_replaced_record_no_longer_stands_on_its_former_parents():
    cache = two_records()
    cache.add_record(2, 1, 3.0, 10.0, parents=(1,))
    cache.add_record(2, 1, 4.0, 10.0)
    assert left(cache) == [2]


def test_a_clone_keeps_what_the_base_collects_later():
    base = two_records()
    clone = base.clone()
    base.collect(5.0)
    assert base.was_collected(1)
    assert clone.record(1) == 1
    assert not clone.was_collected(1)
    assert clone.used_bytes == 20.0
