"""Garbage collection: against a recorded run of BuildKit, and the rules of gcpolicy.go one by one."""

from __future__ import annotations

import pytest

from sim.model.store import collection
from sim.model.store.cache import Cache
from sim.scenario.farm import CacheLimits

HOUR_S = 3600.0


def use(cache: Cache, key: int, now_s: float) -> None:
    """A build loads this record and ends."""
    cache.hold(key)
    cache.release(key, now_s)


def build(cache: Cache, chain: str, end_s: float, sizes: float = 21e6) -> None:
    """A chain of three steps: what is not here is executed, of what is here the last is loaded. Then the build ends."""
    keys = [ord(chain) * 10 + step for step in range(3)]
    there = [key for key in keys if cache.record(key) is not None]
    assert there == keys[: len(there)]
    held = there[-1:]
    for at, key in enumerate(keys):
        if key not in there:
            cache.add_record(key, 1, end_s, sizes, parents=(keys[at - 1],) if at else ())
            held.append(key)
    for key in held:
        cache.hold(key)
    for at, kind in enumerate(("dockerfile", "context")):
        cache.put_item("context", kind, 4096.0, end_s - 0.02 + 0.01 * at)
        cache.hold_item("context", kind)
        cache.release_item("context", kind, end_s - 0.02 + 0.01 * at)
    for at, key in enumerate(held):
        cache.release(key, end_s + 0.001 * at)


def collected(cache: Cache, now_s: float) -> list[str]:
    """The names of the chains' steps that one run deletes, in order."""
    cache.advance(now_s)
    gone = collection.run(cache._disk, cache.limits, now_s)
    return [f"{chr(key // 10)}{key % 10}" for key in gone if isinstance(key, int)]


def test_deletes_what_buildkit_deleted_in_its_order():
    """Recorded with buildkitd v0.34.2: `buildctl prune --all --keep-storage 100 -v` after builds of chains of 3 x 20 MiB."""
    cache = Cache(CacheLimits(max_bytes=97e6))  # and 3 MB of base image
    build(cache, "p", 10.0)
    build(cache, "q", 12.0)
    assert collected(cache, 13.0) == ["p2", "p1"]
    build(cache, "r", 14.0)
    build(cache, "q", 15.0)
    assert collected(cache, 16.0) == ["p0", "r2", "r1"]
    build(cache, "p", 17.0)
    build(cache, "q", 18.0)
    # Newer but used less often goes first: q2 has three uses.
    assert collected(cache, 19.0) == ["r0", "p2", "p1"]


def test_the_size_may_be_above_the_limit_until_the_next_run_which_ends_below_it():
    """Semantics 13.8: 128 -> 88 MB, limit 100 MB, 20 MB a layer."""
    cache = Cache(CacheLimits(max_bytes=100.0))
    for key in range(6):
        cache.add_record(key, 1, float(key), 20.0)
    cache.add_record(6, 1, 6.0, 8.0)
    assert cache.used_bytes == 128.0
    assert cache.needs_collection(7.0)
    assert cache.collect(7.0) == 40.0
    assert cache.used_bytes == 88.0
    assert not cache.needs_collection(8.0)
    assert [cache.was_collected(key) for key in range(7)] == [True, True, False, False, False, False, False]


def test_buildkit_deletes_at_the_limit_too_and_lru_does_not():
    for policy, left_bytes in (("buildkit", 20.0), ("lru", 40.0)):
        cache = Cache(CacheLimits(max_bytes=40.0, policy=policy))
        cache.add_record(1, 1, 1.0, 20.0)
        cache.add_record(2, 1, 2.0, 20.0)
        assert cache.needs_collection(3.0) is (policy == "buildkit")
        cache.collect(3.0)
        assert cache.used_bytes == left_bytes


def test_everything_unused_for_too_long_goes_whatever_the_size():
    cache = Cache(CacheLimits(keep_s=100.0))
    cache.add_record(1, 1, 0.0, 5.0)
    cache.add_record(2, 1, 0.0, 5.0, parents=(1,))
    cache.add_record(3, 1, 0.0, 5.0, parents=(1,))
    use(cache, 3, 50.0)
    assert not cache.needs_collection(99.0)
    assert cache.needs_collection(100.0)
    # 1 is as old as 2, but 3 stands on it.
    assert cache.collect(100.0) == 5.0
    assert [cache.record(key) for key in (1, 2, 3)] == [1, None, 1]
    # With 3 goes what only 3 kept.
    assert cache.collect(150.0) == 10.0
    assert not cache.needs_collection(1e9)


@pytest.mark.parametrize(("record_bytes", "is_kept"), [(300e6, True), (600e6, False)])
def test_contexts_and_mounts_go_after_two_days_if_the_whole_cache_has_512_mb(record_bytes, is_kept):
    cache = Cache(CacheLimits(max_bytes=1e12))
    cache.add_record(1, 1, 0.0, record_bytes)
    cache.put_item("mount", ("npm", 0), 50e6, 0.0)
    cache.put_item("context", 1, 50e6, 0.0)
    cache.put_item("context", 2, 50e6, 1.0 * HOUR_S)
    assert not cache.needs_collection(47.9 * HOUR_S)
    assert cache.needs_collection(48.0 * HOUR_S) is not is_kept
    cache.collect(48.0 * HOUR_S)
    assert cache.record(1) == 1
    assert cache.has_item("mount", ("npm", 0)) is is_kept
    assert cache.has_item("context", 1) is is_kept
    assert cache.has_item("context", 2)


def test_that_rule_stops_below_512_mb():
    cache = Cache(CacheLimits(max_bytes=1e12))
    for number in range(4):
        cache.put_item("context", number, 200e6, float(number))
    assert cache.collect(100 * HOUR_S) == 400e6
    assert [cache.has_item("context", number) for number in range(4)] == [False, False, True, True]


def test_a_mount_in_use_counts_as_nothing_and_stays():
    cache = Cache(CacheLimits(max_bytes=100.0))
    cache.put_item("mount", ("npm", 0), 80.0, 0.0)
    cache.hold_item("mount", ("npm", 0))
    cache.add_record(1, 1, 1.0, 50.0)
    assert cache.collect(2.0) == 0.0
    cache.release_item("mount", ("npm", 0), 3.0)
    assert cache.collect(4.0) == 50.0
    assert cache.has_item("mount", ("npm", 0))


def test_what_a_build_refers_to_stays_and_so_does_what_it_stands_on():
    cache = Cache(CacheLimits(max_bytes=1.0))
    cache.add_record(1, 1, 0.0, 10.0)
    cache.add_record(2, 1, 0.0, 10.0, parents=(1,))
    cache.hold(2)
    cache.hold(2)
    cache.release(2, 1.0)
    assert cache.collect(2.0) == 0.0
    cache.release(2, 3.0)
    assert cache.collect(4.0) == 20.0


def test_lru_makes_room_at_once_and_counts_only_the_last_use():
    cache = Cache(CacheLimits(max_bytes=30.0, policy="lru"))
    for key in range(3):
        cache.add_record(key, 1, float(key), 10.0)
    for _ in range(5):
        use(cache, 1, 3.0)
    use(cache, 0, 4.0)
    cache.add_record(3, 1, 5.0, 10.0)
    assert [cache.record(key) for key in range(4)] == [1, 1, None, 1]
    cache.add_record(4, 1, 6.0, 10.0)
    assert [cache.record(key) for key in range(5)] == [1, None, None, 1, 1]
    assert cache.was_collected(2)
    assert cache.used_bytes == 30.0


def test_lru_never_takes_the_record_that_needs_the_room():
    cache = Cache(CacheLimits(max_bytes=5.0, policy="lru"))
    cache.add_record(1, 1, 0.0, 10.0)
    assert cache.record(1) == 1
    cache.add_record(2, 1, 0.0, 10.0)
    assert [cache.record(key) for key in (1, 2)] == [None, 1]


def test_without_limits_nothing_is_ever_collected():
    cache = Cache()
    cache.add_record(1, 1, 0.0, 1e15)
    assert not cache.needs_collection(1e12)
    assert cache.collect(1e12) == 0.0
