"""A runner's cache: which final keys have a result here, and which definition keys are known to lead to which final key.

In: keys of executed steps, uses, time. Out: look-ups, bytes, garbage collection. Keys outlive their records. A *base* belongs
to a project on one architecture and outlives its runners; main works on the base itself, a clone on the base as it was
when it forked, plus what it adds. Making a clone is O(1); it gets a disk of its own when it collects.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import isfinite
from typing import Literal

from sim.model.store import collection
from sim.model.store.candidates import Key
from sim.model.store.disk import Change, Disk, Item
from sim.model.store.versioned import Versioned
from sim.scenario.farm import CacheLimits

Kind = Literal["context", "mount"]


class Cache:
    """A view of a base: main's (`clone()` was not called) or a clone's.

    A clone's `_disk` holds only what it has added or used, until `_stand_alone`; the rest is the base's, less `_hidden`.
    """

    __slots__ = (
        "_base", "_changed_s", "_collected", "_disk", "_hidden", "_last_change", "_links",
        "_made", "_oldest_s", "attempts", "byte_s", "changes", "gone", "limits",
    )  # fmt: skip

    def __init__(self, limits: CacheLimits = CacheLimits()) -> None:  # noqa: B008 (frozen)
        self.limits = limits
        self.attempts = Versioned()
        self.byte_s = 0.0
        self.changes = 0
        self.gone: list[int] = []  # records that were collected, for the caller to read and clear
        self._links = Versioned()
        self._collected = Versioned()
        self._made = 0
        self._changed_s = 0.0
        self._base: Cache | None = None
        self._hidden: dict[Key, None] = {}  # put on the base since the fork
        self._last_change = Change(0, None, (0.0, 0))  # the base's last change that this clone knows
        self._oldest_s = (0.0, 0.0)  # at the fork, of everything and of contexts and mounts
        is_limited = isfinite(limits.max_bytes) or isfinite(limits.keep_s)
        self._disk = Disk(is_limited, by_uses=limits.policy == "buildkit")

    # Records and links

    def record(self, key: int) -> int | None:
        """The digest of the result that the final key has here, if any."""
        item = self._disk.items.get(key)
        if item is None and self._base is not None:
            item = self._on_base(key)
        return None if item is None else item.result

    def link(self, definition_key: int) -> int | None:
        """The final key that an earlier build found for this definition key, if any."""
        return self._links.get(definition_key)

    def add_link(self, definition_key: int, key: int) -> None:
        """This definition key leads to that final key. Links are never collected."""
        self._links[definition_key] = key

    def add_record(
        self,
        key: int,
        result: int,
        now_s: float = 0.0,
        size_bytes: float = 0.0,
        parents: tuple[int, ...] = (),
        cpu_s: float = 0.0,
        *,
        is_new: bool = True,
    ) -> None:
        """The step with this final key has a result; it took `cpu_s` core-seconds and stands on the records of `parents`.

        It takes the place of a record with the same key. It counts as used now; the first use is counted when it is released.
        `is_new` False: whoever looked the key up before would have found it.
        """
        item = self._item(key)
        known_s = item.known_s if item is not None else now_s if is_new and not self.was_collected(key) else 0.0
        self._put(key, now_s, 0, size_bytes, result, parents, cpu_s, known_s)
        self.changes += 1
        limits = self.limits
        if limits.policy == "lru" and self._disk.used_bytes > limits.max_bytes:
            self._stand_alone()
            holds = self._disk.holds
            held = holds.get(key, 0)
            holds[key] = held + 1  # the new one itself does not make room
            self._count_collected(collection.least_recently_used(self._disk, limits.max_bytes))
            if held:
                holds[key] = held
            else:
                del holds[key]
                self._disk.touched[key] = None

    def resize(self, key: int, size_bytes: float, now_s: float) -> None:
        """The record, if it is here, takes this much now (its layer was pulled, or packed for an export). That is no use."""
        item = self._item(key)
        if item is not None:
            self.advance(now_s)
            if self._base is not None:
                self._pull(key)
            disk = self._disk
            disk.put(key, item.of_size(size_bytes), disk.usage[key])

    def known_since_s(self, key: int) -> float:
        """When the key of a record that is here was first committed."""
        item = self._item(key)
        return 0.0 if item is None else item.known_s

    def cpu_s_of(self, key: int) -> float:
        """Core-seconds that making this record took; 0: unknown."""
        item = self._item(key)
        return 0.0 if item is None else item.cpu_s

    def parents_of(self, key: int) -> tuple[int, ...]:
        """The keys of the records that this one stands on; none where it is not here."""
        item = self._item(key)
        return () if item is None else item.parents

    def was_collected(self, key: int) -> bool:
        """A record with this key was here once, and garbage collection took it."""
        return self._collected.get(key) is not None

    def hold(self, key: Key) -> None:
        """A live build refers to this record: it stays."""
        disk = self._disk
        held = disk.holds.get(key)
        if held is None:
            disk.holds[key] = 1
            if disk.is_limited:
                disk.touched[key] = None
        else:
            disk.holds[key] = held + 1

    def release(self, key: Key, now_s: float) -> None:
        """A live build refers to it no longer. After the last one it counts as used once more (refs.go updateLastUsed)."""
        disk = self._disk
        left = disk.holds[key] - 1
        if left:
            disk.holds[key] = left
            return
        del disk.holds[key]
        if self._base is not None:
            self._pull(key)
        disk.use(key, now_s)

    # Context copies and cache mounts

    def put_item(self, kind: Kind, ident: Hashable, size_bytes: float, now_s: float) -> None:
        """A copy of a context or a cache mount has this size now, and was used now."""
        key = (kind, ident)
        if self._base is not None:
            self._pull(key)
        self._put(key, now_s, self._disk.usage.get(key, (0.0, 0))[1], size_bytes)

    def has_item(self, kind: Kind, ident: Hashable) -> bool:
        """Whether it is here."""
        return self._item((kind, ident)) is not None

    def item_bytes(self, kind: Kind, ident: Hashable) -> float:
        """Its size; 0: not here."""
        item = self._item((kind, ident))
        return 0.0 if item is None else item.size_bytes

    def items(self, kind: Kind) -> list[Hashable]:
        """All that are here of this kind, in the order in which they came."""
        known: dict[Key, None] = {}
        if self._base is not None:
            self._sync()
            known.update((key, None) for key in self._base._disk.others if key not in self._hidden)
        known.update(self._disk.others)
        return [key[1] for key in known if isinstance(key, tuple) and key[0] == kind]

    def hold_item(self, kind: Kind, ident: Hashable) -> None:
        """It is in use; it need not be here yet."""
        self.hold((kind, ident))

    def release_item(self, kind: Kind, ident: Hashable, now_s: float) -> None:
        """One user less; after the last one it counts as used once more."""
        self.release((kind, ident), now_s)

    def drop_item(self, kind: Kind, ident: Hashable, now_s: float) -> None:
        """It is removed at once, in use or not (a transfer that failed: source/local/source.go)."""
        key = (kind, ident)
        if self._item(key) is not None:
            self.advance(now_s)
            self._stand_alone()
            self._disk.drop(key)

    # Bytes and garbage

    @property
    def used_bytes(self) -> float:
        """What all items here take."""
        return self._disk.used_bytes

    def advance(self, now_s: float) -> None:
        """Time has passed: `byte_s` is the integral of the bytes used, for their price."""
        if now_s > self._changed_s:
            self.byte_s += self._disk.used_bytes * (now_s - self._changed_s)
            self._changed_s = now_s

    def needs_collection(self, now_s: float) -> bool:
        """Whether a run could free anything now."""
        if not self._disk.is_limited:
            return False
        if collection.is_over(self._disk.used_bytes, self.limits):
            return True
        if self._base is None:
            return collection.has_old(self._disk, self.limits, now_s)
        # A clone without a disk of its own: maybe. To know it would have to get one.
        oldest_s, oldest_other_s = self._oldest_s
        cut_off_s = collection.others_cut_off_s(self._disk.used_bytes, self.limits, now_s)
        return oldest_s <= now_s - self.limits.keep_s or oldest_other_s <= cut_off_s

    def collect(self, now_s: float) -> float:
        """One garbage collection run; the bytes that it freed."""
        if not self._disk.is_limited:
            return 0.0
        self.advance(now_s)
        self._stand_alone()
        before_bytes = self._disk.used_bytes
        self._count_collected(collection.run(self._disk, self.limits, now_s))
        return before_bytes - self._disk.used_bytes

    # Forks

    def clone(self) -> Cache:
        """A fork of this cache as it is now; neither sees what the other adds, uses or collects later."""
        self._stand_alone()
        fork = self._empty_twin()
        fork._links, fork._collected, fork.attempts = self._links.fork(), self._collected.fork(), self.attempts.fork()
        fork._base = self
        if self._disk.last_change is None:
            self._disk.last_change = Change(0, None, (0.0, 0))
        fork._last_change = self._disk.last_change
        fork._disk.used_bytes = self._disk.used_bytes
        if self._disk.is_limited:
            now_s = self._changed_s
            fork._oldest_s = (min(now_s, self._disk.oldest_s()), min(now_s, self._disk.oldest_other_s()))
        return fork

    def committed(self) -> Cache:
        """A base of its own with all that this view holds, in O(n). Its `byte_s` starts at 0 where this one's stands."""
        self._stand_alone()
        base = self._empty_twin()
        base._links, base._collected, base.attempts = self._links.flat(), self._collected.flat(), self.attempts.flat()
        base._disk = self._disk.copy()
        return base

    def _empty_twin(self) -> Cache:
        twin = Cache(self.limits)
        twin.changes, twin._made, twin._changed_s = self.changes, self._made, self._changed_s
        return twin

    # What a clone sees

    def _item(self, key: Key) -> Item | None:
        item = self._disk.items.get(key)
        if item is None and self._base is not None:
            item = self._on_base(key)
        return item

    def _on_base(self, key: Key) -> Item | None:
        """What the base had under this key at the fork, for a clone that has nothing of its own under it."""
        assert self._base is not None
        if self._last_change.next is not None:
            self._sync()
            item = self._disk.items.get(key)
            if item is not None:
                return item
        return None if key in self._hidden else self._base._disk.items.get(key)

    def _sync(self) -> None:
        """Keep what the base has used, replaced or lost since the fork as it was then, and hide what it has got."""
        disk, hidden, change = self._disk, self._hidden, self._last_change
        while change.next is not None:
            change = change.next
            key = change.key
            if key not in disk.items and key not in hidden:
                if change.before is None:
                    hidden[key] = None
                else:
                    disk.hand_over(key, change.before, change.usage)
        self._last_change = change

    def _pull(self, key: Key) -> None:
        """A clone is about to change or use what it has under this key: from now on it is the clone's own."""
        item = self._on_base(key) if key not in self._disk.items else None
        if item is not None and key not in self._disk.items:  # looking may have brought it here
            assert self._base is not None
            self._disk.hand_over(key, item, self._base._disk.usage[key])

    def _stand_alone(self) -> None:
        """A clone gets a disk of its own."""
        base = self._base
        if base is None:
            return
        self._sync()
        mine, disk = self._disk, base._disk.copy()
        for key in self._hidden:
            if key in disk.items:
                disk.drop(key)
        for key, item in mine.items.items():
            disk.put(key, item, mine.usage[key])
        disk.used_bytes = mine.used_bytes
        disk.holds = mine.holds
        disk.touched.update(mine.touched)
        self._disk, self._base, self._hidden, self._last_change = disk, None, {}, Change(0, None, (0.0, 0))

    def _put(
        self,
        key: Key,
        now_s: float,
        uses: int,
        size_bytes: float,
        result: int = 0,
        parents: tuple[int, ...] = (),
        cpu_s: float = 0.0,
        known_s: float = 0.0,
    ) -> None:
        if now_s > self._changed_s:
            self.advance(now_s)
        if self._base is not None:
            self._pull(key)
        self._made += 1
        self._disk.put(key, Item(self._made, size_bytes, result, parents, cpu_s, known_s), (now_s, uses))

    def _count_collected(self, keys: list[Key]) -> None:
        for key in keys:
            if isinstance(key, int):
                self._collected[key] = 1
                self.gone.append(key)
