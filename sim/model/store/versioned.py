"""A map that is only added to and forks in O(1): the fork sees it as it was then, plus what the fork adds itself.

In: keys and values; writing again replaces. Out: look-ups. Every entry carries the number of its insertion, and a fork
does not see later ones.
"""

from __future__ import annotations

from typing import overload


class _Entry:
    """`value` since insertion number `since`; before that, what `before` says."""

    __slots__ = ("before", "since", "value")

    def __init__(self, since: int, value: int, before: _Entry | None) -> None:
        self.since = since
        self.value = value
        self.before = before


class Versioned:
    """Whole numbers by whole numbers. Neither a fork nor its origin sees what the other writes later."""

    __slots__ = ("_entries", "_inserted", "_limit", "_origin")

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._inserted = 0
        self._origin: Versioned | None = None
        self._limit = 0  # the number of the origin's last insertion that this fork sees

    @overload
    def get(self, key: int) -> int | None: ...
    @overload
    def get(self, key: int, default: int) -> int: ...
    def get(self, key: int, default: int | None = None) -> int | None:
        """The value of this key, or the default."""
        entry = self._entries.get(key)
        if entry is None:
            entry = None if self._origin is None else self._origin._as_of(key, self._limit)
            return default if entry is None else entry.value
        return entry.value

    def __setitem__(self, key: int, value: int) -> None:
        before = self._entries.get(key)
        if before is None or before.value != value:
            self._inserted += 1
            self._entries[key] = _Entry(self._inserted, value, before)

    def fork(self) -> Versioned:
        """This map as it is now."""
        fork = Versioned()
        fork._origin = self
        fork._limit = self._inserted
        return fork

    def flat(self) -> Versioned:
        """The same contents without an origin, in O(n)."""
        flat = Versioned()
        flat._take(self, self._inserted)
        return flat

    def _as_of(self, key: int, limit: int) -> _Entry | None:
        entry = self._entries.get(key)
        while entry is not None and entry.since > limit:
            entry = entry.before
        if entry is None and self._origin is not None:
            return self._origin._as_of(key, self._limit)
        return entry

    def _take(self, other: Versioned, limit: int) -> None:
        if other._origin is not None:
            self._take(other._origin, other._limit)
        for key in other._entries:
            entry = other._as_of(key, limit)
            if entry is not None:
                self[key] = entry.value
