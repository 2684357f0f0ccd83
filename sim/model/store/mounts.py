"""A daemon's cache mounts: by id a pool of directories, and which step uses which of them.

In: the cache mounts of steps that start and end. Out: whether they must wait, and whether they find contents. The rules are
BuildKit's (mounts/mount.go, buildkit-semantics 4): shared users have one directory at once; a private one takes any that
is free, else a new, empty one; a locked one waits while there are directories and none of them is free, whoever uses them.
Contents are items of the runner's cache: garbage collection may empty a directory that nobody uses.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from sim.graph.types import CacheMount
from sim.model.store.cache import Cache


class CacheMounts:
    """The directories of a cache, each named by (id, number)."""

    __slots__ = ("_busy", "_cache", "_numbers", "_shares", "_taken")

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._busy: dict[str, set[int]] = {}
        self._shares: dict[str, list[int]] = {}  # by id: the directory that shared users have now, and their number
        self._taken: dict[Hashable, dict[str, tuple[int, bool]]] = {}
        self._numbers: dict[str, int] = {}  # by id: how many numbers may have contents
        for ident in cache.items("mount"):
            assert isinstance(ident, tuple)
            self._count(*ident)

    def take(self, step: Hashable, mounts: Sequence[CacheMount]) -> bool | None:
        """Take all mounts of a step: whether all of them have contents. None: it must wait, and takes none."""
        chosen: dict[str, tuple[int, bool]] = {}
        for mount in mounts:
            if mount.id not in chosen:
                directory = self._directory(mount)
                if directory is None:
                    return None
                chosen[mount.id] = (directory, mount.sharing == "shared")
        is_filled = True
        for mount_id, (directory, is_shared) in chosen.items():
            self._busy[mount_id].add(directory)
            if is_shared:
                self._shares.setdefault(mount_id, [directory, 0])[1] += 1
            self._count(mount_id, directory)
            self._cache.hold_item("mount", (mount_id, directory))
            is_filled = is_filled and self._cache.has_item("mount", (mount_id, directory))
        self._taken[step] = chosen
        return is_filled

    def free(self, step: Hashable, now_s: float = 0.0, size_bytes: float | Mapping[str, float] = 0.0) -> None:
        """The step has ended: what it wrote stays. `size_bytes`: of each mount's contents now, by id, or of all together.

        Contents never shrink: a size below the present one is taken as the present one.
        """
        cache, taken = self._cache, self._taken.pop(step)
        for mount_id, (directory, is_shared) in taken.items():
            ident = (mount_id, directory)
            size = size_bytes.get(mount_id, 0.0) if isinstance(size_bytes, Mapping) else size_bytes / len(taken)
            cache.put_item("mount", ident, max(size, cache.item_bytes("mount", ident)), now_s)
            cache.release_item("mount", ident, now_s)
            if is_shared:
                share = self._shares[mount_id]
                share[1] -= 1
                if share[1]:
                    continue
                del self._shares[mount_id]
            self._busy[mount_id].discard(directory)

    def _directory(self, mount: CacheMount) -> int | None:
        busy = self._busy.setdefault(mount.id, set())
        if mount.sharing == "shared" and mount.id in self._shares:
            return self._shares[mount.id][0]
        for directory in range(self._numbers.get(mount.id, 0)):
            if directory not in busy and self._cache.has_item("mount", (mount.id, directory)):
                return directory
        if busy and mount.sharing == "locked":
            return None
        directory = 0
        while directory in busy:
            directory += 1
        return directory

    def _count(self, mount_id: str, directory: int) -> None:
        if directory >= self._numbers.get(mount_id, 0):
            self._numbers[mount_id] = directory + 1
