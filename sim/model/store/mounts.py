"""A daemon's cache mounts: by id a pool of directories, and which step uses which of them.

In: the cache mounts of steps that start and end. Out: whether they must wait, and whether they find contents. The rules are
BuildKit's (mounts/mount.go, buildkit-semantics 4): shared users have one directory at once; a private one takes any that
is free, else a new, empty one; a locked one waits while there are directories and none of them is free, whoever uses them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from sim.graph.types import CacheMount


class CacheMounts:
    """`filled` holds the directories that have contents, by (id, number): a part of the runner's cache."""

    __slots__ = ("_busy", "_filled", "_shares", "_taken")

    def __init__(self, filled: dict[tuple[str, int], int]) -> None:
        self._filled = filled
        self._busy: dict[str, set[int]] = {}
        self._shares: dict[str, list[int]] = {}  # by id: the directory that shared users have now, and their number
        self._taken: dict[Hashable, dict[str, tuple[int, bool]]] = {}

    def take(self, step: Hashable, mounts: Sequence[CacheMount]) -> bool | None:
        """Take all mounts of a step: whether all of them have contents. None: it must wait, and takes none."""
        chosen: dict[str, tuple[int, bool]] = {}
        for mount in mounts:
            if mount.id not in chosen:
                directory = self._directory(mount)
                if directory is None:
                    return None
                chosen[mount.id] = (directory, mount.sharing == "shared")
        for mount_id, (directory, is_shared) in chosen.items():
            self._busy[mount_id].add(directory)
            if is_shared:
                self._shares.setdefault(mount_id, [directory, 0])[1] += 1
        self._taken[step] = chosen
        return all((mount_id, directory) in self._filled for mount_id, (directory, _) in chosen.items())

    def free(self, step: Hashable) -> None:
        """The step has ended: what it wrote stays."""
        for mount_id, (directory, is_shared) in self._taken.pop(step).items():
            self._filled[mount_id, directory] = 1
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
        directory = 0
        while directory in busy or (mount.id, directory) in self._filled:
            if directory not in busy:
                return directory
            directory += 1
        return None if directory and mount.sharing == "locked" else directory
