"""A daemon's pool of context copies: what a client must send of its files, and what stays on the runner's disk.

In: the files that a build's COPYs take, their state at the client, who the client is. Out: the bytes to send. The rules are
BuildKit's (source/local/source.go; buildkit-semantics 5, 13.2): a build takes any free copy of its key, else a new, empty
one; it holds the copy as long as it lives; the copy then has exactly what the build selected, and stays.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from heapq import heappop, heappush
from typing import NamedTuple

from sim.graph.types import Context, Graph
from sim.model.store.cache import Cache
from sim.workload.request import Content
from sim.workload.selection import changed_files, selected_files

Stamps = tuple[tuple[str, int], ...]


class Selection:
    """The files of a local context that a build's COPYs take, once a graph: its transfer (FollowPaths, 13.2).

    `files` is their number and `bytes` their sum. A folder of the list counts as one file. Two selections with equal
    `ident` are the same files of the same folder.
    """

    __slots__ = ("_context", "_lacking", "_reached", "base_name", "bytes", "files", "ident", "name", "sizes")

    def __init__(self, context: Context, paths: Iterable[tuple[str, ...]], name: str = "context") -> None:
        taken = dict.fromkeys(file for selectors in paths for file in selected_files(context, selectors))
        self.sizes: Mapping[str, int] = {file: context.files[file] for file in taken}
        self.files = len(taken)
        self.bytes = sum(self.sizes.values())
        self.name = name
        self.base_name = posixpath.basename(posixpath.normpath(context.folder))
        written = "\0".join([posixpath.normpath(context.folder), *sorted(taken)])
        self.ident = blake2b(written.encode(), digest_size=16).digest()
        self._context = context
        self._lacking: dict[bytes, frozenset[str]] = {self.ident: frozenset()}
        self._reached: dict[str, tuple[frozenset[str], int]] = {}

    @classmethod
    def of(cls, graph: Graph, step: int, consumers: Sequence[int] | None = None) -> Selection:
        """What the steps that copy or mount from the graph's context `step` take of it. No file list: no files."""
        found = graph.consumers()[step] if consumers is None else consumers
        source = graph.steps[step].source
        context = graph.contexts.get(source) or Context(source.rpartition("/")[2], {})
        paths = (given.paths for one in found for given in graph.steps[one].inputs if given.step == step)
        return cls(context, paths, source.rpartition("/")[2])

    def bytes_of(self, path: str) -> int:
        """The bytes to send when `path` (a folder ends in `/`) has changed: of a folder all selected files below it.

        A file that the list does not have (it came with a commit) counts 0: nobody knows its size.
        """
        return self._reach(path)[1]

    def to_send(self, before: Selection, changed: Iterable[str]) -> int:
        """The bytes that a copy lacks which had `before` and whose `changed` paths are others at the client, each file once."""
        found = self._lacks(before)
        if len(found) == self.files:
            return self.bytes
        reached = [self._reach(path) for path in changed]
        if not found and len(reached) == 1:
            return reached[0][1]
        return self._sum(found.union(*(files for files, _ in reached)))

    def _lacks(self, before: Selection) -> frozenset[str]:
        """The selected files that a copy made for `before` does not have: none of another folder's can serve."""
        found = self._lacking.get(before.ident)
        if found is None:
            there: Mapping[str, int] = {}
            if posixpath.normpath(before._context.folder) == posixpath.normpath(self._context.folder):
                there = before.sizes
            found = self._lacking[before.ident] = frozenset(file for file in self.sizes if file not in there)
        return found

    def _reach(self, path: str) -> tuple[frozenset[str], int]:
        found = self._reached.get(path)
        if found is None:
            files = frozenset(file for file in changed_files(self._context, path) if file in self.sizes)
            found = self._reached[path] = (files, self._sum(files))
        return found

    def _sum(self, files: Iterable[str]) -> int:
        return sum(self.sizes[file] for file in files)


_Key = tuple[str, str, int]


class Copy:
    """A folder on the runner's disk with one selection's files as they were at one request. No key: never taken again."""

    __slots__ = ("content", "key", "number", "selection", "touches")

    def __init__(self, number: int, key: _Key | None, selection: Selection, content: Content, touches: Stamps) -> None:
        self.number = number
        self.key = key
        self.selection = selection
        self.content = content
        self.touches = touches


class Transfer(NamedTuple):
    """The client lists `files` files and sends `sent_bytes` of them into `copy`."""

    copy: Copy
    files: int
    sent_bytes: int


class ContextCopies:
    """The pool of one runner. `by_client`: buildx's and bake's keys, by client; else buildctl's, one for all (section 5)."""

    __slots__ = ("_by_client", "_cache", "_free", "_held", "_made")

    def __init__(self, cache: Cache, *, by_client: bool = True) -> None:
        self._cache = cache
        self._by_client = by_client
        self._made = 0
        self._free: dict[_Key, list[tuple[int, Copy]]] = {}
        self._held: dict[int, Copy] = {}

    def take(
        self,
        selection: Selection,
        content: Content,
        *,
        client: int | None,
        fresh: bool,
        now_s: float,
        touches: Stamps = (),
    ) -> Transfer:
        """A copy for a build, and what its client sends; the caller gives it back when the build ends.

        `client` None is one that never comes again (a fresh CI job with a config folder of its own): a full send into a
        new copy, which only garbage collection removes. `fresh`: all files were written anew, so all are sent again, though
        into the copy that is there. Else a file is sent when its version or its last touch is not the copy's.
        """
        key: _Key | None = None
        if not self._by_client:
            key = (selection.name, "", 0)
        elif client is not None:
            key = (selection.name, selection.base_name, client)
        copy = None if key is None else self._free_copy(key)
        if copy is None:
            return self._new(key, selection, content, touches, now_s)
        if fresh:
            sent_bytes = selection.bytes
        else:
            sent_bytes = _missing_bytes(copy, selection, content, touches)
        if copy.selection.bytes != selection.bytes:
            self._cache.put_item("context", copy.number, selection.bytes, now_s)
        copy.selection, copy.content, copy.touches = selection, content, touches
        self._cache.hold_item("context", copy.number)
        self._held[copy.number] = copy
        return Transfer(copy, selection.files, sent_bytes)

    def give_back(self, copy: Copy, now_s: float) -> None:
        """The last build that held the copy has ended: others of its key may take it, garbage collection too."""
        self._cache.release_item("context", copy.number, now_s)
        if copy.key is not None:
            del self._held[copy.number]
            heappush(self._free.setdefault(copy.key, []), (copy.number, copy))

    def lose(self, copy: Copy, now_s: float) -> None:
        """The transfer was cancelled or failed: BuildKit removes the copy (source.go: on error remove the record)."""
        self._cache.release_item("context", copy.number, now_s)
        self._cache.drop_item("context", copy.number, now_s)
        self._held.pop(copy.number, None)

    def fork(self, cache: Cache) -> ContextCopies:
        """The pool on a clone of the runner's cache: the same copies, all of them free, as no build came along."""
        clone = ContextCopies(cache, by_client=self._by_client)
        clone._made = self._made
        waiting = [copy for pool in self._free.values() for _, copy in pool]
        for copy in sorted([*waiting, *self._held.values()], key=lambda one: one.number):
            if copy.key is not None:
                twin = Copy(copy.number, copy.key, copy.selection, copy.content, copy.touches)
                clone._free.setdefault(copy.key, []).append((copy.number, twin))
        return clone

    def _free_copy(self, key: _Key) -> Copy | None:
        """The first free copy of the key that garbage collection has left. BuildKit tries them in one fixed order too."""
        pool = self._free.get(key)
        while pool:
            number, copy = heappop(pool)
            if self._cache.has_item("context", number):
                return copy
        return None

    def _new(self, key: _Key | None, selection: Selection, content: Content, touches: Stamps, now_s: float) -> Transfer:
        copy = Copy(self._made, key, selection, content, touches)
        self._made += 1
        self._cache.put_item("context", copy.number, selection.bytes, now_s)
        self._cache.hold_item("context", copy.number)
        if key is not None:
            self._held[copy.number] = copy
        return Transfer(copy, selection.files, selection.bytes)


def _missing_bytes(copy: Copy, selection: Selection, content: Content, touches: Stamps) -> int:
    """What a copy lacks of a selection: files of no earlier selection, and paths whose version or touch is another.

    A path that both have in one state counts as not written in between, wherever the builds between them ran. Left out: a
    client that changes to another branch and back writes the files anew, so it would send them again.
    """
    if copy.content == content and copy.touches == touches:
        return 0 if copy.selection is selection else selection.to_send(copy.selection, ())
    differing = set(copy.content.versions + copy.touches).symmetric_difference(content.versions + touches)
    return selection.to_send(copy.selection, {path for path, _ in differing})
