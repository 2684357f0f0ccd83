"""A runner's disk as a whole: its cache, its copies of contexts, its packed layers. A project's base is one.

In: what builds leave. Out: forks for clones, and what takes the base's place when a runner writes back.
"""

from __future__ import annotations

from sim.model.registry import Blob
from sim.model.store.cache import Cache
from sim.model.store.contexts import ContextCopies
from sim.scenario.farm import CacheLimits


class Volume:
    """`blobs`: by layer key. Where a record has been collected its blob has gone with it (buildkit-semantics 8)."""

    __slots__ = ("blobs", "cache", "copies")

    def __init__(self, limits: CacheLimits) -> None:
        self.cache = Cache(limits)
        self.copies = ContextCopies(self.cache)
        self.blobs: dict[int, Blob] = {}

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

    def _with(self, cache: Cache) -> Volume:
        twin = Volume.__new__(Volume)
        twin.cache = cache
        twin.copies = self.copies.fork(cache)
        twin.blobs = dict(self.blobs)
        return twin
