"""The farm's registry, and a daemon's way to it: what it holds, four connections, and pulls of lazy layers.

In: layers by key. Out: whether a blob is there already, cache manifests to import, layers pulled in parallel and unpacked
base to top (buildkit-semantics 7 and 13.7). Time is the `Engine`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

from sim.model.buildkit.edge import DAEMON_CPU, DELAY, NETWORK, TOGETHER, WRITE, Engine, Phase, Work
from sim.profile.constants import UNPACK_CORES
from sim.profile.cost import Daemon

GZIP: Final = 0
ZSTD: Final = 1
ESTARGZ: Final = 2
UNCOMPRESSED: Final = 3
CONNECTIONS = 4  # of a daemon to one registry, pushes and pulls together (buildkit util/resolver/limited/group.go)
REGISTRY = "registry"


class Layer(NamedTuple):
    """A layer of a result. `key` names its bytes. `is_blob`: it came from a registry, so it has been packed before."""

    key: int
    size_bytes: float
    is_blob: bool = False


class Blob(NamedTuple):
    """A packed layer: how (GZIP ..), and how large it is then."""

    compression: int
    packed_bytes: float


class CacheRecord(NamedTuple):
    """A record as a cache export tells it: a runner that imports it hits, and pulls its layer when first needed."""

    result: int
    size_bytes: float
    parents: tuple[int, ...] = ()
    cpu_s: float = 0.0


class Manifest(NamedTuple):
    """What a cache export leaves: records by final key, and which definition keys lead to which final key."""

    records: Mapping[int, CacheRecord]
    links: Mapping[int, int]


NO_CACHE = Manifest({}, {})


class Registry:
    """What has been pushed, by store: the registry itself, and those that only caches are exported to (`s3`, `gha` ..).

    A cache manifest stands under its reference, whatever the caller takes for one: (target, platform) keeps the caches of
    targets apart, as separate tags do. A new export replaces the former one.
    """

    __slots__ = ("_caches", "_stores")

    def __init__(self) -> None:
        self._stores: dict[str, dict[tuple[int, int], float]] = {REGISTRY: {}}
        self._caches: dict[Hashable, Manifest] = {}

    def has(self, key: int, compression: int, store: str = REGISTRY) -> bool:
        """Whether a layer, packed so, is there."""
        return (key, compression) in self._stores.get(store, ())

    def find(self, key: int) -> Blob | None:
        """The layer as the registry has it, however packed."""
        blobs = self._stores[REGISTRY]
        for compression in (GZIP, ZSTD, ESTARGZ, UNCOMPRESSED):
            packed_bytes = blobs.get((key, compression))
            if packed_bytes is not None:
                return Blob(compression, packed_bytes)
        return None

    def add(self, key: int, blob: Blob, store: str = REGISTRY) -> None:
        """A blob has been uploaded."""
        self._stores.setdefault(store, {})[key, blob.compression] = blob.packed_bytes

    def cache(self, reference: Hashable) -> Manifest:
        """A cache manifest; an empty one where nothing was exported yet."""
        return self._caches.get(reference, NO_CACHE)

    def write_cache(self, reference: Hashable, manifest: Manifest) -> None:
        """A cache export has ended."""
        self._caches[reference] = manifest


class Transfer(Protocol):
    """What waits for a connection."""

    is_gone: bool

    def start(self) -> None:
        """The connection is there."""
        ...


class Connections:
    """A number of connections, first come first served. A transfer that gave up is passed over."""

    __slots__ = ("_free", "_queue")

    def __init__(self, count: int = CONNECTIONS) -> None:
        self._free = count
        self._queue: deque[Transfer] = deque()

    def take(self, transfer: Transfer) -> None:
        """Start now or when a connection is free."""
        if self._free:
            self._free -= 1
            transfer.start()
        else:
            self._queue.append(transfer)

    def give(self) -> None:
        """A transfer that had started is over."""
        while self._queue:
            transfer = self._queue.popleft()
            if not transfer.is_gone:
                transfer.start()
                return
        self._free += 1


class Pull:
    """One caller's wait for layers. The first who asks for a layer pays for it: `cpu_s`, `received_bytes`."""

    __slots__ = ("_awaited", "_done", "_left", "_pulls", "cpu_s", "is_live", "received_bytes")

    def __init__(self, pulls: Pulls, awaited: list[_Coming], done: Callable[[Pull], None]) -> None:
        self._pulls = pulls
        self._awaited = awaited
        self._done = done
        self._left = len(awaited)
        self.is_live = True
        self.cpu_s = 0.0
        self.received_bytes = 0.0

    def cancel(self) -> None:
        """Nobody waits here any more; what no other pull waits for stops."""
        self.is_live = False
        for coming in self._awaited:
            if self in coming.waiters:
                coming.waiters.remove(self)
                if not coming.waiters:
                    self._pulls._stop(coming, self)

    def _one_is_here(self, _: object = None) -> None:
        self._left -= 1
        if self._left <= 0 and self.is_live:
            self.is_live = False
            self._done(self)


_QUEUED: Final = 0
_LOADING: Final = 1
_LOADED: Final = 2
_UNPACKING: Final = 3


class _Coming(Work):
    """A layer on its way: queued for a connection, loading, loaded, unpacking on top of its parent."""

    __slots__ = ("above", "below", "is_gone", "key", "packed_bytes", "size_bytes", "state", "waiters")

    def __init__(self, engine: Engine, layer: Layer, packed_bytes: float, phases: list[Phase]) -> None:
        super().__init__(phases)
        self.engine = engine
        self.key = layer.key
        self.size_bytes = layer.size_bytes
        self.packed_bytes = packed_bytes
        self.state = _QUEUED
        self.is_gone = False
        self.below: _Coming | None = None
        self.above: list[_Coming] = []
        self.waiters: list[Pull] = []

    def start(self) -> None:
        self.state = _LOADING
        self.engine.work(self, self.then)


class Pulls:
    """All pulls of one daemon: each layer once, however many steps wait for it."""

    __slots__ = ("_coming", "_connections", "_constants", "_engine")

    def __init__(self, engine: Engine, constants: Daemon, connections: Connections) -> None:
        self._engine = engine
        self._constants = constants
        self._connections = connections
        self._coming: dict[int, _Coming] = {}

    def pull(self, layers: Sequence[tuple[Layer, Blob]], done: Callable[[Pull], None]) -> Pull:
        """Get the lazy layers of one chain, base first; `done(pull)` when the top one is unpacked; never at once."""
        awaited: list[_Coming] = []
        asked: list[_Coming] = []
        below: _Coming | None = None
        for layer, blob in layers:
            coming = self._coming.get(layer.key)
            if coming is None:
                coming = self._coming[layer.key] = self._download(layer, blob.packed_bytes)
                coming.below = below
                if below is not None:
                    below.above.append(coming)
                asked.append(coming)
            awaited.append(coming)
            below = coming
        pull = Pull(self, awaited, done)
        for coming in awaited:
            coming.waiters.append(pull)
        for coming in asked:
            self._connections.take(coming)
        if not awaited:
            self._engine.work(Work([]), pull._one_is_here)
        return pull

    def _download(self, layer: Layer, packed_bytes: float) -> _Coming:
        constants = self._constants
        phases: list[Phase] = [
            (DELAY, constants.registry_latency_s, 0.0),
            (TOGETHER, 2, 0.0),
            (DAEMON_CPU, packed_bytes * constants.download_byte_cpu_s, 1.0),
            (NETWORK, packed_bytes, inf),
        ]
        coming = _Coming(self._engine, layer, packed_bytes, phases)
        coming.then = self._loaded
        return coming

    def _loaded(self, coming: _Coming) -> None:
        coming.state = _LOADED
        self._connections.give()
        coming.waiters[0].received_bytes += coming.packed_bytes
        if coming.below is None:
            self._unpack(coming)

    def _unpack(self, coming: _Coming) -> None:
        """One layer after the other, base to top (buildkit-semantics 13.7; cache/refs.go unlazyLayer)."""
        constants = self._constants
        cpu_s = coming.size_bytes * (constants.unpack_byte_cpu_s + constants.write_byte_cpu_s)
        coming.state = _UNPACKING
        coming.phases = [(DAEMON_CPU, cpu_s, UNPACK_CORES), (WRITE, coming.size_bytes, inf)]
        self._engine.work(coming, self._unpacked)

    def _unpacked(self, coming: _Coming) -> None:
        del self._coming[coming.key]
        coming.waiters[0].cpu_s += coming.cpu_s
        for next_one in coming.above:
            next_one.below = None
            if next_one.state == _LOADED:
                self._unpack(next_one)
        waiters, coming.waiters = coming.waiters, []
        for pull in waiters:
            pull._one_is_here()

    def _stop(self, coming: _Coming, pull: Pull) -> None:
        """Nobody waits for this layer, so nobody waits for those above it: whoever wants them wants it too."""
        del self._coming[coming.key]
        coming.is_gone = True
        if coming.state in (_LOADING, _UNPACKING):
            self._engine.stop(coming)
        pull.cpu_s += coming.cpu_s
        if coming.state == _LOADING:
            self._connections.give()
