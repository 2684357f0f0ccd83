"""Cache mounts: who waits for whom, and who finds contents (BuildKit's mounts/mount.go; case locked-waits-for-shared)."""

from __future__ import annotations

from sim.graph.types import CacheMount, Sharing
from sim.model.store.cache import Cache
from sim.model.store.mounts import CacheMounts
from sim.scenario.farm import CacheLimits


def mount(sharing: Sharing) -> list[CacheMount]:
    return [CacheMount("id", "/c", sharing)]


def filled(*directories: int, limits: CacheLimits = CacheLimits()) -> Cache:  # noqa: B008 (frozen)
    cache = Cache(limits)
    for directory in directories:
        cache.put_item("mount", ("id", directory), 10.0, float(directory))
    return cache


def test_shared_users_are_in_one_directory_and_private_ones_each_in_their_own():
    cache = Cache()
    mounts = CacheMounts(cache)
    for step in ("a", "b"):
        assert mounts.take(step, mount("shared")) is False
    assert mounts.take("c", mount("private")) is False
    for step in ("a", "b", "c"):
        mounts.free(step)
    assert cache.items("mount") == [("id", 0), ("id", 1)]


def test_a_locked_user_waits_for_the_last_shared_one():
    mounts = CacheMounts(Cache())
    mounts.take("a", mount("shared"))
    mounts.take("b", mount("shared"))
    mounts.free("a")
    assert mounts.take("locked", mount("locked")) is None
    mounts.free("b")
    assert mounts.take("locked", mount("locked")) is True


def test_a_locked_user_takes_any_free_directory():
    mounts = CacheMounts(filled(0, 1))
    assert mounts.take("a", mount("locked")) is True
    assert mounts.take("b", mount("locked")) is True
    assert mounts.take("c", mount("locked")) is None


def test_a_shared_user_gets_an_empty_directory_beside_a_locked_one():
    mounts = CacheMounts(filled(0))
    assert mounts.take("a", mount("locked")) is True
    assert mounts.take("b", mount("shared")) is False


def test_who_must_wait_for_one_mount_takes_none():
    mounts = CacheMounts(Cache())
    mounts.take("a", [CacheMount("two", "/two", "locked")])
    assert mounts.take("b", [CacheMount("one", "/one", "locked"), CacheMount("two", "/two", "locked")]) is None
    assert mounts.take("c", [CacheMount("one", "/one", "locked")]) is False


def test_contents_have_bytes_that_do_not_shrink():
    cache = Cache()
    mounts = CacheMounts(cache)
    for now_s, size_bytes in ((1.0, 100.0), (2.0, 60.0), (3.0, 150.0)):
        mounts.take("a", mount("shared"))
        mounts.free("a", now_s, size_bytes)
    assert cache.item_bytes("mount", ("id", 0)) == 150.0
    assert cache.used_bytes == 150.0


def test_one_size_is_shared_out_over_a_steps_mounts_and_sizes_by_id_are_not():
    cache = Cache()
    mounts = CacheMounts(cache)
    both = [CacheMount("one", "/one", "shared"), CacheMount("two", "/two", "shared")]
    mounts.take("a", both)
    mounts.free("a", 1.0, 100.0)
    assert [cache.item_bytes("mount", (one, 0)) for one in ("one", "two")] == [50.0, 50.0]
    mounts.take("a", both)
    mounts.free("a", 1.0, {"one": 70.0, "two": 80.0})
    assert [cache.item_bytes("mount", (one, 0)) for one in ("one", "two")] == [70.0, 80.0]


def test_a_collected_directory_is_empty_again_and_the_others_are_found():
    cache = filled(0, 1, limits=CacheLimits(max_bytes=20.0))
    cache.collect(5.0)
    assert cache.items("mount") == [("id", 1)]
    mounts = CacheMounts(cache)
    assert mounts.take("a", mount("locked")) is True
    assert mounts.take("b", mount("private")) is False
    mounts.free("b", 6.0, 10.0)
    assert cache.items("mount") == [("id", 1), ("id", 0)]


def test_a_directory_in_use_is_not_collected():
    cache = filled(0, limits=CacheLimits(max_bytes=5.0))
    mounts = CacheMounts(cache)
    mounts.take("a", mount("shared"))
    mounts.take("b", mount("shared"))
    mounts.free("a", 1.0, 10.0)
    assert cache.collect(2.0) == 0.0
    mounts.free("b", 3.0, 10.0)
    assert cache.collect(4.0) == 10.0


def test_a_clone_finds_mains_contents_and_its_own_are_lost_with_it():
    main = filled(0)
    clone = main.clone()
    mounts = CacheMounts(clone)
    assert mounts.take("a", mount("private")) is True
    assert mounts.take("b", mount("private")) is False
    mounts.free("b", 1.0, 10.0)
    assert main.items("mount") == [("id", 0)]
    assert CacheMounts(main).take("c", mount("locked")) is True
