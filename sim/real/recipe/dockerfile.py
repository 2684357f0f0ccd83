"""A graph written as a Dockerfile again: one stage a step, its RUNs being synthetic loads.

In: a graph, what each RUN does, names for images and linked targets. Out: the text; BuildKit's frontend makes of it a graph
of the same shape, and the name of each vertex holds the number of the step (`[s7 1/1] RUN ...`).
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sim.errors import InputError
from sim.graph.types import CacheMount, Graph, Input, Step
from sim.real.recipe.contexts import PROGRAMS
from sim.real.recipe.keys import document_head
from sim.real.recipe.loads import MOUNTED, mounted
from sim.real.recipe.shape import (
    LOAD,
    copied_folder,
    entry,
    is_document,
    link_steps,
    linked_copy,
    needs_load,
    places,
    root,
    taken,
)

_STAGE = re.compile(r"^\[(?:[^\]]* )?s(?P<number>\d+) +\d+/\d+\] (?P<command>.*)$", re.DOTALL)
_NAMED = re.compile(r"^\[(?:[^\]]* )?context (?P<name>(?:image|target)-\d+)\] (?!load metadata)")


@dataclass(frozen=True, slots=True)
class Names:
    """How steps and what they start from are called in all Dockerfiles of a recipe: equal steps alike.

    `steps`: number by digest. `images`: context name by a source's digest. `targets`: by target. `native`: the platform
    here that stands for one of the scenario's.
    """

    steps: Mapping[str, int]
    images: Mapping[str, str]
    targets: Mapping[str, str]
    native: Mapping[str, str]

    def stage(self, graph: Graph, index: int) -> str:
        """The name of a step's stage."""
        return f"s{self.steps[graph.steps[index].digest]}"

    def image(self, step: Step) -> str:
        """The name of a source's image; empty for any other step."""
        return self.images.get(step.digest, "")


@dataclass(frozen=True, slots=True)
class Vertex:
    """What a vertex name of the synthetic build says: a step's number, or the name of an image or a linked target."""

    number: int = -1
    named: str = ""
    is_link: bool = False


def vertex(name: str) -> Vertex | None:
    """Read a vertex name, whatever buildx puts in front of it; None for BuildKit's own vertices."""
    if found := _STAGE.match(name):
        return Vertex(number=int(found["number"]), is_link=found["command"].startswith("LINK "))
    if found := _NAMED.match(name):
        return Vertex(named=found["name"])
    return None


def render(
    graph: Graph,
    names: Names,
    spec_of: Callable[[int], str],
) -> str:
    """The Dockerfile. `spec_of` a RUN: what it does. No command of the user's is in it."""
    writer = _Writer(graph, names, spec_of)
    lines: list[str] = []
    for index in _own_steps(graph):
        lines += [*writer.stage(index), ""]
    if len(graph.platforms) == 1:
        lines.append(f"FROM {names.stage(graph, graph.results[0])} AS result")
    else:
        for platform, result in zip(graph.platforms, graph.results, strict=True):
            lines.append(f"FROM {names.stage(graph, result)} AS result-{_suffix(names.native.get(platform, platform))}")
        lines.append("FROM result-${TARGETARCH}${TARGETVARIANT} AS result")
    return "\n".join(lines) + "\n"


def _own_steps(graph: Graph) -> list[int]:
    """The steps that become stages: not what stands behind a link, no contexts, no parts of a COPY --link."""
    links = link_steps(graph)
    needed: set[int] = set()
    stack = list(graph.results)
    while stack:
        at = stack.pop()
        if at in needed:
            continue
        needed.add(at)
        if at not in links:
            copied = linked_copy(graph, at)
            below = [given.step for given in graph.steps[at].inputs if given.step != copied]
            stack += below if copied is None else [*below, *(given.step for given in graph.steps[copied].inputs)]
    return [index for index in sorted(needed) if graph.steps[index].kind != "context" and not is_document(graph, index)]


@dataclass(slots=True)
class _Writer:
    graph: Graph
    names: Names
    spec_of: Callable[[int], str]

    def stage(self, index: int) -> list[str]:
        step = self.graph.steps[index]
        name = self.names.stage(self.graph, index)
        target = link_steps(self.graph).get(index)
        if target is not None:
            return [f"FROM {self._platform(step.platform)}{self.names.targets[target]} AS {name}"]
        if step.kind == "source":
            return [f"FROM {self._platform(step.platform)}{self.names.image(step)} AS {name}"]
        below = root(self.graph, index)
        start = f"FROM {'scratch' if below is None else self.names.stage(self.graph, below)} AS {name}"
        if step.kind == "exec":
            return [start, *self._run(index)]
        copied = linked_copy(self.graph, index)
        if copied is not None:
            return [start, *self._copy(copied, "--link ")]
        if not taken(self.graph, index):
            return [start, f"WORKDIR /w/{step.op[:12]}"]
        return [start, *self._copy(index, "")]

    def _platform(self, platform: str) -> str:
        return f"--platform={self.names.native.get(platform, platform)} " if len(self.graph.platforms) > 1 else ""

    def _run(self, index: int) -> list[str]:
        step, graph = self.graph.steps[index], self.graph
        flags = [_cache_flag(mount) for mount in step.mounts]
        program = entry(graph, root(graph, index), step.platform)
        for number, (source, path, by_content) in enumerate(mounted(graph, index)):
            flags.append(self._bind_flag(source, path, f"{MOUNTED}/{number}", by_content))
            if not program and graph.steps[source].kind != "context" and (there := entry(graph, source, step.platform)):
                program = LOAD
                flags.append(self._bind_flag(source, there, LOAD, True))
        if not program:
            raise InputError(
                f"'{step.name}' runs on an empty image, which no replay can fill with its own program",
                hint="replay it with --as-is",
            )
        command = [program, "--spec", self.spec_of(index)]
        documents = [given for given in taken(graph, index) if is_document(graph, given.step)]
        lead = "".join(f"{flag} " for flag in flags)
        if not documents:
            return [f"RUN {lead}{json.dumps(command)}"]
        # Only a script with its own interpreter is a file of its own; the shell in front of it can be any program.
        head = document_head(graph.steps[documents[0].step].op).decode()
        return [f"SHELL {json.dumps(command)}", f"RUN {lead}<<DOCUMENT", head, "DOCUMENT"]

    def _bind_flag(self, source: int, path: str, target: str, by_content: bool) -> str:
        step = self.graph.steps[source]
        parts = ["type=bind"]
        if step.kind == "context":
            if (mount := _context_name(step.source)) != "context":
                parts.append(f"from={mount}")
        else:
            parts.append(f"from={self.names.stage(self.graph, source)}")
        source_path = posixpath.join("/", path.lstrip("/")).rstrip("/") or "/"
        parts += [f"source={source_path}", f"target={target}"]
        if not by_content:
            parts.append("rw")
        return f"--mount={_csv(parts)}"

    def _copy(self, index: int, flags: str) -> list[str]:
        """One instruction for each stage that is copied from: BuildKit's text has one source a COPY."""
        graph, step = self.graph, self.graph.steps[index]
        target = copied_folder(step) + "/"
        documents = [given for given in taken(graph, index) if is_document(graph, given.step)]
        others = [given for given in taken(graph, index) if given not in documents]
        lines: list[str] = []
        brings_load = index in needs_load(graph)
        each: list[Input | None] = [*others] or [None]
        for given in each:
            source, words = ("", []) if given is None else self._copied(given, step.platform, brings_load)
            here = documents if given in (None, others[-1] if others else None) else []
            if here:
                marks = [f"<<{_mark(graph, one)}" for one in here]
                lines.append(f"COPY {flags}{source}{' '.join([*map(_bare, words), *marks])} {target}")
                for one in here:
                    lines += [document_head(graph.steps[one.step].op).decode(), _mark(graph, one)]
            else:
                lines.append(f"COPY {flags}{source}{json.dumps([*map(_word, words), target])}")
            brings_load = False
        return lines

    def _copied(self, given: Input, platform: str, brings_load: bool) -> tuple[str, list[str]]:
        """The `--from` and the paths of one input."""
        graph, step = self.graph, self.graph.steps[given.step]
        if step.kind == "context":
            mount = _context_name(step.source)
            words = [path.lstrip("/") or "." for path in given.paths]
            words += [PROGRAMS] if brings_load else []
            flags = "--parents " if any("**" in word for word in words) else ""
            return (flags if mount == "context" else f"--from={mount} {flags}"), words
        found = [place.path for path in given.paths for place in places(graph, given.step, path)]
        found += [entry(graph, given.step, platform)] if brings_load else []
        return f"--from={self.names.stage(graph, given.step)} ", list(dict.fromkeys(filter(None, found)))


def _context_name(source: str) -> str:
    return source.removeprefix("local://").rpartition("/")[2]


def _cache_flag(mount: CacheMount) -> str:
    parts = ["type=cache", f"target={mount.target}"]
    if mount.id != mount.target:
        parts.append(f"id={mount.id}")
    if mount.sharing != "shared":
        parts.append(f"sharing={mount.sharing}")
    return f"--mount={_csv(parts)}"


def _csv(parts: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([part.replace("$", "\\$") for part in parts])
    return out.getvalue()


def _word(path: str) -> str:
    """A path as a COPY's word: what the Dockerfile would expand or unquote stands for itself."""
    return re.sub(r"([\\$'\"])", r"\\\1", path)


def _bare(path: str) -> str:
    return re.sub(r"([\\$'\" ])", r"\\\1", path)


def _mark(graph: Graph, given: Input) -> str:
    name = posixpath.basename((given.paths or ("/",))[0]) or "DOCUMENT"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _suffix(platform: str) -> str:
    """TARGETARCH and TARGETVARIANT of a platform; arm64's v8 is no variant (containerd/platforms, Normalize)."""
    _, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return architecture + ("" if (architecture, variant) == ("arm64", "v8") else variant)
