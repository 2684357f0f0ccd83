"""What each RUN of a recipe does: its cost as the argument of the load program (`tools_go/load/spec.go` has the keys).

In: graphs, costs, a scale. Out: the spec of a step. Times and bytes are scaled, threads are not. Equal steps have equal
specs in all targets, for BuildKit's keys are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import ceil, isfinite

from sim.graph.types import Graph, Step
from sim.profile.cost import Cost
from sim.real.recipe.shape import STATE, copied_folder, copies, output_path, places, root, taken

Costs = Callable[[Graph], Sequence[Cost]]
MOUNTED = "/mnt"
DOCUMENTS = "/dev/pipes"  # dockerfile2llb mounts a here-document with its own interpreter there


@dataclass(slots=True)
class Wanted:
    """By a RUN's operation, the selected paths that others take of it, and the bytes they want there.

    By operation, not by digest: two RUNs of one operation must stay one, for their inputs may turn out equal.
    """

    bytes_of: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, graph: Graph, costs: Sequence[Cost]) -> None:
        """Whatever the steps of a graph select in stages must be there. A COPY's own bytes are what its rule says."""
        for index, step in enumerate(graph.steps):
            selected = [
                place
                for given in taken(graph, index)
                if graph.steps[given.step].kind != "context"
                for path in given.paths
                for place in places(graph, given.step, path)
                if place.by == "run"
            ]
            for place in selected:
                share = costs[index].write_bytes / len(selected) if step.kind == "copy" else 0.0
                paths = self.bytes_of.setdefault(graph.steps[place.step].op, {})
                paths[place.selected] = max(paths.get(place.selected, 0.0), share)


@dataclass(frozen=True, slots=True)
class Loads:
    """Everything that decides a spec but the step. `costs` and `lines` go by digest: the first target's where they differ.

    `lines`: where a step stands, for outputs that survive changed inputs (`line_of`).
    """

    costs: Mapping[str, Cost]
    lines: Mapping[str, str]
    wanted: Wanted
    scale: float = 1.0
    control: str = ""

    def spec(self, graph: Graph, index: int, cpus: float) -> str:
        """The load's `--spec` for a RUN; `cpus` are its runner's, for a step that takes them all."""
        step = graph.steps[index]
        cost = self.costs[step.digest]
        return ",".join(f"{name}={value}" for name, value in self._parts(graph, index, step, cost, cpus))

    def _parts(
        self, graph: Graph, index: int, step: Step, cost: Cost, cpus: float
    ) -> Iterable[tuple[str, str | int | float]]:
        yield "op", step.op[:16]
        yield from (("in", path) for path in given_paths(graph, index))
        for name, time_s in (("latency", cost.latency_s), ("cpu", cost.cpu_s)):
            if time_s > 0:
                yield name, f"{time_s * self.scale:.6f}s"
        amounts = (("download", cost.download_bytes), ("read", cost.read_bytes), ("memory", cost.memory_bytes))
        yield from ((name, self._bytes(amount)) for name, amount in amounts if amount > 0)
        yield "threads", max(1, ceil(min(cost.threads, max(cpus, 1.0))))
        if cost.serial > 0:
            yield "serial", f"{cost.serial:g}"
        if cost.overlap:
            yield "overlap", 1
        if cost.fails >= 1:
            yield "exit", 1
        yield from self._written(step, cost)
        yield "state", STATE
        if cost.same_output is not False and cost.reproducible:
            yield "place", self.lines[step.digest]
        if self.control:
            yield "control", self.control

    def _written(self, step: Step, cost: Cost) -> Iterable[tuple[str, str | int | float]]:
        """What is left in the layer where others look for it, the rest of the layer, cache mounts, and what is removed.

        How the bytes divide is the model's rule: a filled mount saves the share 1 - `warm`, which then lies in it.
        """
        outputs = self.wanted.bytes_of.get(step.op, {})
        in_mounts = cost.write_bytes * (1 - cost.warm) if step.mounts else 0.0
        stated = cost.layer_bytes or cost.write_bytes
        layer = stated if stated != cost.write_bytes else stated - in_mounts
        # Where COPYs do not say how much they take, the layer is what they take of it: it must lie somewhere.
        taken_bytes = sum(outputs.values())
        for path, size in sorted(outputs.items()):
            yield "out", f"{output_path(path)}:{self._bytes(size)}:{mode(cost, path)}"
        rest = layer - taken_bytes
        if rest > 0:
            yield "out", f"/out/{step.op[:12]}:{self._bytes(rest)}:{mode(cost, '')}"
        removed = cost.write_bytes - in_mounts - max(layer, taken_bytes)
        if removed > 0:
            yield "scratch", self._bytes(removed)
        if step.mounts:
            yield from (("mount", mount.target) for mount in step.mounts)
            yield "cached", self._bytes(in_mounts)
            yield "warm", f"{cost.warm:g}"

    def _bytes(self, amount: float) -> int:
        return round(amount * self.scale) if isfinite(amount) else 0


def given_paths(graph: Graph, index: int) -> list[str]:
    """The files that decide what a RUN makes, as the load finds them: its root's key, COPYs since, mounts."""
    below = root(graph, index)
    base, above = copies(graph, below)
    found = [STATE] if base is not None else []
    found += [copied_folder(graph.steps[copied]) for copied in above]
    found += [f"{MOUNTED}/{number}" for number in range(len(mounted(graph, index)))]
    if any(_is_document_of(graph, given.step) for given in taken(graph, index)):
        found.append(DOCUMENTS)
    return found


def mounted(graph: Graph, index: int) -> list[tuple[int, str, bool]]:
    """The bind mounts of a RUN: (step, the path there, whether it is found by content), in order.

    A mount that is not found by content is a writable one of a part, which the graph does not name: any part will do.
    """
    found: list[tuple[int, str, bool]] = []
    for given in taken(graph, index):
        step = graph.steps[given.step]
        if _is_document_of(graph, given.step):
            continue
        if step.kind == "context":
            paths = list(given.paths) or sorted(graph.contexts[step.source].files)[:1]
        elif given.by_content:
            paths = [place.path for path in given.paths for place in places(graph, given.step, path)]
        else:
            paths = [places(graph, given.step, "/")[-1].path]
        found += [(given.step, path, given.by_content) for path in dict.fromkeys(paths)]
    return found


def mode(cost: Cost, path: str) -> str:
    """How an output's bytes come about; `same_output` as the model reads it (a chance is its square root's, twice)."""
    if not cost.reproducible:
        return "random"
    same = cost.same_output
    if isinstance(same, tuple):
        return "same" if any(path == one or path.startswith(one.rstrip("/") + "/") for one in same) else "key"
    if same is True or same is False:
        return "same" if same else "key"
    return f"{same**0.5:g}" if 0 < same < 1 else "same" if same else "key"


def line_of(step: Step) -> str:
    """What an output that survives changed inputs depends on: the line that makes it, arguments left out."""
    text = f"{step.file}:{step.line} {step.kind} {step.platform}" if step.line else step.op
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _is_document_of(graph: Graph, index: int) -> bool:
    return graph.steps[index].kind == "copy" and not graph.steps[index].inputs
