"""The packed layers on a runner's disk, and how they come about: one thread a layer, all at once, once a daemon.

In: layers that exports ask for. Out: `Blob`s, kept for later exports whatever compression those ask for
(buildkit-semantics 7; cache/blobs.go). A layer that came from a registry is a blob from the start, also a lazy one.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from math import inf
from typing import Protocol

from sim.model.buildkit.edge import DAEMON_CPU, WRITE, Engine, Phase, Work
from sim.model.registry import ESTARGZ, GZIP, UNCOMPRESSED, ZSTD, Blob, Layer, Registry
from sim.profile import Profile
from sim.profile.constants import CONSTANTS

# What the draws of a layer stand for.
_SPEED, _SHARE = 0, 1


class Waiter(Protocol):
    """Who needs a layer as a blob. The first in line pays for it."""

    cpu_s: float

    def one_is_packed(self) -> None:
        """One more of its layers is a blob."""
        ...


class Packing(Work):
    """A layer that is being packed, for all who wait for it."""

    __slots__ = ("blob", "key", "waiters")

    def __init__(self, key: int, blob: Blob, phases: list[Phase]) -> None:
        super().__init__(phases)
        self.key = key
        self.blob = blob
        self.waiters: list[Waiter] = []


class Blobs:
    """The blobs of one daemon by layer key.

    `kept` holds them as long as the cache that they belong to. `on_blob(key, packed_bytes)` tells of a new one. Layers differ:
    how fast one packs, and to which share, are draws by (seed, key); `spread` scales their sigmas.
    """

    __slots__ = ("_engine", "_kept", "_on_blob", "_packers", "_packing", "_profile", "_registry", "_seed", "_spread")

    def __init__(
        self,
        engine: Engine,
        profile: Profile,
        registry: Registry,
        seed: int,
        spread: float,
        kept: MutableMapping[int, Blob],
        on_blob: Callable[[int, float], None] | None,
    ) -> None:
        self._engine = engine
        self._profile = profile
        self._registry = registry
        self._seed = seed
        self._spread = spread
        self._kept = kept
        self._on_blob = on_blob
        self._packing: dict[int, Packing] = {}
        daemon = profile.daemon
        # By compression: core-seconds and packed bytes for each byte of a layer. estargz is gzip, file by file.
        gzip = (daemon.gzip_byte_cpu_s, CONSTANTS["gzip_byte_cpu_s"].spread, daemon.gzip_share)
        self._packers = {
            GZIP: gzip,
            ZSTD: (daemon.zstd_byte_cpu_s, CONSTANTS["zstd_byte_cpu_s"].spread, daemon.zstd_share),
            ESTARGZ: gzip,
            UNCOMPRESSED: (daemon.tar_byte_cpu_s, CONSTANTS["tar_byte_cpu_s"].spread, 1.0),
        }

    def blob(self, layer: Layer) -> Blob | None:
        """The layer's blob, if it has one."""
        blob = self._kept.get(layer.key)
        if blob is None and layer.is_blob:
            blob = self._kept[layer.key] = self._registry.find(layer.key) or self._packed(layer, GZIP)
        return blob

    def expected(self, layer: Layer, compression: int = GZIP) -> Blob:
        """The layer's blob, or the one that packing would make."""
        return self.blob(layer) or self._packed(layer, compression)

    def forget_owner(self) -> None:
        """Tell nobody of new blobs any more."""
        self._on_blob = None

    def pack(self, layer: Layer, compression: int, waiter: Waiter) -> Packing:
        """Wait for the layer, whatever compression the first who asked for it wanted: BuildKit's key is the layer alone."""
        packing = self._packing.get(layer.key)
        if packing is None:
            packing = self._packing[layer.key] = self._start(layer, compression)
        packing.waiters.append(waiter)
        return packing

    def leave(self, packing: Packing, waiter: Waiter) -> None:
        """Wait no more: the next in line pays; without one, packing stops (flightcontrol cancels it then)."""
        if waiter in packing.waiters:
            packing.waiters.remove(waiter)
            if not packing.waiters:
                del self._packing[packing.key]
                self._engine.stop(packing)
                waiter.cpu_s += packing.cpu_s

    def _packed(self, layer: Layer, compression: int) -> Blob:
        share = self._packers[compression][2]
        if compression != UNCOMPRESSED and self._spread:
            sigma = CONSTANTS["gzip_share"].spread * self._spread
            share = min(1.0, share * self._profile.factor(self._seed, layer.key, _SHARE, sigma))
        return Blob(compression, layer.size_bytes * share)

    def _start(self, layer: Layer, compression: int) -> Packing:
        byte_cpu_s, sigma, _ = self._packers[compression]
        cpu_s = layer.size_bytes * byte_cpu_s
        if self._spread:
            cpu_s *= self._profile.factor(self._seed, layer.key, _SPEED, sigma * self._spread)
        blob = self._packed(layer, compression)
        packing = Packing(layer.key, blob, [(DAEMON_CPU, cpu_s, 1.0), (WRITE, blob.packed_bytes, inf)])
        self._engine.work(packing, self._is_packed)
        return packing

    def _is_packed(self, packing: Packing) -> None:
        key = packing.key
        del self._packing[key]
        self._kept[key] = packing.blob
        if self._on_blob is not None:
            self._on_blob(key, packing.blob.packed_bytes)
        waiters, packing.waiters = packing.waiters, []
        waiters[0].cpu_s += packing.cpu_s
        for waiter in waiters:
            waiter.one_is_packed()
