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

    __slots__ = ("_layers", "_packed", "blobs", "cache", "copies", "lazy")

    def __init__(self, limits: CacheLimits) -> None:
        self.cache = Cache(limits)
        self.copies = ContextCopies(self.cache)
        self.blobs: dict[int, Blob] = {}
        self.lazy: dict[int, Layer] = {}
        self._layers: dict[int, tuple[int, float]] = {}  # by name of a layer to be packed: its record, its bytes
        self._packed: dict[int, int] = {}  # by record: the name of its packed layer

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
        cache, stack = self.cache, [key]
        # With `policy: lru` a new record may push out others, but none that it stands on.
        held: dict[int, None] = {}
        while stack:
            found = records.get(stack[-1])
            for parent in found.parents if found else ():
                if parent not in held and cache.record(parent) is not None:
                    cache.hold(parent)
                    held[parent] = None
            missing = [parent for parent in found.parents if self._could_adopt(parent, records)] if found else []
            if missing:
                stack += missing
                continue
            adopted = stack.pop()
            if found is not None and cache.record(adopted) is None:
                cache.add_record(adopted, found.result, now_s, 0.0, found.parents, found.cpu_s, is_new=False)
                self.forget_gone()
                self.lazy[adopted] = Layer(found.result, found.size_bytes, True)
        for parent in held:
            cache.release(parent, now_s)
        return cache.record(key)

    def _could_adopt(self, key: int, records: Mapping[int, CacheRecord]) -> bool:
        return key in records and self.cache.record(key) is None

    def will_pack(self, layer: Layer, key: int) -> None:
        """An export needs this layer, which the record holds, as a blob."""
        if layer.key not in self.blobs:
            self._layers[layer.key] = (key, layer.size_bytes)

    def packed(self, name: int, packed_bytes: float, now_s: float) -> None:
        """A layer has a blob beside it now; it counts into the record's size (buildkit-semantics 8)."""
        found = self._layers.pop(name, None)
        if found is not None and self.cache.record(found[0]) is not None:
            self.cache.resize(found[0], found[1] + packed_bytes, now_s)
            self._packed[found[0]] = name

    def collect(self, now_s: float) -> None:
        """One run of garbage collection."""
        self.cache.collect(now_s)
        self.forget_gone()

    def forget_gone(self) -> None:
        """What hung on records that were collected goes too."""
        for key in self.cache.gone:
            self.lazy.pop(key, None)
            self.blobs.pop(self._packed.pop(key, 0), None)
        self.cache.gone.clear()

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
                cache.resize(key, layer.size_bytes, now_s)

    def _with(self, cache: Cache) -> Volume:
        twin = Volume(self.cache.limits)
        twin.cache = cache
        twin.copies = self.copies.fork(cache)
        twin.blobs = dict(self.blobs)
        twin.lazy = dict(self.lazy)
        twin._layers = {}
        twin._packed = dict(self._packed)
        return twin
