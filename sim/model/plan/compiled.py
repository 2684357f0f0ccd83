"""A graph made ready for the inner loop: plain lists of ints, and the keys of its steps for a content.

In: `Graph` and `Profile`. Out: `Compiled` (once a graph) and `Compiled.keys(content)` (once a commit).

Keys are 64-bit ints, made by Python's hash of int tuples, which no PYTHONHASHSEED changes. Two kinds (buildkit-semantics 2):
the *definition key* hashes the operation and the definition keys of its inputs; for a COPY from a local context, whose
source never has a stable key, the content of the selected paths stands in. A step is *dynamic* when a COPY --from or
a read-only mount of a stage lies at or below it: then its final key needs that stage's content, known only after the
stage has run, or from an earlier build that linked the definition key to the final one.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from math import sqrt
from typing import Final, NamedTuple

from sim.graph import CacheMount, Graph
from sim.graph.read import select
from sim.graph.types import IMAGES
from sim.model.store.contexts import Selection
from sim.profile import Profile
from sim.profile.cost import Cost
from sim.workload.request import Content
from sim.workload.selection import touches

SOURCE: Final = 0
CONTEXT: Final = 1
COPY: Final = 2
EXEC: Final = 3
MERGE: Final = 4
PREAMBLE: Final = 5
KINDS = {"source": SOURCE, "context": CONTEXT, "copy": COPY, "exec": EXEC, "merge": MERGE}
KIND_NAMES = ("source", "context", "copy", "exec", "merge", "source")
_MEMO = 512
# The purpose of the uniform draw of `same_output`, and marks that tell digests of results apart.
_SAME_OUTPUT = 2
_RESULT, _SAME = 78, 77
IMPORT = "target:"


def number(text: str) -> int:
    """A stable non-negative 61-bit int for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 3


class Keys(NamedTuple):
    """Keys at one content: by step the definition key; by (step, input position) the digest of a changed context selection."""

    definition: list[int]
    selected: dict[tuple[int, int], int]


class Compiled:
    """Lists by step index. `content_inputs[i]`: (input position, step, paths, number of paths) of stage contents of step i.

    Two steps are added behind the graph's own: the build definition and the .dockerignore, which every solve loads.
    """

    def __init__(self, graph: Graph, profile: Profile) -> None:
        self.graph = graph
        steps = graph.steps
        self.size = len(steps)
        self.definition, self.dockerignore = self.size, self.size + 1
        self.kinds = [KINDS[step.kind] for step in steps] + [PREAMBLE, PREAMBLE]
        internal = [
            f"[internal] load build definition from {graph.dockerfile.rpartition('/')[2]}",
            "[internal] load .dockerignore",
        ]
        self.names = [step.name for step in steps] + internal
        self.ops = [number(step.op) for step in steps]
        # What a solve loads first is found again only by the other targets of one request (buildkit-semantics 13.1). It asks
        # the main context for .dockerignore, whatever the Dockerfile is called (frontend/dockerui/config.go:543).
        main = graph.main_context()
        ignored = "" if main is None else main.folder
        self.ops += [number(f"definition {graph.dockerfile}"), number(f"dockerignore {ignored}")]
        self.digests = [step.digest for step in steps] + ["", ""]
        self.platforms = [step.platform for step in steps] + ["", ""]
        self.inputs = [tuple(given.step for given in step.inputs) for step in steps] + [(), ()]
        self.consumers = [tuple(found) for found in graph.consumers()] + [(), ()]
        self.mounts = [step.mounts for step in steps] + [(), ()]
        self.has_locks = any(mount.sharing == "locked" for step in steps for mount in step.mounts)
        self.costs: list[Cost] = [*profile.costs(graph), *_preamble(profile)]
        self.results = graph.results
        # Bases of other projects, imported as images (`sim.graph.cut`): their keys follow the base's result.
        self.imports = {
            index: step.source.removeprefix(IMPORT)
            for index, step in enumerate(steps)
            if step.kind == "source" and step.source.startswith(IMPORT)
        }
        # Those that the frontend asks for: not what is below a linked target, whose graph it is given.
        given = {step.digest for step in select(graph, [link.step for link in graph.links]).steps}
        self.images = [
            at for at, step in enumerate(steps) if step.source.startswith(IMAGES) and step.digest not in given
        ]
        # The snapshots that a step's own stands on: the root of a RUN, the destination of a COPY, all sides of a merge.
        self.parents = [
            tuple(given.step for given in step.inputs if not given.by_content and self.kinds[given.step] != CONTEXT)
            for step in steps
        ] + [(), ()]
        self.layer_bytes, self.mount_bytes = _stored_bytes(self.costs, self.mounts)
        self.layers = self._chain()
        self._classify()
        self._parts = [self._key_parts(index) for index in range(self.size)]
        self._touched: dict[str, tuple[tuple[tuple[int, int], ...], int]] = {}
        self._keys: dict[Content, Keys] = {}
        self._selections: dict[int, Selection] = {}

    def _classify(self) -> None:
        """Which steps lie below a local context, and which need a stage's content for their final key."""
        self.below_context = [False] * (self.size + 2)
        self.dynamic = [False] * (self.size + 2)
        self.content_inputs: list[tuple[tuple[int, int, tuple[str, ...], int], ...]] = [()] * (self.size + 2)
        for index, step in enumerate(self.graph.steps):
            self.dynamic[index] = index in self.imports
            found = []
            for position, given in enumerate(step.inputs):
                kind = self.kinds[given.step]
                if kind == CONTEXT or self.below_context[given.step]:
                    self.below_context[index] = True
                if given.by_content and kind in (COPY, EXEC, MERGE):
                    found.append((position, given.step, given.paths, number("|".join(given.paths))))
                if self.dynamic[given.step]:
                    self.dynamic[index] = True
            if found:
                self.dynamic[index] = True
                self.content_inputs[index] = tuple(found)
        self.content_positions = [frozenset(given[0] for given in found) for found in self.content_inputs]

    def _key_parts(self, index: int) -> tuple[tuple[int, int, int], ...]:
        """For each input: (step or -1 for a context's selection, number of the selected paths, input position)."""
        parts = []
        for position, given in enumerate(self.graph.steps[index].inputs):
            paths = "|".join(given.paths)
            if self.kinds[given.step] == CONTEXT:
                folder = self.graph.contexts[self.graph.steps[given.step].source].folder
                parts.append((-1, number(f"{folder}:{paths}"), position))
            else:
                parts.append((given.step, number(paths) if paths else 0, position))
        return tuple(parts)

    def keys(self, content: Content) -> Keys:
        """The definition keys of all steps at this content, and what their context selections are."""
        keys = self._keys.get(content)
        if keys is None:
            if len(self._keys) >= _MEMO:
                self._keys.clear()
            keys = self._keys[content] = self._make_keys(content)
        return keys

    def _make_keys(self, content: Content) -> Keys:
        selected: dict[tuple[int, int], int] = {}
        for path, version in content.versions:
            places, path_number = self._touches(path)
            for place in places:
                # Doubled, for Python hashes -1 and -2 alike, and those are the versions of the first two edits.
                selected[place] = hash((selected.get(place, 0), path_number, 2 * version))
        definition: list[int] = []
        for index, parts in enumerate(self._parts):
            key = self.ops[index]
            for step, paths, position in parts:
                found = selected.get((index, position), 1) if step < 0 else definition[step]
                key = hash((key, paths, found))
            definition.append(key)
        return Keys(definition, selected)

    def _touches(self, path: str) -> tuple[tuple[tuple[int, int], ...], int]:
        """The (step, input position) of every context selection that a change of `path` reaches, and the path's number."""
        places = self._touched.get(path)
        if places is None:
            graph = self.graph
            reached = tuple(
                (index, position)
                for index, step in enumerate(graph.steps)
                for position, given in enumerate(step.inputs)
                if self.kinds[given.step] == CONTEXT
                and touches(graph.contexts[graph.steps[given.step].source], given.paths, path)
            )
            places = self._touched[path] = (reached, number(path))
        return places

    def final_key(self, index: int, selected: dict[tuple[int, int], int], finals: list[int]) -> int:
        """The final key of a dynamic step; `finals` has, by input position, a final key or a stage content's digest."""
        key = self.ops[index]
        for step, paths, position in self._parts[index]:
            found = selected.get((index, position), 1) if step < 0 else finals[position]
            key = hash((key, paths, found))
        return key

    def import_key(self, index: int, result: int) -> int:
        """The key of a base that is imported from another project as an image: its content is its identity."""
        return hash((self.ops[index], result))

    def link_key(self, index: int, keys: Keys, imported: Mapping[str, int]) -> int:
        """The definition key of a dynamic step, told apart by what was imported below it."""
        key = keys.definition[index]
        return hash((key, *(imported[base] for base in self.imports.values()))) if self.imports else key

    def selection(self, index: int) -> Selection:
        """What is sent of the local context of this step."""
        selection = self._selections.get(index)
        if selection is None:
            selection = self._selections[index] = Selection.of(self.graph, index, self.consumers[index])
        return selection

    def _chain(self) -> list[int]:
        """The steps whose layers the results consist of, bases first."""
        found: dict[int, None] = {}
        stack = [(index, False) for index in reversed(self.results)]
        while stack:
            index, is_below_done = stack.pop()
            if is_below_done:
                found[index] = None
            elif index not in found:
                stack.append((index, True))
                stack.extend((given, False) for given in reversed(self.parents[index]))
        return list(found)


def _stored_bytes(costs: list[Cost], mounts: list[tuple[CacheMount, ...]]) -> tuple[list[float], list[float]]:
    """By step, the bytes of its layer and of what it leaves in its cache mounts.

    A filled mount saves a share 1 - `warm` of what a step writes: that much is in the mount, not in the layer, unless
    the rule states another layer.
    """
    layers, held = [], []
    for cost, mounted in zip(costs, mounts, strict=True):
        mount_bytes = cost.write_bytes * (1 - cost.warm) if mounted else 0.0
        stated = cost.layer_bytes if cost.layer_bytes else cost.write_bytes
        layers.append(stated if stated != cost.write_bytes else stated - mount_bytes)
        held.append(mount_bytes)
    return layers, held


def _preamble(profile: Profile) -> tuple[Cost, Cost]:
    daemon = profile.daemon
    return Cost(cpu_s=daemon.definition_cpu_s), Cost(cpu_s=daemon.dockerignore_cpu_s)


def usual_result(compiled: Compiled, index: int, key: int, profile: Profile, seed: int) -> int:
    """The digest of what a step makes: a function of its key, unless its output survives changed inputs."""
    same = compiled.costs[index].same_output
    if same is True:
        return same_result(compiled, index)
    # Two versions in a row give the same bytes with probability `same`: each gives the usual ones with its root.
    if same and not isinstance(same, tuple) and profile.uniform(seed, key, 0, _SAME_OUTPUT) < sqrt(same):
        return same_result(compiled, index)
    return hash((key, _RESULT))


def same_result(compiled: Compiled, index: int) -> int:
    """The digest of an output that survives changed inputs, arguments among them: it belongs to the line that makes it."""
    step = compiled.graph.steps[index]
    place = number(f"{step.file}:{step.line} {step.kind} {step.platform}") if step.line else compiled.ops[index]
    return hash((place, _SAME))
