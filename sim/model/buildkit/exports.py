"""What a daemon does after a build's graph: packs layers, writes images, streams to clients, pushes, exports the cache.

In: the layers of a result and its `Output`s. Out: an `Export` whose vertices are rows of the trace, and a call when all is
done. The order is BuildKit's (buildkit-semantics 7, 13.7; solver/llbsolver/solver.go): every exporter writes, then pushes
and cache exports run side by side. None of it needs a slot. A state machine; time is the `Engine`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from math import ceil, inf
from typing import NamedTuple

from sim.model.buildkit.edge import DAEMON_CPU, DELAY, NETWORK, TOGETHER, Engine, Phase, Work
from sim.model.registry import (
    CONNECTIONS,
    ESTARGZ,
    GZIP,
    NO_CACHE,
    REGISTRY,
    UNCOMPRESSED,
    ZSTD,
    Blob,
    Connections,
    Layer,
    Manifest,
    Pull,
    Pulls,
    Registry,
)
from sim.model.store.blobs import Blobs, Packing
from sim.profile import Profile
from sim.workload.output import Output

COMPRESSIONS: Mapping[str, int] = {"gzip": GZIP, "zstd": ZSTD, "estargz": ESTARGZ, "uncompressed": UNCOMPRESSED}
# Blobs sent at once beside the registry's four: s3 and azblob have four of their own for each export, gha sends one by one
# (cache/remotecache/s3/s3.go upload_parallelism, gha/gha.go "TODO: push parallel").
_OWN_LANES: Mapping[str, int] = {"s3": CONNECTIONS, "azblob": CONNECTIONS, "gha": 1}


class CacheExport(NamedTuple):
    """What a cache export tells: its reference, all layers (`mode=max`), and what an importer will find."""

    reference: Hashable
    all_layers: Sequence[Layer] = ()
    manifest: Manifest = NO_CACHE


class Vertex:
    """An exporter's or a cache exporter's vertex. `outcome`: executed or cancelled, empty while it is in flight.

    A pushed image is one vertex that starts twice in BuildKit; here it lasts from its first start to its last end, which
    is the sum of both unless another output was still being written in between. A layer is paid for (`cpu_s`) by the first
    vertex that asks for it. `sent_bytes` counts whole blobs.
    """

    # fmt: off
    __slots__ = (
        "completed_s", "cpu_s", "export", "jobs", "layers", "left", "name", "outcome", "output", "sent_bytes", "started_s",
        "store", "then", "waits",
    )
    # fmt: on

    def __init__(self, export: Export, output: Output, store: str, then: Callable[[Vertex], None]) -> None:
        self.export = export
        self.output = output
        self.store = store
        self.name = output.cache_vertex if store else output.vertex
        self.layers: Sequence[Layer] = export.layers
        self.then = then
        self.started_s = self.completed_s = export.exporter.engine.now
        self.cpu_s = 0.0
        self.sent_bytes = 0.0
        self.outcome = ""
        self.left = 0
        self.jobs: dict[_Job, None] = {}
        self.waits: list[Packing] = []

    def one_is_packed(self) -> None:
        """One more of its layers is a blob; after the last it goes on."""
        self.left -= 1
        if not self.left:
            self.waits.clear()
            self.then(self)


class Export:
    """The exports of one build. `vertices` in the order in which they start."""

    __slots__ = ("build", "cache", "done", "exporter", "is_live", "layers", "left", "outputs", "vertices")

    def __init__(
        self,
        exporter: Exporter,
        build: int,
        layers: Sequence[Layer],
        outputs: Sequence[Output],
        cache: CacheExport | None,
        done: Callable[[Export], None],
    ) -> None:
        self.exporter = exporter
        self.build = build
        self.layers = layers
        self.outputs = outputs
        self.cache = cache
        self.done = done
        self.is_live = True
        self.left = 0
        self.vertices: list[Vertex] = []

    @property
    def cpu_s(self) -> float:
        """Core-seconds of all vertices."""
        return sum(vertex.cpu_s for vertex in self.vertices)

    @property
    def sent_bytes(self) -> float:
        """Bytes sent to registries and to the client."""
        return sum(vertex.sent_bytes for vertex in self.vertices)

    def cancel(self) -> None:
        """The build is cancelled: uploads stop; layers that another export waits for go on. `done` is not called."""
        if self.is_live:
            self.is_live = False
            self.exporter._cancel(self)


class _Job(Work):
    """Work of one vertex; with a lane it is a transfer that has waited, or waits, for a connection."""

    __slots__ = ("blob", "has_started", "is_gone", "key", "lane", "sent_bytes", "vertex")

    def __init__(self, vertex: Vertex, phases: list[Phase], then: Callable[[_Job], None]) -> None:
        super().__init__(phases)
        self.vertex = vertex
        self.engine = vertex.export.exporter.engine
        self.then = then
        self.lane: Connections | None = None
        self.has_started = False
        self.is_gone = False
        self.key = 0
        self.blob: Blob | None = None
        self.sent_bytes = 0.0
        vertex.jobs[self] = None

    def start(self) -> None:
        self.has_started = True
        self.engine.work(self, self.then)


class Exporter:
    """All exports and pulls of one daemon.

    `kept` are the packed layers on its disk; they live as long as the cache that they belong to, so the caller may keep
    them there. `on_blob(key, packed_bytes)` tells of a new one, which counts into its record's size (buildkit-semantics 8).
    `spread` scales the sigmas of draws (`Blobs`); 0 makes all layers alike.
    """

    __slots__ = ("_connections", "_constants", "_pulls", "_session", "blobs", "engine", "registry")

    def __init__(
        self,
        engine: Engine,
        profile: Profile,
        registry: Registry,
        *,
        seed: int = 0,
        spread: float = 1.0,
        kept: MutableMapping[int, Blob] | None = None,
        on_blob: Callable[[int, float], None] | None = None,
    ) -> None:
        self.engine = engine
        self.registry = registry
        self.blobs = Blobs(engine, profile, registry, seed, spread, {} if kept is None else kept, on_blob)
        self._constants = profile.daemon
        self._connections = Connections()
        # A cache export into the client's folder goes through the same limiter, under no domain (contentutil/copy.go).
        self._session = Connections()
        self._pulls = Pulls(engine, profile.daemon, self._connections)

    def export(
        self,
        build: int,
        layers: Sequence[Layer],
        outputs: Sequence[Output],
        done: Callable[[Export], None],
        cache: CacheExport | None = None,
    ) -> Export:
        """Export a result: `layers` base first, of all its platforms. `done(export)` is called once, never at once."""
        export = Export(self, build, list(dict.fromkeys(layers)), outputs, cache, done)
        for output in outputs:
            if output.type != "cacheonly":
                export.vertices.append(Vertex(export, output, "", self._write))
        export.left = len(export.vertices)
        if not export.left:
            self.engine.work(Work([]), lambda _: self._finalize(export))
        for vertex in export.vertices:
            self._pack_and_go(vertex, vertex.output.makes_blobs)
        return export

    def pull(self, layers: Sequence[Layer], done: Callable[[Pull], None]) -> Pull:
        """Get the lazy layers of one chain, base first (imported caches); the caller notes that they are local then."""
        return self._pulls.pull([(layer, self.blobs.expected(layer)) for layer in layers], done)

    def _pack_and_go(self, vertex: Vertex, needs_blobs: bool) -> None:
        """Wait until all layers are blobs, then call `vertex.then`."""
        if needs_blobs:
            compression = COMPRESSIONS[vertex.output.compression]
            for layer in vertex.layers:
                if self.blobs.blob(layer) is None:
                    vertex.waits.append(self.blobs.pack(layer, compression, vertex))
            vertex.left = len(vertex.waits)
        if not vertex.waits:
            vertex.then(vertex)

    # Writing: the image's manifest and config, or a stream to the client.

    def _write(self, vertex: Vertex) -> None:
        constants, output = self._constants, vertex.output
        phases: list[Phase] = []
        streamed_bytes = 0.0
        if output.makes_blobs:
            inline_s = constants.inline_cache_cpu_s if output.cache_to == "inline" else 0.0
            phases.append((DAEMON_CPU, constants.manifest_cpu_s + inline_s, 1.0))
            if output.type in ("docker", "oci"):
                streamed_bytes = sum(self.blobs.expected(layer).packed_bytes for layer in vertex.layers)
        else:
            streamed_bytes = sum(layer.size_bytes for layer in vertex.layers)
        if streamed_bytes:
            phases += _sending(streamed_bytes, constants.stream_byte_cpu_s)
        job = _Job(vertex, phases, self._written)
        job.sent_bytes = streamed_bytes
        job.start()
        if streamed_bytes and constants.client_byte_cpu_s:  # who receives it works beside the daemon
            client_s = streamed_bytes * constants.client_byte_cpu_s
            self.engine.work(Work([(DAEMON_CPU, client_s, 1.0)]), lambda _: None)

    def _written(self, job: _Job) -> None:
        vertex = job.vertex
        export = vertex.export
        self._count(job)
        if not vertex.output.push:
            self._complete(vertex)
        export.left -= 1
        if not export.left:
            self._finalize(export)

    def _finalize(self, export: Export) -> None:
        """Everything is written: push and export the cache, side by side."""
        if not export.is_live:
            return
        started = [vertex for vertex in export.vertices if vertex.output.push]
        by_store = {output.cache_to: output for output in export.outputs if output.cache_to not in ("none", "inline")}
        for store, output in by_store.items():
            vertex = Vertex(export, output, store, self._send)
            if output.cache_mode == "max" and export.cache is not None:
                vertex.layers = list(dict.fromkeys([*export.layers, *export.cache.all_layers]))
            export.vertices.append(vertex)
            started.append(vertex)
        export.left = len(started)
        if not started:
            self._end(export)
        for vertex in started:
            if vertex.store:
                self._pack_and_go(vertex, True)
            else:
                self._send(vertex)

    # Sending: a request for each blob that is there already, an upload for each that is not.

    def _send(self, vertex: Vertex) -> None:
        """Start all transfers; what two builds push at the same time, both send (buildkit-semantics 13.7).

        Requests for blobs that are there take turns on one connection here, for the time that all four would need.
        """
        store = vertex.store or REGISTRY
        own = _OWN_LANES.get(store)
        lane = Connections(own) if own else self._session if store == "local" else self._connections
        latency_s = self._constants.registry_latency_s
        known, new = 0, []
        for layer in vertex.layers:
            blob = self.blobs.expected(layer)
            if self.registry.has(layer.key, blob.compression, store):
                known += 1
            else:
                new.append((layer.key, blob))
        vertex.left = len(new) + (known > 0)
        if known:
            job = _Job(vertex, [(DELAY, latency_s * ceil(known / CONNECTIONS), 0.0)], self._sent)
            job.lane = lane
            lane.take(job)
        for key, blob in new:
            sending = _sending(blob.packed_bytes, self._constants.upload_byte_cpu_s)
            job = _Job(vertex, [(DELAY, 2.0 * latency_s, 0.0), *sending], self._sent)
            job.lane, job.key, job.blob, job.sent_bytes = lane, key, blob, blob.packed_bytes
            lane.take(job)
        if not vertex.left:
            self._put_manifest(vertex)

    def _sent(self, job: _Job) -> None:
        vertex = job.vertex
        self._count(job)
        if job.lane is not None:
            job.lane.give()
        if job.blob is not None:
            self.registry.add(job.key, job.blob, vertex.store or REGISTRY)
        vertex.left -= 1
        if not vertex.left:
            self._put_manifest(vertex)

    def _put_manifest(self, vertex: Vertex) -> None:
        """Last the manifest; it has a connection of its own (`+json`, limited/group.go)."""
        _Job(vertex, [(DELAY, self._constants.registry_latency_s, 0.0)], self._sent_all).start()

    def _sent_all(self, job: _Job) -> None:
        vertex = job.vertex
        export = vertex.export
        self._count(job)
        self._complete(vertex)
        is_cache = vertex.store == REGISTRY or (not vertex.store and vertex.output.cache_to == "inline")
        if is_cache and export.cache is not None:
            self.registry.write_cache(export.cache.reference, export.cache.manifest)
        export.left -= 1
        if not export.left:
            self._end(export)

    # Ends.

    def _count(self, job: _Job) -> None:
        vertex = job.vertex
        del vertex.jobs[job]
        vertex.cpu_s += job.cpu_s
        vertex.sent_bytes += job.sent_bytes

    def _complete(self, vertex: Vertex) -> None:
        vertex.outcome = "executed"
        vertex.completed_s = self.engine.now

    def _end(self, export: Export) -> None:
        export.is_live = False
        export.done(export)

    def _cancel(self, export: Export) -> None:
        stopped = [vertex for vertex in export.vertices if not vertex.outcome]
        for vertex in stopped:
            vertex.outcome = "cancelled"
            vertex.completed_s = self.engine.now
            for job in vertex.jobs:
                job.is_gone = True
        # Only now, for a connection that is given back goes to the next that still wants one.
        for vertex in stopped:
            for packing in vertex.waits:
                self.blobs.leave(packing, vertex)
            for job in vertex.jobs:
                if job.has_started:
                    self.engine.stop(job)
                    vertex.cpu_s += job.cpu_s
                    if job.lane is not None:
                        job.lane.give()
            vertex.jobs.clear()


def _sending(sent_bytes: float, byte_cpu_s: float) -> list[Phase]:
    """Bytes go out while the daemon works on them: the slower of both counts."""
    return [(TOGETHER, 2, 0.0), (DAEMON_CPU, sent_bytes * byte_cpu_s, 1.0), (NETWORK, sent_bytes, inf)]
