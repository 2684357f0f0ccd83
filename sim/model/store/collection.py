"""Garbage collection: what a run of BuildKit's policies deletes from a disk, in which order.

In: a disk, the limits, the time. Out: the keys that went, in order. The rules are those of gcpolicy.go and manager.go
(pruneOnce), v0.34.2: one record at a time, leaf before parent, nothing that a build refers to (buildkit-semantics 8, 13.8).
"""

from __future__ import annotations

from math import inf

from sim.model.store.candidates import Key, by_score
from sim.model.store.disk import Disk
from sim.scenario.farm import CacheLimits

# gcpolicy.go, first default policy: contexts and cache mounts, if the whole cache is larger than this.
OTHERS_KEEP_S = 48 * 3600.0
OTHERS_MAX_BYTES = 512e6


def run(disk: Disk, limits: CacheLimits, now_s: float) -> list[Key]:
    """One run; the disk's contents change. With `policy: lru` only age and last use count."""
    disk.settle()
    if limits.policy == "lru":
        return [*_too_old(disk, now_s - limits.keep_s), *least_recently_used(disk, limits.max_bytes)]
    gone = _others(disk, now_s - OTHERS_KEEP_S)
    gone += _too_old(disk, now_s - limits.keep_s)
    gone += _over(disk, limits.max_bytes)
    return gone


def is_over(used_bytes: float, limits: CacheLimits) -> bool:
    """Whether a run would delete by size: BuildKit goes below the limit, `policy: lru` down to it."""
    return used_bytes > limits.max_bytes or (limits.policy == "buildkit" and used_bytes == limits.max_bytes)


def has_old(disk: Disk, limits: CacheLimits, now_s: float) -> bool:
    """Whether a run would delete by age."""
    disk.settle()
    oldest_s = disk.candidates.oldest_s()
    if oldest_s <= now_s - limits.keep_s:
        return True
    cut_off_s = others_cut_off_s(disk.used_bytes, limits, now_s)
    if oldest_s > cut_off_s:
        return False
    return disk.other_candidates.oldest_s() <= cut_off_s


def others_cut_off_s(used_bytes: float, limits: CacheLimits, now_s: float) -> float:
    """Contexts and mounts unused since then are too old, if the whole cache is large; `-inf`: none are."""
    return -inf if limits.policy == "lru" or used_bytes < OTHERS_MAX_BYTES else now_s - OTHERS_KEEP_S


def least_recently_used(disk: Disk, max_bytes: float) -> list[Key]:
    """What `policy: lru` drops to get down to `max_bytes`."""
    gone: list[Key] = []
    disk.settle()
    while disk.used_bytes > max_bytes:
        key = disk.candidates.oldest()
        if key is None:
            break
        _drop(disk, key, gone)
    return gone


def _others(disk: Disk, cut_off_s: float) -> list[Key]:
    """Contexts and mounts unused since `cut_off_s`, while the whole cache has 512 MB or more: the most easily made again.

    BuildKit compares the size of everything with the limit, not that of the filtered kinds (manager.go 1110-1130).
    """
    gone: list[Key] = []
    total_bytes = _counted_bytes(disk)
    while total_bytes >= OTHERS_MAX_BYTES:
        old = disk.other_candidates.unused_since(cut_off_s)
        if not old:
            break
        total_bytes -= _drop(disk, by_score(old)[0][2], gone)
    return gone


def _too_old(disk: Disk, cut_off_s: float) -> list[Key]:
    """Everything unused since `cut_off_s`, whatever the size (Depot's first policy: farm-facts A1)."""
    gone: list[Key] = []
    while disk.candidates.oldest_s() <= cut_off_s:
        key = disk.candidates.oldest()
        assert key is not None
        _drop(disk, key, gone)
    return gone


def _over(disk: Disk, max_bytes: float) -> list[Key]:
    """By score until the total is below the limit."""
    gone: list[Key] = []
    total_bytes = _counted_bytes(disk)
    while total_bytes >= max_bytes:
        key = disk.candidates.first()
        if key is None:
            break
        total_bytes -= _drop(disk, key, gone)
    return gone


def _drop(disk: Disk, key: Key, gone: list[Key]) -> float:
    size_bytes = disk.items[key].size_bytes
    disk.drop(key)
    disk.settle()
    gone.append(key)
    return size_bytes


def _counted_bytes(disk: Disk) -> float:
    """A cache mount in use changes all the time, so BuildKit counts it as nothing (manager.go 1484)."""
    items = disk.items
    in_use = (key for key in disk.holds if type(key) is tuple and key[0] == "mount" and key in items)
    return disk.used_bytes - sum(items[key].size_bytes for key in in_use)
