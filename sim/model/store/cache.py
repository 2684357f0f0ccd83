"""A runner's cache: which final keys have a result here, and which definition keys are known to lead to which final key.

In: keys of executed steps. Out: look-ups. A *base* belongs to a project on one architecture and outlives its runners; main
works on the base itself, a clone on the base as it was when it forked, plus what it adds (made in O(1): every entry of
the base carries the number of its insertion, and a clone does not see later ones).
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class _Entry(NamedTuple):
    """`value` since insertion number `since`; before that, what `before` says."""

    since: int
    value: int
    before: _Entry | None


class _Layer:
    """Two insert-only maps: records (final key -> digest of the result) and links (definition key -> final key)."""

    __slots__ = ("inserted", "links", "records")

    def __init__(self) -> None:
        self.inserted = 0
        self.records: dict[int, _Entry] = {}
        self.links: dict[int, _Entry] = {}


class Cache:
    """A view of a base: main's (`clone()` was not called) or a clone's."""

    __slots__ = ("_base", "_bytes", "_changed_s", "_limit", "_own", "attempts", "byte_s", "mounts")

    def __init__(self) -> None:
        self._own = _Layer()
        self._base: _Layer | None = None
        self._limit: float = inf
        self.mounts: dict[tuple[str, int], int] = {}
        self.attempts: dict[int, int] = {}
        self.byte_s = 0.0
        self._bytes = 0.0
        self._changed_s = 0.0

    def grow(self, now_s: float, added_bytes: float, max_bytes: float) -> None:
        """Layers were added (or, with 0 bytes, time has passed): `byte_s` is the integral of what is stored, for its price.

        What lies above `max_bytes` is taken as collected at once.
        """
        self.byte_s += min(self._bytes, max_bytes) * (now_s - self._changed_s)
        self._changed_s = now_s
        self._bytes += added_bytes

    def clone(self) -> Cache:
        """A fork of main's cache as it is now; neither sees what the other adds later."""
        fork = Cache()
        fork._base = self._own
        fork._limit = self._own.inserted
        fork.mounts = dict(self.mounts)
        return fork

    def record(self, key: int) -> int | None:
        """The digest of the result that the final key has here, if any."""
        entry = self._own.records.get(key)
        if entry is None and self._base is not None:
            entry = _as_of(self._base.records.get(key), self._limit)
        return None if entry is None else entry.value

    def link(self, definition_key: int) -> int | None:
        """The final key that an earlier build found for this definition key, if any."""
        entry = self._own.links.get(definition_key)
        if entry is None and self._base is not None:
            entry = _as_of(self._base.links.get(definition_key), self._limit)
        return None if entry is None else entry.value

    def add_record(self, key: int, result: int) -> None:
        """The step with this final key has a result."""
        _insert(self._own, self._own.records, key, result)

    def add_link(self, definition_key: int, key: int) -> None:
        """This definition key leads to that final key."""
        _insert(self._own, self._own.links, definition_key, key)


def _insert(layer: _Layer, entries: dict[int, _Entry], key: int, value: int) -> None:
    before = entries.get(key)
    if before is None or before.value != value:
        layer.inserted += 1
        entries[key] = _Entry(layer.inserted, value, before)


def _as_of(entry: _Entry | None, limit: float) -> _Entry | None:
    while entry is not None and entry.since > limit:
        entry = entry.before
    return entry
