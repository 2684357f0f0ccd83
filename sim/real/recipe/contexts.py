"""The files that builds send, made up: folders as the scenario's, files of the listed sizes, bytes that follow versions.

In: graphs' contexts and a scale; then a request's `Content`. Out: a `Checkout`: a folder of files at that content, as one
client has it. A file is a function of its path and of the versions that reach it: equal versions mean equal bytes.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.graph.types import Graph
from sim.real.files import ClientFiles
from sim.workload.request import Content

HEAD_BYTES = 16  # a file's first bytes are its identity; the load program looks at no more (tools_go/load/files.go)
_REST = ".rest"  # stands for a folder whose files are not listed
_IGNORE = ".dockerignore"
PROGRAMS = ".load"  # the folder of load programs in a context
_CHUNK = 1 << 20
_RANDOM_OF_64 = 20  # gzip leaves 0.35 of it, as of usual images (sim.profile.constants, gzip_share)
_PATTERN = re.compile(r"[*?\[\\]")
Versions = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Contexts:
    """All files of a scenario's contexts by path from its folder, with their bytes; .dockerignore texts by folder.

    `programs`: by folder, the load programs that lie in it for RUNs on an empty image.
    """

    sizes: Mapping[str, int]
    ignored: Mapping[str, tuple[str, ...]]
    programs: Mapping[str, Mapping[str, Path]]

    @classmethod
    def of(
        cls, graphs: Iterable[Graph], scale: float, programs: Mapping[str, Mapping[str, Path]] | None = None
    ) -> Contexts:
        """The contexts of these graphs. Where one folder has several .dockerignores, those that hide least win."""
        sizes: dict[str, int] = {}
        ignored: dict[str, tuple[str, ...]] = {}
        for graph in graphs:
            for source, context in graph.contexts.items():
                folder = here(context.folder)
                for name, size in context.files.items():
                    path = posixpath.normpath(posixpath.join(folder, name))
                    path = f"{path}/{_REST}" if name.endswith("/") else path
                    sizes[path] = max(sizes.get(path, 0), _scaled(size, scale))
                for path in _named(graph, source):
                    if not _holds(sizes, posixpath.normpath(posixpath.join(folder, path))):
                        sizes[posixpath.normpath(posixpath.join(folder, path))] = HEAD_BYTES
                if folder not in ignored or len(context.exclude) < len(ignored[folder]):
                    ignored[folder] = context.exclude
        return cls(sizes, ignored, programs or {})

    def heads(self, content: Content) -> dict[str, bytes]:
        """The first bytes of every file at a content, by path; .dockerignores among them."""
        found = {path: head(path, reached) for path, reached in self.versions(content).items()}
        for folder in self.ignored:
            path = posixpath.normpath(posixpath.join(folder, _IGNORE))
            if path in found:
                found[path] = f"#{found[path].hex()}".encode()[:HEAD_BYTES]
        for folder, programs in self.programs.items():
            for name, program in programs.items():
                with program.open("rb") as file:
                    found[posixpath.normpath(posixpath.join(folder, name))] = file.read(HEAD_BYTES)
        return found

    def versions(self, content: Content) -> dict[str, Versions]:
        """For every file the changes that reach it: its own, of a folder around it, or a new file's."""
        found: dict[str, Versions] = dict.fromkeys(self.sizes, ())
        for written, version in content.versions:
            path = here(written)
            change = (written, version)
            inside = f"{path}/"
            if path in self.sizes:
                reached = [path]
            else:
                reached = [name for name in self.sizes if path == "." or name.startswith(inside)]
            if not reached:
                reached = [name for name in self.sizes if _stands_for(name, path)]
            if not reached and not written.endswith("/"):
                reached = [path]
            for name in reached:
                found[name] = (*found.get(name, ()), change)
        return found


class Checkout(ClientFiles):
    """Files made up as the scenario's contexts are."""

    def __init__(self, contexts: Contexts, root: Path) -> None:
        super().__init__(root)
        self._contexts = contexts
        self._written: dict[str, Versions] = {}

    def _bring(self, files: Path, content: Content, is_fresh: bool) -> int:
        wanted = self._contexts.versions(content)
        done = 0
        if not self._written:
            shutil.rmtree(files, ignore_errors=True)
            self._prepare(files)
        for path in [path for path in self._written if path not in wanted]:
            (files / path).unlink(missing_ok=True)
            del self._written[path]
            done += 1
        for path, versions in wanted.items():
            if self._written.get(path) != versions:
                self._write(files, path, versions)
                self._written[path] = versions
                done += 1
            elif is_fresh:
                os.utime(files / path)
                done += 1
        return done

    def _below(self, path: str) -> Iterable[str]:
        inside = here(path)
        return (name for name in self._written if name == inside or name.startswith(f"{inside}/"))

    def _prepare(self, files: Path) -> None:
        files.mkdir(parents=True, exist_ok=True)
        for folder, patterns in self._contexts.ignored.items():
            (files / folder).mkdir(parents=True, exist_ok=True)
            path = posixpath.normpath(posixpath.join(folder, _IGNORE))
            if path not in self._contexts.sizes and (patterns or folder in self._contexts.programs):
                (files / path).write_bytes(self._ignore(folder, b""))
        for folder, programs in self._contexts.programs.items():
            for name, program in programs.items():
                (files / folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(program, files / folder / name)

    def _write(self, files: Path, path: str, versions: Versions) -> None:
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.root / ".writing"
        folder, name = posixpath.split(path)
        with temporary.open("wb") as file:
            if name == _IGNORE and (folder or ".") in self._contexts.ignored:
                file.write(self._ignore(folder or ".", head(path, versions)))
            else:
                size = self._contexts.sizes.get(path, HEAD_BYTES)
                for chunk in body(head(path, versions), size):
                    file.write(chunk)
        temporary.replace(target)

    def _ignore(self, folder: str, version: bytes) -> bytes:
        """A .dockerignore; one that was not sent before is not sent now, and the load programs always are."""
        lines = [f"#{version.hex()}"] if version else []
        lines += self._contexts.ignored[folder]
        if not version:
            lines.append(_IGNORE)
        lines += [f"!{PROGRAMS}"] if folder in self._contexts.programs else []
        return ("\n".join(lines) + "\n").encode()


def here(path: str) -> str:
    """A path from the scenario's folder as one below the checkout's; what lies outside gets a place inside."""
    clean = posixpath.normpath(path.strip("/") or ".") if not path.startswith("..") else posixpath.normpath(path)
    return "/".join("_outside" if part == ".." else part for part in clean.split("/"))


def head(path: str, versions: Versions) -> bytes:
    """The first bytes of a file."""
    return hashlib.sha256(f"{path}\n{sorted(versions)}".encode()).digest()[:HEAD_BYTES]


def body(identity: bytes, size: int) -> Iterator[bytes]:
    """A file of this size, in chunks: its identity, and bytes of which gzip leaves about a third."""
    if size <= HEAD_BYTES:
        yield identity
        return
    chunk = bytearray(_pool())
    chunk[:HEAD_BYTES] = identity
    for done in range(0, size, _CHUNK):
        chunk[HEAD_BYTES : HEAD_BYTES + 8] = done.to_bytes(8, "little")
        yield bytes(chunk[: min(_CHUNK, size - done)])


def _pool(made: list[bytes] = []) -> bytes:  # noqa: B006  (made once a process)
    if not made:
        drawn = hashlib.shake_128(b"buildcast").digest(_CHUNK // 64 * _RANDOM_OF_64)
        lines = (drawn[at : at + _RANDOM_OF_64] for at in range(0, len(drawn), _RANDOM_OF_64))
        made.append(b"".join(line.ljust(64, b"\0") for line in lines))
    return made[0]


def _scaled(size: int, scale: float) -> int:
    return max(HEAD_BYTES, round(size * scale))


def _named(graph: Graph, source: str) -> Iterator[str]:
    """The paths without a pattern that steps take of a context."""
    for step in graph.steps:
        for given in step.inputs:
            if graph.steps[given.step].source == source and graph.steps[given.step].kind == "context":
                yield from (path.strip("/") for path in given.paths if path.strip("/") and not _PATTERN.search(path))


def _holds(sizes: Mapping[str, int], path: str) -> bool:
    return path in sizes or any(name.startswith(f"{path}/") for name in sizes)


def _stands_for(name: str, path: str) -> bool:
    """Is `name` the rest of a folder that holds `path`?"""
    folder = name.removesuffix(_REST)
    return folder != name and (folder == "" or path.startswith(folder))
