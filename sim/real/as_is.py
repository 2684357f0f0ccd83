"""The scenario's true Dockerfiles and files, on base images made here: what `--as-is` builds.

In: the scenario's folder, its graphs, folders for base images. Out: a `Source`. No registry is asked: an image is an OCI layout,
a folder that becomes its one layer, or else this machine's static busybox.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import EnvironmentMissing, InputError
from sim.graph import Graphs, GraphSpec
from sim.graph.types import Graph
from sim.real.builds import Imported
from sim.real.files import ClientFiles
from sim.real.recipe import Key
from sim.real.recipe.images import image_words
from sim.workload.request import Content

_IMAGE = "docker-image://"
_HUB = re.compile(r"^docker\.io/(library/)?")
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_STORE = "bases"
_PATH = "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LEFT_OUT = ("graph.lock.json", "truth.json")


@dataclass(frozen=True, slots=True)
class AsIs:
    """The scenario as it is written. `images`: index digest by name in FROM, in the OCI layout `layout`."""

    spec: GraphSpec
    graphs: Graphs
    layout: Path
    images: Mapping[str, str]

    def checkout(self, root: Path) -> ClientFiles:
        """A copy of the scenario's folder."""
        return Copy(self.spec.folder, root)

    def buildctl(self, key: Key, checkout: Path, imported: Imported) -> list[str]:
        """As a person would write it."""
        name, args, platforms = key
        target = self.graphs.written(name)
        dockerfile = checkout / "files" / target.dockerfile
        words = ["--frontend", "dockerfile.v0", "--opt", f"platform={','.join(platforms)}"]
        words += ["--local", f"context={checkout / 'files' / target.context}"]
        words += ["--local", f"dockerfile={dockerfile.parent}", "--opt", f"filename={dockerfile.name}"]
        words += ["--opt", f"target={target.stage}"] if target.stage else []
        words += [
            word for pair in {**target.args, **dict(args)}.items() for word in ("--opt", f"build-arg:{'='.join(pair)}")
        ]
        return words + image_words(self.layout, self.images)

    def bases(self, key: Key) -> tuple[Path, Mapping[str, str]]:
        """All that the scenario has."""
        return self.layout, self.images

    def bake(self, keys: Sequence[Key], checkout: Path, imported: Imported) -> tuple[list[str], Path]:
        """The scenario's own bake file, in a copy of its folder."""
        assert self.spec.bake is not None
        file = checkout / "files" / self.spec.bake
        words = ["-f", file.name]
        for image, digest in self.images.items():
            words += ["--set", f"*.contexts.{image}=oci-layout://{self.layout}@{digest}"]
        for name, args, platforms in keys:
            words += [word for one in platforms for word in ("--set", f"{name}.platform={one}")]
            words += [word for pair in args for word in ("--set", f"{name}.args.{'='.join(pair)}")]
            for context, value in self.graphs.written(name).contexts.items():
                base = value.removeprefix("target:")
                if base != value and base in imported:
                    layout, digest = imported[base]
                    words += ["--set", f"{name}.contexts.{context}=oci-layout://{layout}@{digest}"]
        return words, file.parent

    def link(self, key: Key, base: str) -> str:
        """As the bake file has it."""
        named = (name for name, value in self.graphs.written(key[0]).contexts.items() if value == f"target:{base}")
        return next(named, "")

    def original(self, key: Key, name: str) -> str | None:
        """They are the scenario's own steps."""
        return None

    def keys(self, key: Key, content: Content) -> Mapping[str, str]:
        """Nobody knows."""
        return {}


class Copy(ClientFiles):
    """A copy of the scenario's files, changed as commits say: a changed file gets blanks at its end, which no language minds."""

    def __init__(self, source: Path, root: Path) -> None:
        super().__init__(root)
        self._source = source
        self._written: dict[str, int] = {}

    def _bring(self, files: Path, content: Content, is_fresh: bool) -> int:
        done = 0
        if not files.exists():
            shutil.copytree(self._source, files, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        wanted = dict(content.versions)
        for path in [path for path in {**self._written, **wanted} if self._written.get(path) != wanted.get(path)]:
            for name in self._below(path):
                self._write(files, name, wanted.get(path))
                done += 1
        self._written = wanted
        if is_fresh:
            for folder, _, names in os.walk(files):
                for name in names:
                    os.utime(Path(folder) / name, follow_symlinks=False)
                    done += 1
        return done

    def _below(self, path: str) -> list[str]:
        """The files that a changed path stands for: all of a folder, or a file, which need not be there yet."""
        place = self._source / path
        if not place.is_dir():
            return [path.rstrip("/")]
        found = (one.relative_to(self._source).as_posix() for one in sorted(place.rglob("*")) if one.is_file())
        return [name for name in found if name not in _LEFT_OUT]

    def _write(self, files: Path, name: str, version: int | None) -> None:
        target = files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        original = self._source / name
        if version is None and not original.exists():
            target.unlink(missing_ok=True)
            return
        text = original.read_bytes() if original.is_file() else b""
        if version is not None:
            bits = hashlib.sha256(f"{name} {version}".encode()).digest()[:8]
            text += b"\n" + bytes(b" \n"[byte >> at & 1] for byte in bits for at in range(8))
        temporary = self.root / ".writing"
        temporary.write_bytes(text)
        if original.is_file():
            shutil.copymode(original, temporary)
        temporary.replace(target)


def as_is(spec: GraphSpec, graphs: Graphs, keys: Mapping[Key, Graph], folder: Path, bases: Mapping[str, Path]) -> AsIs:
    """Make the base images. InputError: a `--base` that nothing is built from; EnvironmentMissing: no busybox to make one of."""
    wanted = images_of(keys.values())
    given = {familiar(name): place for name, place in bases.items()}
    if unknown := sorted(set(given) - set(wanted)):
        raise InputError(f"no step is built from {unknown[0]}", where="--base", hint=f"there are: {', '.join(wanted)}")
    layout = _Layout(folder / _STORE)
    images = {name: layout.image(name, sorted(platforms), given.get(name)) for name, platforms in wanted.items()}
    layout.end()
    return AsIs(spec, graphs, folder / _STORE, images)


def images_of(graphs: Iterable[Graph]) -> dict[str, set[str]]:
    """The base images of graphs by their familiar names, with their platforms."""
    found: dict[str, set[str]] = {}
    for graph in graphs:
        for step in graph.steps:
            if step.kind == "source" and step.source.startswith(_IMAGE):
                found.setdefault(familiar(step.source.removeprefix(_IMAGE)), set()).add(step.platform)
    return found


def familiar(reference: str) -> str:
    """An image's name as a Dockerfile has it: BuildKit looks named contexts up by that (dockerui, NamedContext)."""
    return _HUB.sub("", reference.partition("@")[0]).removesuffix(":latest")


class _Layout:
    """One OCI layout with all base images (image-spec 1.1)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._blobs = folder, folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._listed: list[dict[str, object]] = []

    def image(self, name: str, platforms: Sequence[str], place: Path | None) -> str:
        """The digest of an image's index."""
        try:
            if place is not None and (place / "oci-layout").is_file():
                return self._taken(place)
            tree = place if place is not None else _busybox(name)
            layer = self._add(_LAYER, _packed(tree))
        except OSError as error:
            raise InputError(f"no base image can be made: {error.strerror}", where=str(place or name)) from error
        manifests = []
        for platform in platforms:
            system, architecture, *variant = platform.split("/")
            of = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
            config = {**of, "config": {"Env": [_PATH]}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
            manifest = {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._json(_CONFIG, config),
                "layers": [layer],
            }
            manifests.append({**self._json(_MANIFEST, manifest), "platform": of})
        index = self._json(_INDEX, {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})
        self._listed.append(index)
        return str(index["digest"])

    def end(self) -> None:
        """What makes it a layout."""
        (self._folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self._listed}))
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def _taken(self, place: Path) -> str:
        """All blobs of another layout, and its first image."""
        for blob in (place / "blobs" / "sha256").iterdir():
            shutil.copy2(blob, self._blobs / blob.name)
        try:
            first: dict[str, object] = json.loads((place / "index.json").read_text())["manifests"][0]
            self._listed.append(first)
            return str(first["digest"])
        except (ValueError, LookupError, TypeError) as error:
            raise InputError("no image in this OCI layout", where=str(place)) from error

    def _json(self, media: str, content: object) -> dict[str, object]:
        return self._add(media, json.dumps(content, sort_keys=True).encode())

    def _add(self, media: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / digest).write_bytes(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def _packed(tree: Path | bytes) -> bytes:
    """A layer: a folder with all its owners and modes, or what is a layer already."""
    if isinstance(tree, bytes):
        return tree
    if not tree.is_dir():
        raise InputError("is neither an OCI layout nor a folder", where=str(tree), hint="--base NAME=FOLDER")
    done = subprocess.run(
        ["tar", "-C", str(tree), "--sort=name", "--numeric-owner", "-cf", "-", "."], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise InputError("cannot be packed", where=str(tree), hint=done.stderr.decode(errors="replace").strip()[:200])
    return done.stdout


def _busybox(name: str) -> bytes:
    """A layer with this machine's busybox under all its names."""
    found = shutil.which("busybox")
    if found is None:
        raise EnvironmentMissing(
            f"there is no base image '{name}', and no busybox to make one of",
            hint=f"install busybox-static, or give an image: --base {name}=FOLDER",
        )
    program = Path(found).read_bytes()
    if b"ld-linux" in program[:4096] or b"/lib/ld-musl" in program[:4096]:
        raise EnvironmentMissing("busybox is not static", where=found, hint="install busybox-static")
    applets = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in ("bin", "etc", "root", "tmp", "usr", "usr/bin", "var"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(posixpath.join("bin", applet))
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
                archive.addfile(link)
    return out.getvalue()
