"""What the load program will find and leave, computed beforehand: so a replay knows which execution a request's step is.

In: a graph and the files of a content. Out: by RUN the key that the load reports (`tools_go/load/files.go`, keyOf), or None
where chance is at work. The same hashes as there; a test holds them equal on a real daemon.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.graph.types import Context, Graph, Input
from sim.profile.cost import Cost
from sim.real.recipe.contexts import HEAD_BYTES, PROGRAMS, here
from sim.real.recipe.loads import mode, mounted
from sim.real.recipe.shape import copies, is_document, load_source, needs_load, output_path, places, root, taken
from sim.workload.selection import selected_files, touches

Heads = frozenset[bytes] | None  # None: chance decides


def hashed(*parts: str) -> bytes:
    """The hash of the load program: each part and a line end, cut to a head's length."""
    return hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).digest()[:HEAD_BYTES]


def image_head(digest: str) -> bytes:
    """What the state file of a base image holds."""
    return hashed("image", digest)


def document_head(op: str) -> bytes:
    """What a here-document holds: its operation's hash, written as a script, for one that is run must be one."""
    return f"#!{op}"[:HEAD_BYTES].encode()


@dataclass(slots=True)
class Keys:
    """The keys of one graph at one content. `files`: by path from the scenario's folder, the head of each file.

    `programs`: by platform, the first bytes of the load program, which lies in some images.
    """

    graph: Graph
    costs: Mapping[str, Cost]
    lines: Mapping[str, str]
    files: Mapping[str, bytes]
    programs: Mapping[str, bytes]
    _keys: dict[int, bytes | None] = field(default_factory=dict)

    def key(self, index: int) -> bytes | None:
        """The key of a RUN."""
        if index not in self._keys:
            self._keys[index] = self._key(index)
        return self._keys[index]

    def _key(self, index: int) -> bytes | None:
        graph = self.graph
        base, above = copies(graph, root(graph, index))
        given: list[list[bytes] | None] = [] if base is None else [_one(self._state(base))]
        given += [self._copied(copied) for copied in above]
        for step, path, _ in mounted(graph, index):
            given.append(self._mount(index, step, path))
        documents = [document_head(graph.steps[one.step].op) for one in taken(graph, index) if _is_text(graph, one)]
        if documents:
            given.append(documents)
        parts = ["exec", graph.steps[index].op[:16]]
        for heads in given:
            if heads is None:
                return None
            parts.append(hashed(b"".join(sorted(heads)).hex()).hex())
        return hashed(*parts)

    def _state(self, base: int) -> bytes | None:
        step = self.graph.steps[base]
        return self.key(base) if step.kind == "exec" else image_head(step.digest)

    def _mount(self, index: int, step: int, path: str) -> list[bytes] | None:
        if self.graph.steps[step].kind == "context":
            return self._selected(step, (path,))
        found: list[bytes] = []
        for given in taken(self.graph, index):
            for selected in (given.paths if given.by_content else ("/",)) if given.step == step else ():
                for place in places(self.graph, step, selected):
                    if place.path == path:
                        heads = self._place(place.by, place.step, selected)
                        return None if heads is None else found + heads
        return found

    def _copied(self, index: int) -> list[bytes] | None:
        """The heads of what a COPY takes: what lands in its folder."""
        graph, found = self.graph, list[bytes]()
        for given in taken(graph, index):
            if graph.steps[given.step].kind == "context":
                found += self._selected(given.step, given.paths)
            elif is_document(graph, given.step):
                found.append(document_head(graph.steps[given.step].op))
            else:
                seen: set[str] = set()
                for selected in given.paths:
                    for place in places(graph, given.step, selected):
                        if place.path in seen:
                            continue
                        seen.add(place.path)
                        heads = self._place(place.by, place.step, selected)
                        if heads is None:
                            return None
                        found += heads
        if index in needs_load(graph):
            found += self._programs(index)
        return found

    def _programs(self, index: int) -> list[bytes]:
        """The load programs that a COPY onto nothing brings: all that the context has, or that of the stage."""
        source = load_source(self.graph, index)
        if source is None:
            return []
        step = self.graph.steps[source]
        if step.kind != "context":
            return [self.programs[self.graph.steps[index].platform]]
        folder = posixpath.normpath(posixpath.join(here(self.graph.contexts[step.source].folder), PROGRAMS))
        return [head for name, head in self.files.items() if name.startswith(f"{folder}/")]

    def _place(self, by: str, step: int, selected: str) -> list[bytes] | None:
        if by == "copy":
            return self._copied(step)
        if by == "image":
            return _one(self._state(step))
        key, cost, path = self.key(step), self.costs[self.graph.steps[step].digest], output_path(selected)
        how, line = mode(cost, selected), self.lines[self.graph.steps[step].digest]
        if how == "same":
            return [hashed("out", line, path)]
        if how == "random" or key is None:
            return None
        if how != "key" and int.from_bytes(hashed("same", key.hex())[:8], "big") >> 11 < float(how) * 2**53:
            return [hashed("out", line, path)]
        return [hashed("out", key.hex(), path)]

    def _selected(self, step: int, paths: Sequence[str]) -> list[bytes]:
        context = self.graph.contexts[self.graph.steps[step].source]
        folder = "" if context.folder == "." else f"{here(context.folder)}/"
        inside = {name[len(folder) :]: head for name, head in self.files.items() if name.startswith(folder)}
        listed, unlisted = Context(".", dict.fromkeys(inside, 0), context.exclude), Context(".", {}, context.exclude)
        selected = tuple(paths)
        known = set(context.files)
        return [
            inside[name]
            for name in selected_files(listed, selected)
            if name in known or name.startswith(f"{PROGRAMS}/") or touches(unlisted, selected, name)
        ]


def _one(head: bytes | None) -> list[bytes] | None:
    return None if head is None else [head]


def _is_text(graph: Graph, given: Input) -> bool:
    return is_document(graph, given.step)
