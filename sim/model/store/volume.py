"""A runner's disk as a whole: its cache, its copies of contexts, its packed layers. A project's base is one.

In: what builds leave. Out: forks for clones, and what takes the base's place when a runner writes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sim.model.registry import Blob, CacheRecord, Layer
from sim.model.store.cache import Cache
from sim.model.store.contexts import ContextCopies
from sim.scenario.farm import CacheLimits


class Volume:
    """`blobs`: by layer key; the blob of a collected record has gone with it (buildkit-semantics 8).

    `lazy`: by final key, layers that a cache import brought the name of, and nobody has pulled yet (13.7).
    """

    __slots__ = ("blobs", "cache", "copies", "lazy")

    def __init__(self, limits: CacheLimits) -> None:
        self.cache = Cache(limits)
        self.copies = ContextCopies(self.cache)
        self.blobs: dict[int, Blob] = {}
        self.lazy: dict[int, Layer] = {}

    @property
    def changes(self) -> int:
        """How many records were added so far."""
        return self.cache.changes

    def clone(self) -> Volume:
        """A fork as of now: neither sees what the other adds later."""
        return self._with(self.cache.clone())

    def committed(self) -> Volume:
        """A volume of its own with all that this one holds."""
        return self._with(self.cache.committed())

    def adopt(self, key: int, records: Mapping[int, CacheRecord], now_s: float) -> int | None:
        """The result that an imported cache has for a key. The record is here from now on, its layers are lazy."""
        found = records.get(key)
        if found is None:
            return None
        for parent in found.parents:
            if self.cache.record(parent) is None:
                self.adopt(parent, records, now_s)
        self.cache.add_record(key, found.result, now_s, 0.0, found.parents, found.cpu_s)
        self.lazy[key] = Layer(found.result, found.size_bytes, True)
        return found.result

    def lazy_below(self, keys: Iterable[int]) -> dict[int, Layer]:
        """The lazy layers that these snapshots consist of, by final key, bases first."""
        found: dict[int, Layer] = {}
        stack = [(key, False) for key in keys]
        seen: set[int] = set()
        while stack:
            key, is_below_done = stack.pop()
            if is_below_done:
                if key in self.lazy:
                    found[key] = self.lazy[key]
            elif key not in seen:
                seen.add(key)
                stack.append((key, True))
                stack.extend((parent, False) for parent in self.cache.parents_of(key))
        return found

    def pulled(self, layers: Mapping[int, Layer], now_s: float) -> None:
        """Lazy layers are on the disk now."""
        cache = self.cache
        for key, layer in layers.items():
            if self.lazy.pop(key, None) is not None and cache.record(key) is not None:
                cache.add_record(key, layer.key, now_s, layer.size_bytes, cache.parents_of(key), cache.cpu_s_of(key))

    def _with(self, cache: Cache) -> Volume:
        twin = Volume.__new__(Volume)
        twin.cache = cache
        twin.copies = self.copies.fork(cache)
        twin.blobs = dict(self.blobs)
        twin.lazy = dict(self.lazy)
        return twin
