"""What a command exports: one `Output` for each exporter, the cache export among them.

In: a scenario's `output`, or a bake target's own outputs in buildx's words. Out: `Output`s; none where a build only fills
its runner's cache (a remote daemon without --output; buildx's `cacheonly`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast, get_args

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.scenario.fields.workload import Output as Written

OutputType = Literal["image", "registry", "docker", "oci", "tar", "local", "cacheonly"]
Compression = Literal["gzip", "zstd", "estargz", "uncompressed"]
CacheStore = Literal["none", "inline", "registry", "local", "gha", "s3", "azblob"]

# The vertices' names (BuildKit's exporter/*/export.go and cache/remotecache/*, Name()).
_VERTICES: Mapping[str, str] = {
    "image": "exporting to image",
    "registry": "exporting to image",
    "docker": "exporting to docker image format",
    "oci": "exporting to oci image format",
    "tar": "exporting to client tarball",
    "local": "exporting to client directory",
}
RECEIVED = frozenset(_VERTICES[name] for name in ("docker", "oci", "tar", "local"))
"""Vertices that send the result to the client."""
_CACHE_VERTICES: Mapping[str, str] = {
    "registry": "exporting cache to registry",
    "local": "exporting cache to client directory",
    "gha": "exporting to GitHub Actions Cache",
    "s3": "exporting cache to Amazon S3",
    "azblob": "exporting cache to Azure Blob Storage",
}
_TYPES = get_args(OutputType)
_COMPRESSIONS = get_args(Compression)
# What buildx takes for true (Go's strconv.ParseBool).
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})


@dataclass(frozen=True, slots=True)
class Output:
    """One exporter of a build. `registry` is an image that is pushed. `cache_to` is a cache export beside it."""

    type: OutputType = "image"
    push: bool = False
    compression: Compression = "gzip"
    cache_to: CacheStore = "none"
    cache_mode: Literal["min", "max"] = "min"
    cache_from: Literal["none", "registry"] = "none"

    @classmethod
    def of(cls, written: Written) -> Output:
        """The output that a scenario asks for."""
        return cls(
            written.type,
            written.push or written.type == "registry",
            written.compression,
            written.cache_to,
            written.cache_mode,
            written.cache_from,
        )

    @property
    def vertex(self) -> str:
        """The name of its vertex; empty for `cacheonly`, which has none."""
        return _VERTICES.get(self.type, "")

    @property
    def cache_vertex(self) -> str:
        """The name of its cache export's vertex; empty without one. `inline` is written by the image's."""
        return _CACHE_VERTICES.get(self.cache_to, "")

    @property
    def makes_blobs(self) -> bool:
        """Layers are packed into blobs; `tar` and `local` stream the files as they are (buildkit-semantics 7)."""
        return self.type in ("image", "registry", "docker", "oci")

    @property
    def reads_layers(self) -> bool:
        """The client gets all bytes, so layers that are still lazy must be pulled before."""
        return self.type in ("docker", "oci", "tar", "local")

    @property
    def exports(self) -> bool:
        """There is anything to do after the graph."""
        return bool(self.vertex or self.cache_vertex)


def outputs_of(stated: Output | None, own: tuple[str, ...]) -> tuple[Output, ...]:
    """The exporters of a build: what its request states, else the target's `own` (`Graphs.outputs`).

    Raises InputError for words that buildx would not take.
    """
    if stated is None:
        return _parsed(own)
    return (stated,) if stated.exports else ()


@lru_cache(maxsize=1024)
def _parsed(own: tuple[str, ...]) -> tuple[Output, ...]:
    return tuple(output for output in map(parse, own) if output.exports)


def parse(text: str) -> Output:
    """An output in buildx's words: `type=image,push=true`, a folder, or `-` for a tarball on stdout.

    The rules are buildx's (util/buildflags/export.go); `force-compression` and levels are left out of the model.
    """
    try:
        fields = next(csv.reader([text]), [])
    except csv.Error as error:
        raise InputError(f"not an output: '{text}' ({error})", hint="write type=image,push=true") from error
    if fields == [text] and not text.startswith("type="):
        return Output(type="tar" if text == "-" else "local")
    values = {
        name.strip().lower(): value.strip()
        for name, found, value in (field.partition("=") for field in fields)
        if found
    }
    kind = values.get("type", "")
    if kind not in _TYPES:
        raise InputError(f"unknown output type '{kind}' in '{text}'", hint=f"one of {', '.join(_TYPES)}")
    compression = values.get("compression", "gzip")
    if compression not in _COMPRESSIONS:
        raise InputError(f"unknown compression '{compression}' in '{text}'", hint=f"one of {', '.join(_COMPRESSIONS)}")
    is_pushed = kind == "registry" or (kind == "image" and values.get("push", "") in _TRUE)
    return Output(cast(OutputType, kind), is_pushed, cast(Compression, compression))
