"""A scenario's graphs written as a folder that BuildKit builds: synthetic Dockerfiles, base images, a bake file.

In: the graphs that a run builds, their costs, a scale. Out: a `Recipe`: what to hand to buildctl or buildx, and the way back
from a vertex's name to the step it stands for. No build argument's value and no secret gets into any file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from sim.errors import InputError, replacing
from sim.graph.read import unite
from sim.graph.types import Graph
from sim.profile.cost import Cost
from sim.real.recipe.contexts import PROGRAMS, Contexts, here
from sim.real.recipe.dockerfile import Names, render, vertex
from sim.real.recipe.images import Image, image_words, write_layout
from sim.real.recipe.keys import Keys
from sim.real.recipe.loads import Costs, Loads, Wanted, line_of
from sim.real.recipe.shape import LOAD, is_document, link_steps, linked_copy, load_source, needs_load, program_folder
from sim.workload.request import Content

Args = tuple[tuple[str, str], ...]
Key = tuple[str, Args, tuple[str, ...]]  # target, arguments, platforms: as Graphs.graph is asked
_STORE = "images"


@dataclass(frozen=True, slots=True)
class Build:
    """What one target needs to be built. Folders are relative to a `Checkout`'s root.

    `locals`: local sources by name, `context` among them. `images`: index digest by context name. `links`: the targets it
    takes as named contexts, with the names of those. `platforms` are those here.
    """

    target: str
    dockerfile: Path
    locals: Mapping[str, str]
    images: Mapping[str, str]
    links: Mapping[str, str]
    platforms: tuple[str, ...]
    layout: Path

    def buildctl(self, checkout: Path, imported: Mapping[str, tuple[Path, str]] | None = None) -> list[str]:
        """The arguments of `buildctl build`, output left out. `imported`: OCI layout and digest by linked target."""
        words = ["--frontend", "dockerfile.v0", "--opt", f"filename={self.dockerfile.name}"]
        words += ["--opt", f"platform={','.join(self.platforms)}", "--local", f"dockerfile={self.dockerfile.parent}"]
        for name, folder in self.locals.items():
            words += ["--local", f"{name}={checkout / folder}"]
            if name != "context":
                words += ["--opt", f"context:{name}=local:{name}"]
        words += image_words(self.layout, self.images)
        for target, (layout, digest) in (imported or {}).items():
            name = self.links[target]
            words += ["--oci-layout", f"{name}={layout}", "--opt", f"context:{name}=oci-layout://{name}@{digest}"]
        return words


@dataclass(frozen=True, slots=True)
class Recipe:
    """A folder of synthetic builds. `bakes`: a bake file by (arguments, platforms together on one daemon or not)."""

    folder: Path
    contexts: Contexts
    builds: Mapping[Key, Build]
    bakes: Mapping[tuple[Args, bool], Path]
    _graphs: Mapping[Key, Graph]
    _names: Names
    _costs: Mapping[str, Cost]
    _lines: Mapping[str, str]
    _programs: Mapping[str, bytes]
    _steps: dict[Key, dict[int, int]] = field(default_factory=dict)

    def original(self, key: Key, name: str) -> tuple[int, str] | None:
        """The step of a graph that a vertex name of its build stands for, and its true name; None: BuildKit's own.

        Here-documents of one graph all have one name: any of them stands for the first.
        """
        graph = self._graphs[key]
        index = self._index(key, graph, name)
        return None if index is None else (index, graph.steps[index].name)

    def keys(self, key: Key, content: Content) -> dict[int, str]:
        """By RUN of a graph the key that its load reports at this content; none where chance is at work."""
        graph = self._graphs[key]
        keys = Keys(graph, self._costs, self._lines, self.contexts.heads(content), self._programs)
        runs = ((index, keys.key(index)) for index, step in enumerate(graph.steps) if step.kind == "exec")
        return {index: found.hex() for index, found in runs if found is not None}

    def _index(self, key: Key, graph: Graph, name: str) -> int | None:
        read = vertex(name)
        if read is None:
            bare = re.sub(r"^\[\S+ ", "[", name, count=1)  # buildx puts the target in front
            return next(
                (
                    at
                    for at, step in enumerate(graph.steps)
                    if (step.kind == "context" or is_document(graph, at)) and step.name in (name, bare)
                ),
                None,
            )
        if read.named:
            links = {self._names.targets[target]: step for step, target in link_steps(graph).items()}
            images = (at for at, step in enumerate(graph.steps) if self._names.image(step) == read.named)
            return links.get(read.named, next(images, None))
        if key not in self._steps:
            self._steps[key] = {self._names.steps[step.digest]: at for at, step in enumerate(graph.steps)}
        index = self._steps[key].get(read.number)
        copied = None if index is None else linked_copy(graph, index)
        return index if copied is None or read.is_link else copied


def write(
    graphs: Mapping[Key, Graph],
    costs: Costs,
    folder: Path,
    *,
    programs: Mapping[str, Path],
    scale: float = 1.0,
    cpus: Callable[[str, str], float] = lambda target, platform: 1.0,
    control: str = "",
    groups: Mapping[str, Sequence[str]] | None = None,
    native: Mapping[str, str] | None = None,
    pull: bool = False,
) -> Recipe:
    """Write the recipe of these graphs (uncut: linked bases in them) into a new folder.

    `programs`: the load program by platform here (`tools.ensure("load", say, platform)`). `native`: the platform here for
    one of the scenario's that cannot run here. `cpus(target, platform)`: the runner's, for steps that take all.
    `control`: address of a `Control`. `pull`: images weigh what their sources' costs write.
    Raises InputError for a graph that cannot be rewritten, and EnvironmentMissing when the disk is full.
    """
    if scale <= 0:
        raise InputError("--scale must be above 0")
    return _Writing(graphs, costs, folder, programs, scale, cpus, control, dict(native or {})).recipe(
        groups or {}, pull
    )


class _Writing:
    """One recipe in the making."""

    def __init__(
        self,
        graphs: Mapping[Key, Graph],
        costs: Costs,
        folder: Path,
        programs: Mapping[str, Path],
        scale: float,
        cpus: Callable[[str, str], float],
        control: str,
        native: Mapping[str, str],
    ) -> None:
        self.graphs = {key: graphs[key] for key in sorted(graphs)}
        self.folder, self.programs, self.scale, self.cpus = folder.absolute(), programs, scale, cpus
        self.native = native
        self._check_platforms()
        self.costs: dict[str, Cost] = {}
        self.lines: dict[str, str] = {}
        wanted = Wanted()
        for graph in self.graphs.values():
            by_step = costs(graph)
            wanted.add(graph, by_step)
            for step, cost in zip(graph.steps, by_step, strict=True):
                self.costs.setdefault(step.digest, cost)
                self.lines.setdefault(step.digest, line_of(step))
        self.loads = Loads(self.costs, self.lines, wanted, scale, control)
        self.names = self._name()
        self.variants = list(dict.fromkeys(args for _, args, _ in self.graphs))

    def _check_platforms(self) -> None:
        for (target, _, platforms), graph in self.graphs.items():
            if len({self.native.get(platform, platform) for platform in platforms}) < len(platforms):
                raise InputError(f"target '{target}': one platform here cannot stand for two of {', '.join(platforms)}")
            for platform in {*platforms, *(step.platform for step in graph.steps)}:
                if self.native.get(platform, platform) not in self.programs:
                    raise InputError(
                        f"target '{target}' is built for {platform}, which does not run here",
                        hint=f"let another platform stand for it: {', '.join(sorted(self.programs))}",
                    )

    def recipe(self, groups: Mapping[str, Sequence[str]], pull: bool) -> Recipe:
        contexts = Contexts.of(self.graphs.values(), self.scale, self._context_programs())
        images = self._images(pull)
        digests = write_layout(images, self.programs, self.native, self.folder / _STORE)
        builds: dict[Key, Build] = {}
        for (target, args), keys in self._sets().items():
            alone = [key for key in keys if len(key[2]) == 1]
            for together in ([alone] if alone else []) + [[key] for key in keys if len(key[2]) > 1]:
                graph = unite([self.graphs[key] for key in together])
                suffix = "" if together is alone or together == alone else "-together"
                name = f"Dockerfile.{_slug(target)}{self._variant(args)}{suffix}"
                path = self._write_dockerfile(name, graph, contexts)
                for key in together:
                    builds[key] = self._build(key, path, digests)
        bakes = {
            (args, is_joint): self._bake(args, is_joint, builds, groups)
            for args in self.variants
            for is_joint in sorted({len(key[2]) > 1 for key in builds if key[1] == args})
        }
        programs = {platform: program.read_bytes()[:16] for platform, program in self.programs.items()}
        for platform, own in self.native.items():
            programs[platform] = programs[own]
        return Recipe(self.folder, contexts, builds, bakes, self.graphs, self.names, self.costs, self.lines, programs)

    def _name(self) -> Names:
        steps: dict[str, int] = {}
        sources: dict[tuple[str, str], str] = {}
        for graph in self.graphs.values():
            for step in graph.steps:
                steps.setdefault(step.digest, len(steps))
                if step.kind == "source":
                    sources.setdefault((step.source, step.digest), step.digest)
        images = {sources[place]: f"image-{number}" for number, place in enumerate(sorted(sources))}
        targets = sorted({target for target, _, _ in self.graphs})
        return Names(steps, images, {name: f"target-{number}" for number, name in enumerate(targets)}, self.native)

    def _sets(self) -> dict[tuple[str, Args], list[Key]]:
        found: dict[tuple[str, Args], list[Key]] = {}
        for key in self.graphs:
            found.setdefault(key[:2], []).append(key)
        return found

    def _variant(self, args: Args) -> str:
        return f"-{self.variants.index(args)}" if args else ""

    def _context_programs(self) -> dict[str, dict[str, Path]]:
        """The contexts from which a COPY onto nothing must bring the program of the RUN above."""
        found: dict[str, dict[str, Path]] = {}
        for graph in self.graphs.values():
            for index in needs_load(graph):
                source = load_source(graph, index)
                context = None if source is None else graph.contexts.get(graph.steps[source].source)
                if context is not None:
                    for platform in {step.platform for step in graph.steps if step.kind == "exec"}:
                        name = f"{PROGRAMS}/{program_folder(platform)}{LOAD}"
                        program = self.programs[self.native.get(platform, platform)]
                        found.setdefault(here(context.folder), {})[name] = program
        return found

    def _images(self, pull: bool) -> list[Image]:
        """An image for each source; one that is alike on all platforms (a download) has them all."""
        found: dict[str, Image] = {}
        for graph in self.graphs.values():
            for step in graph.steps:
                if name := self.names.image(step):
                    known = found.get(name)
                    platforms = dict.fromkeys([*(known.platforms if known else ()), step.platform])
                    weight = round(self.costs[step.digest].write_bytes * self.scale) if pull else 0
                    found[name] = Image(name, step.digest, tuple(platforms), weight)
        return list(found.values())

    def _write_dockerfile(self, name: str, graph: Graph, contexts: Contexts) -> Path:
        path = self.folder / "dockerfiles" / name
        text = render(
            graph,
            self.names,
            lambda index: self.loads.spec(graph, index, self.cpus(graph.target, graph.steps[index].platform)),
        )
        with replacing(path) as file:
            file.write(text)
        main = graph.main_context()
        if main is not None and contexts.ignored[here(main.folder)] != main.exclude:
            with replacing(path.with_name(f"{name}.dockerignore")) as file:
                file.write("\n".join(main.exclude) + "\n")
        return path

    def _build(self, key: Key, path: Path, digests: Mapping[str, str]) -> Build:
        graph = self.graphs[key]
        used = {self.names.image(step) for step in graph.steps}
        main = graph.main_context()
        locals_ = {"context": "files" if main is None else f"files/{here(main.folder)}".removesuffix("/.")}
        for source, context in graph.contexts.items():
            name = source.removeprefix("local://")
            if "/" not in name and name != "context":
                locals_[name] = f"files/{here(context.folder)}".removesuffix("/.")
        return Build(
            target=key[0],
            dockerfile=path,
            locals=locals_,
            images={name: digest for name, digest in digests.items() if name in used},
            links={target: self.names.targets[target] for target in sorted(set(link_steps(graph).values()))},
            platforms=tuple(self.native.get(platform, platform) for platform in key[2]),
            layout=self.folder / _STORE,
        )

    def _bake(
        self, args: Args, is_joint: bool, builds: Mapping[Key, Build], groups: Mapping[str, Sequence[str]]
    ) -> Path:
        """A bake file for builds with these arguments. Its folders are relative to a checkout, where buildx is to run."""
        targets: dict[str, dict[str, object]] = {}
        for (target, of, platforms), build in builds.items():
            has_joint = any(key[:2] == (target, of) and len(key[2]) > 1 for key in builds)
            if of != args or (is_joint and has_joint and len(platforms) == 1):
                continue
            if not is_joint and len(platforms) > 1:
                continue
            contexts = {name: f"oci-layout://{build.layout}@{digest}" for name, digest in build.images.items()}
            contexts |= {name: f"target:{linked}" for linked, name in build.links.items()}
            contexts |= {name: folder for name, folder in build.locals.items() if name != "context"}
            described = targets.setdefault(
                target,
                {"context": build.locals["context"], "dockerfile": str(build.dockerfile), "platforms": []},
            )
            described["contexts"] = {**cast(dict[str, str], described.get("contexts", {})), **contexts}
            described["platforms"] = [*cast(list[str], described["platforms"]), *build.platforms]
        path = self.folder / f"docker-bake{self._variant(args)}{'-together' if is_joint else ''}.json"
        known = {
            name: {"targets": list(members)} for name, members in groups.items() if set(members) <= {*targets, *groups}
        }
        with replacing(path) as file:
            json.dump(
                {**({"group": known} if known else {}), "target": targets}, file, indent=1
            )  # buildx refuses an empty one
        return path


def _slug(target: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", target)
