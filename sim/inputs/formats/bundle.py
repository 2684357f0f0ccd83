"""`.dockerbuild` bundles, as Docker Desktop and `buildx history export` write them.

In: a tar (or tar.gz) that is an OCI layout, whose manifests hold a history record and its status stream
(buildx v0.38.2, util/desktop/bundle/export.go). Out: one `Recorded` a build. Provenance and traces in it are not read.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from sim.errors import InputError
from sim.inputs.formats.history import from_record
from sim.inputs.formats.wire import read_stream
from sim.inputs.recorded import Recorded

_RECORD = "application/vnd.buildkit.historyrecord.v0"
_STATUS = "application/vnd.buildkit.status.v0"
_LARGEST_BYTES = 1 << 30  # unpacked; a record with its log takes some 10 kB
_DEEPEST = 4  # index in index in index: buildx writes two
_HINT = "write it again: buildx history export -o FILE.dockerbuild"


def read_bundle(file: BinaryIO, where: str) -> list[Recorded]:
    """All builds of a bundle. InputError: it is none, or broken."""
    try:
        blobs = _unpack(file, where)
        index = json.loads(blobs["index.json"])
        found = [_build(blobs, manifest, where) for manifest in _manifests(blobs, index, _DEEPEST)]
    except (
        tarfile.TarError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise InputError(f"not a bundle of builds: {what}", where=where, hint=_HINT) from error
    return found


def _unpack(file: BinaryIO, where: str) -> dict[str, bytes]:
    """The files of the layout by digest, `index.json` by its name. Nothing is written to disk."""
    found: dict[str, bytes] = {}
    left = _LARGEST_BYTES
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            left -= member.size
            if left < 0:
                raise InputError("more than 1 GiB unpacked", where=where, hint="export fewer builds at once")
            name = member.name.removeprefix("./")
            algorithm, _, digest = name.removeprefix("blobs/").partition("/")
            found[f"{algorithm}:{digest}" if name.startswith("blobs/") else name] = content.read()
    return found


def _manifests(blobs: Mapping[str, bytes], index: Mapping[str, object], deep: int) -> Iterator[Mapping[str, object]]:
    """The manifests of single builds; an index may hold indexes."""
    listed = index["manifests"]
    if not isinstance(listed, list) or not deep:
        raise ValueError("an index without manifests")
    for entry in listed:
        inner = json.loads(blobs[entry["digest"]])
        if "manifests" in inner:
            yield from _manifests(blobs, inner, deep - 1)
        elif inner["config"]["mediaType"] == _RECORD:
            yield inner


def _build(blobs: Mapping[str, bytes], manifest: Mapping[str, object], where: str) -> Recorded:
    config, layers = manifest["config"], manifest.get("layers") or []
    assert isinstance(config, dict)
    assert isinstance(layers, list)
    record = json.loads(blobs[config["digest"]])
    stream = next((blobs[one["digest"]] for one in layers if one["mediaType"] == _STATUS), b"")
    return from_record(record, read_stream(stream), where=where, runner=None)
