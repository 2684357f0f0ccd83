"""Base images, made here: one OCI layout whose images hold the load program and an identity of their own.

In: source names with their platforms, the load program of each, and how many bytes an image is to weigh. Out: a folder in
OCI layout (image-spec 1.1) and the digest of each image's index. Equal input gives equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import EnvironmentMissing
from sim.real.recipe.contexts import body
from sim.real.recipe.keys import image_head
from sim.real.recipe.shape import LOAD, STATE

_STORE = "images"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
Descriptor = dict[str, object]


@dataclass(frozen=True, slots=True)
class Image:
    """What stands for a source: its context's name, what it is, its platforms, and the bytes it is to weigh."""

    name: str
    digest: str
    platforms: tuple[str, ...]
    weight_bytes: int = 0


def write_layout(
    images: Sequence[Image], programs: Mapping[str, Path], native: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Write the layout; returns by image name the digest of its index. `programs` go by native platform."""
    layout = _Layout(folder)
    try:
        layout.begin()
        used = {native.get(platform, platform) for image in images for platform in image.platforms}
        layers = {
            platform: layout.layer([("load", 0o755, [programs[platform].read_bytes()])]) for platform in sorted(used)
        }
        found: dict[str, str] = {}
        listed: list[Descriptor] = []
        for image in images:
            here = dict.fromkeys(native.get(platform, platform) for platform in image.platforms)
            manifests = [_image(layout, layers[platform], image, platform) for platform in here]
            index = layout.add_json(_INDEX, {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})
            found[image.name] = str(index["digest"])
            listed.append({**index, "annotations": {"org.opencontainers.image.ref.name": image.name}})
        layout.end(listed)
        return found
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot write base images: {error.strerror or error}",
            where=str(folder),
            hint="choose a writable place with free space",
        ) from error


def image_words(layout: Path, images: Mapping[str, str]) -> list[str]:
    """What hands images of an OCI layout to buildctl: index digest by the name that a Dockerfile has for them."""
    words = ["--oci-layout", f"{_STORE}={layout}"]
    for name, digest in images.items():
        words += ["--opt", f"context:{name}=oci-layout://{_STORE}@{digest}"]
    return words


class _Layout:
    """Blobs by digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"

    def begin(self) -> None:
        self._blobs.mkdir(parents=True, exist_ok=True)

    def end(self, listed: Sequence[Descriptor]) -> None:
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": list(listed)}
        (self._folder / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")

    def add_json(self, media: str, content: object) -> Descriptor:
        return self._add(media, json.dumps(content, sort_keys=True).encode())

    def layer(self, files: Iterable[tuple[str, int, Iterable[bytes]]]) -> Descriptor:
        """A layer of files (path, mode, chunks), without times or owners."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, permissions, chunks in files:
                content = b"".join(chunks)
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), permissions
                archive.addfile(entry, io.BytesIO(content))
        return self._add(_LAYER, out.getvalue())

    def _add(self, media: str, content: bytes) -> Descriptor:
        digest = hashlib.sha256(content).hexdigest()
        path = self._blobs / digest
        if not path.exists():
            temporary = path.with_suffix(".writing")
            temporary.write_bytes(content)
            temporary.replace(path)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def _image(layout: _Layout, program: Descriptor, image: Image, platform: str) -> Descriptor:
    """One platform's image: the program's layer, shared by all, and one with the image's identity and its weight."""
    identity = image_head(image.digest)
    files = [(STATE.lstrip("/"), 0o644, [identity])]
    rest = image.weight_bytes - int(str(program["size"]))
    if rest > 0:
        files.append((".pad", 0o644, list(body(identity, rest))))
    own = layout.layer(files)
    described = _described(platform)
    config = {
        **described,
        "rootfs": {"type": "layers", "diff_ids": [program["digest"], own["digest"]]},
        "config": {"Env": ["PATH=/"], "Entrypoint": [LOAD]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": layout.add_json(_CONFIG, config),
        "layers": [program, own],
    }
    return {**layout.add_json(_MANIFEST, manifest), "platform": described}


def _described(platform: str) -> dict[str, str]:
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return {"os": system, "architecture": architecture} | ({"variant": variant} if variant else {})
