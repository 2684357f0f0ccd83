"""Items on a runner's disk: records, context copies, cache mounts; who stands on whom, who is in use, who was used when.

In: items that are put, held, released, dropped. Out: bytes, and which items may go. A record stands on the snapshots of its
parents, so they stay while it lives; what a live build refers to stays too (BuildKit's reference counts, semantics 8).
"""

from __future__ import annotations

from math import inf

from sim.model.store.candidates import Candidates, Key

Usage = tuple[float, int]
"""Last use (s), number of uses."""


class Item:
    """What lies on the disk under one key, and never changes. `result` and `cpu_s` are a record's; it stands on `parents`.

    `known_s`: since when the key leads to a record, whether that record is here still or was made anew.
    """

    __slots__ = ("cpu_s", "known_s", "number", "parents", "result", "size_bytes")

    def __init__(
        self,
        number: int,
        size_bytes: float,
        result: int = 0,
        parents: tuple[int, ...] = (),
        cpu_s: float = 0.0,
        known_s: float = 0.0,
    ) -> None:
        self.number = number
        self.size_bytes = size_bytes
        self.result = result
        self.parents = parents
        self.cpu_s = cpu_s
        self.known_s = known_s

    def of_size(self, size_bytes: float) -> Item:
        """The same, this large."""
        return Item(self.number, size_bytes, self.result, self.parents, self.cpu_s, self.known_s)


class Change:
    """One change or use of an item, in a chain that starts where somebody forked: what was there before under its key."""

    __slots__ = ("before", "key", "next", "usage")

    def __init__(self, key: Key, before: Item | None, usage: Usage) -> None:
        self.key = key
        self.before = before
        self.usage = usage
        self.next: Change | None = None


class Disk:
    """Contents by key. `is_limited`: something may be collected some day, so the order of uses matters."""

    __slots__ = (
        "candidates", "children", "holds", "is_limited", "items", "last_change", "other_candidates", "others", "touched", "usage",
        "used_bytes",
    )  # fmt: skip

    def __init__(self, is_limited: bool, by_uses: bool) -> None:
        self.is_limited = is_limited
        self.items: dict[Key, Item] = {}
        self.usage: dict[Key, Usage] = {}
        self.children: dict[Key, int] = {}
        self.holds: dict[Key, int] = {}
        self.others: dict[Key, None] = {}  # keys of contexts and mounts
        self.candidates = Candidates(by_uses)
        self.other_candidates = Candidates(by_uses)  # those of contexts and mounts once more
        self.touched: dict[Key, None] = {}  # may have become a candidate, or stopped being one
        self.used_bytes = 0.0
        self.last_change: Change | None = None  # None: nobody has forked

    def put(self, key: Key, item: Item, usage: Usage) -> None:
        """This item is here now, in place of the one that was here under its key."""
        before = self.items.get(key)
        if self.last_change is not None:
            self._log(key, before)
        children = self.children
        if before is not None:
            self.used_bytes -= before.size_bytes
            for parent in before.parents:
                self._leave(parent)
        elif type(key) is tuple:
            self.others[key] = None
        self.used_bytes += item.size_bytes
        self.items[key] = item
        self.usage[key] = usage
        for parent in item.parents:
            children[parent] = children.get(parent, 0) + 1
        if self.is_limited:
            self.touched[key] = None
            for parent in item.parents:
                self.touched[parent] = None

    def hand_over(self, key: Key, item: Item, usage: Usage) -> None:
        """This item, whose bytes count already, is listed here now (a clone takes it from its base)."""
        self.items[key] = item
        self.usage[key] = usage
        for parent in item.parents:
            self.children[parent] = self.children.get(parent, 0) + 1
        if type(key) is tuple:
            self.others[key] = None

    def drop(self, key: Key) -> None:
        """This item is gone; the snapshots it stood on may go now too."""
        item = self.items[key]
        if self.last_change is not None:
            self._log(key, item)
        del self.items[key], self.usage[key]
        self.others.pop(key, None)
        self.used_bytes -= item.size_bytes
        self.candidates.discard(key)
        self.other_candidates.discard(key)
        for parent in item.parents:
            self._leave(parent)

    def use(self, key: Key, now_s: float) -> None:
        """The last who referred to it does so no longer: now, and once more (refs.go updateLastUsed)."""
        if not self.is_limited:
            return
        usage = self.usage.get(key)
        if usage is not None:
            if self.last_change is not None:
                self._log(key, self.items[key])
            self.usage[key] = (now_s, usage[1] + 1)
            self.touched[key] = None

    def settle(self) -> None:
        """Bring `candidates` up to date."""
        items, children, holds, candidates = self.items, self.children, self.holds, self.candidates
        for key in self.touched:
            if key in items and key not in holds and key not in children:
                last_s, uses = self.usage[key]
                candidates.put(key, items[key].number, last_s, uses)
                if type(key) is tuple:
                    self.other_candidates.put(key, items[key].number, last_s, uses)
            else:
                candidates.discard(key)
                if type(key) is tuple:
                    self.other_candidates.discard(key)
        self.touched.clear()

    def oldest_s(self) -> float:
        """Of what could go if nobody held it, the longest unused one's last use; `inf`: there is none."""
        self.settle()
        held = (self.usage[key][0] for key in self.holds if key in self.usage)
        return min(self.candidates.oldest_s(), min(held, default=inf))

    def oldest_other_s(self) -> float:
        """The same of contexts and mounts."""
        return min((self.usage[key][0] for key in self.others), default=inf)

    def copy(self) -> Disk:
        """The same contents, held by nobody."""
        self.settle()
        twin = Disk(self.is_limited, True)
        twin.items = self.items.copy()
        twin.usage = self.usage.copy()
        twin.children = self.children.copy()
        twin.others = self.others.copy()
        twin.candidates = self.candidates.copy()
        twin.other_candidates = self.other_candidates.copy()
        twin.touched = dict.fromkeys(self.holds)
        twin.used_bytes = self.used_bytes
        return twin

    def _leave(self, parent: Key) -> None:
        left = self.children[parent] - 1
        if left:
            self.children[parent] = left
        else:
            del self.children[parent]
            if self.is_limited:
                self.touched[parent] = None

    def _log(self, key: Key, before: Item | None) -> None:
        change = Change(key, before, (0.0, 0) if before is None else self.usage[key])
        assert self.last_change is not None
        self.last_change.next = change
        self.last_change = change
