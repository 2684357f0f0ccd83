"""A build's way to registries: the cache that it imports before its graph, what it exports after it.

In: a build's plan and keys, its daemon. Out: records that it may hit without having them, an `Export`, rows of the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from sim.model.buildkit.exports import CacheExport, Export
from sim.model.buildkit.search import Search
from sim.model.plan.compiled import CONTEXT, PREAMBLE, SOURCE
from sim.model.record import Recorder
from sim.model.registry import NO_CACHE, CacheRecord, Layer, Manifest, Pull
from sim.workload.output import Output

PULL = "[internal] pull layers for an export"


class Delivery:
    """One build's imports and exports. `sent_bytes`: to registries and to its client."""

    __slots__ = (
        "_export",
        "_pull",
        "_pull_s",
        "_recorder",
        "_reference",
        "imported",
        "outputs",
        "sent_bytes",
    )

    def __init__(self, recorder: Recorder, outputs: tuple[Output, ...], reference: Hashable) -> None:
        self.outputs = outputs
        self.imported: Manifest = NO_CACHE
        self.sent_bytes = 0.0
        self._recorder = recorder
        self._reference = reference
        self._export: Export | None = None
        self._pull: Pull | None = None
        self._pull_s = 0.0

    def open(self, search: Search) -> None:
        """Read the cache manifest, if the build imports one: what it names may be hit (buildkit-semantics 7)."""
        if any(output.cache_from == "registry" for output in self.outputs) and not search.no_cache:
            daemon = search.daemon
            self.imported = daemon.exporter.registry.cache(self._reference)
            for definition_key, key in self.imported.links.items():
                daemon.cache.add_link(definition_key, key)

    def record(self, search: Search, key: int) -> int | None:
        """The result that this daemon has for a key, or could pull."""
        daemon = search.daemon
        found = daemon.cache.record(key)
        if found is None and self.imported.records:
            return daemon.volume.adopt(key, self.imported.records, daemon.engine.now)
        return found

    def export(self, search: Search, outputs: tuple[Output, ...], then: Callable[[], None]) -> None:
        """Export the result, then call `then()`; a client that reads all layers has the lazy ones pulled first."""
        daemon = search.daemon
        if daemon.volume.lazy and any(output.reads_layers for output in outputs):
            keys = [key for index in search.compiled.results if (key := search.known.key(index)) is not None]
            layers = daemon.volume.lazy_below(keys)
            if layers:

                def pulled(pull: Pull) -> None:
                    self._record_pull(search, pull, "executed")
                    daemon.volume.pulled(layers, daemon.engine.now)
                    self._start(search, outputs, then)

                self._pull_s = daemon.engine.now
                self._pull = daemon.exporter.pull(list(layers.values()), pulled)
                return
        self._start(search, outputs, then)

    def cancel(self, search: Search) -> None:
        """The build is over before its export: pulls and uploads stop."""
        if self._pull is not None:
            self._pull.cancel()
            self._record_pull(search, self._pull, "cancelled")
        export, self._export = self._export, None
        if export is not None:
            export.cancel()
            self._record(search, export)

    def _start(self, search: Search, outputs: tuple[Output, ...], then: Callable[[], None]) -> None:
        def done(export: Export) -> None:
            self._export = None
            self._record(search, export)
            then()

        cache = None
        if any(output.cache_to != "none" for output in outputs):
            has_all = any(output.cache_mode == "max" for output in outputs)
            steps = list(range(search.compiled.size)) if has_all else search.compiled.layers
            cache = CacheExport(self._reference, self._layers(search, steps), self._manifest(search, steps))
        layers = self._layers(search, search.compiled.layers)
        self._export = search.daemon.exporter.export(search.build, layers, outputs, done, cache)

    def _record_pull(self, search: Search, pull: Pull, outcome: str) -> None:
        self._pull = None
        now_s = search.daemon.engine.now
        self._recorder.overhead(search, PULL, pull.cpu_s, self._pull_s, now_s, outcome, pull.received_bytes)

    def _record(self, search: Search, export: Export) -> None:
        self.sent_bytes += export.sent_bytes
        for vertex in export.vertices:
            self._recorder.export(search, vertex)
        export.vertices = []  # each refers to its export: without this only the garbage collector would free them

    def _layers(self, search: Search, steps: list[int]) -> list[Layer]:
        """A layer is named by what is in it; below a hit nobody has looked, so there its step's key stands for it."""
        compiled, known = search.compiled, search.known
        layers = []
        for index in steps:
            kind = compiled.kinds[index]
            if kind not in (CONTEXT, PREAMBLE):
                key = known.key(index)
                result = known.result[index]
                if result is None and key is not None:
                    result = search.daemon.cache.record(key)
                name = compiled.ops[index] if key is None else key
                layer = Layer(name if result is None else result, compiled.layer_bytes[index], kind == SOURCE)
                layers.append(layer)
                if key is not None:
                    search.daemon.volume.will_pack(layer, key)
        return layers

    def _manifest(self, search: Search, steps: list[int]) -> Manifest:
        cache, records = search.daemon.cache, {}
        for index in steps:
            key = search.known.key(index)
            result = None if key is None else cache.record(key)
            if key is not None and result is not None:
                size_bytes = search.compiled.layer_bytes[index]
                records[key] = CacheRecord(result, size_bytes, cache.parents_of(key), cache.cpu_s_of(key))
        return Manifest(records, search.known.links())
