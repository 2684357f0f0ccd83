"""Cache mounts: who waits for whom, and who finds contents (BuildKit's mounts/mount.go; case locked-waits-for-shared)."""

from __future__ import annotations

from sim.graph.types import CacheMount, Sharing
from sim.model.store.mounts import CacheMounts


def mount(sharing: Sharing) -> list[CacheMount]:
    return [CacheMount("id", "/c", sharing)]


def test_shared_users_are_in_one_directory_and_private_ones_each_in_their_own():
    filled: dict[tuple[str, int], int] = {}
    mounts = CacheMounts(filled)
    for step in ("a", "b"):
        assert mounts.take(step, mount("shared")) is False
    assert mounts.take("c", mount("private")) is False
    for step in ("a", "b", "c"):
        mounts.free(step)
    assert set(filled) == {("id", 0), ("id", 1)}


def test_a_locked_user_waits_for_the_last_shared_one():
    mounts = CacheMounts({})
    mounts.take("a", mount("shared"))
    mounts.take("b", mount("shared"))
    mounts.free("a")
    assert mounts.take("locked", mount("locked")) is None
    mounts.free("b")
    assert mounts.take("locked", mount("locked")) is True


def test_a_locked_user_takes_any_free_directory():
    mounts = CacheMounts({("id", 0): 1, ("id", 1): 1})
    assert mounts.take("a", mount("locked")) is True
    assert mounts.take("b", mount("locked")) is True
    assert mounts.take("c", mount("locked")) is None


def test_a_shared_user_gets_an_empty_directory_beside_a_locked_one():
    mounts = CacheMounts({("id", 0): 1})
    assert mounts.take("a", mount("locked")) is True
    assert mounts.take("b", mount("shared")) is False


def test_who_must_wait_for_one_mount_takes_none():
    mounts = CacheMounts({})
    mounts.take("a", [CacheMount("two", "/two", "locked")])
    assert mounts.take("b", [CacheMount("one", "/one", "locked"), CacheMount("two", "/two", "locked")]) is None
    assert mounts.take("c", [CacheMount("one", "/one", "locked")]) is False
