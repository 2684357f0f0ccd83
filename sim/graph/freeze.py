"""Targets to graphs with the real tools: buildx for a bake file, BuildKit's frontend for each platform and arguments.

In: a `GraphSpec`. Out: `Frozen`, everything that the lock file keeps. Needs Go the first time; no daemon, no registry.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sim import tools
from sim.errors import InputError
from sim.graph import bake
from sim.graph.read import LocalSource, Surroundings, read, unite
from sim.graph.spec import Args, GraphSpec, TargetSpec
from sim.graph.types import Context, Graph

Say = Callable[[str], None]
MAX_FILES = 5000  # a context with more is kept as folders: a lock file is read by people and by git


@dataclass(frozen=True, slots=True)
class Target:
    """A target with all defaults filled in. Paths are posix, relative to the scenario; `dir:` marks a folder."""

    dockerfile: str
    context: str
    inline: str = ""
    stage: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    outputs: tuple[str, ...] = ()

    @property
    def links(self) -> tuple[str, ...]:
        """Targets whose results this one takes as named contexts."""
        found = (value.removeprefix("target:") for value in self.contexts.values() if value.startswith("target:"))
        return tuple(sorted(set(found)))


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a lock file holds: all targets and groups, but `graphs` only of those that the workload builds.

    `graphs` go by target, arguments and platforms; `files` maps each input file to its hash.
    """

    targets: Mapping[str, Target]
    groups: Mapping[str, tuple[str, ...]]
    graphs: Mapping[tuple[str, Args, tuple[str, ...]], Graph]
    files: Mapping[str, str]
    variants: tuple[Args, ...]
    platforms: tuple[str, ...]
    bake: str = ""


def freeze(spec: GraphSpec, variants: Sequence[Args], say: Say) -> Frozen:
    """Ask the real tools. Raises InputError with file:line of the user's file, EnvironmentMissing without Go."""
    targets, groups = resolve(spec, say)
    for name in spec.asked:
        check_name(name, [*targets, *groups], spec.where(name))
    names = closure(targets, groups, spec.asked or tuple(targets))
    for name in names:
        _check_folders(spec, name, targets[name])
    asking = _Asking(spec, targets)
    for args in variants:
        for name in names:
            for platforms in _platform_sets(targets[name]):
                asking.need(name, args, platforms)
    say(f"asking BuildKit's frontend for the graphs of {len(names)} target{'s' if len(names) > 1 else ''}")
    try:
        answer = tools.run_graph({"builds": asking.builds}, say)
    except InputError as error:
        raise InputError(error.what, where=str(spec.folder / error.where)) from error
    graphs = asking.graphs(cast(dict[str, Any], answer), variants, names)
    files = {_relative(spec, Path(path)) for path in cast(list[str], answer["read"])}
    if spec.bake is not None:
        files.add(posixpath.normpath(spec.bake))
    return Frozen(targets, groups, graphs, hashes(spec.folder, files), tuple(variants), spec.platforms, spec.bake or "")


def resolve(spec: GraphSpec, say: Say) -> tuple[dict[str, Target], dict[str, tuple[str, ...]]]:
    """All targets and groups of a scenario, with paths relative to it and platforms filled in."""
    if spec.bake is None:
        return {name: own(target, spec.platforms) for name, target in sorted(spec.targets.items())}, {}
    path = spec.folder / spec.bake
    found = bake.evaluate(path, str(path), say)
    folder = posixpath.dirname(spec.bake)
    return {name: _baked(one, folder, spec.platforms) for name, one in found.targets.items()}, dict(found.groups)


def closure(
    targets: Mapping[str, Target], groups: Mapping[str, tuple[str, ...]], names: Sequence[str]
) -> tuple[str, ...]:
    """Groups expanded, linked targets added, sorted by name: the targets that buildx would solve."""
    seen: set[str] = set()
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in groups and name not in targets:
            stack.extend(groups[name])
        else:
            found.add(name)
            stack.extend(link for link in targets[name].links if link in targets)
    check_cycles(targets, found)
    return tuple(sorted(found))


def check_name(name: str, known: Sequence[str], where: str) -> None:
    """Raise InputError, with the nearest name, for one that is not known."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
        raise InputError(f"no target or group is named '{name}'", where=where, hint=hint)


def check_cycles(targets: Mapping[str, Target], names: set[str]) -> None:
    """Raise InputError when links lead back to where they came from."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InputError(f"the links of targets run in a circle: {' -> '.join([*path[path.index(name) :], name])}")
        if name not in done:
            for link in targets[name].links:
                if link not in targets:
                    raise InputError(f"target '{name}' links to '{link}', which is no target")
                visit(link, (*path, name))
            done.add(name)

    for name in sorted(names):
        visit(name, ())


def hashes(folder: Path, files: set[str]) -> dict[str, str]:
    """sha256 of each file, empty for one that is not there (a .dockerignore may come later)."""
    found = {}
    for name in sorted(files):
        try:
            found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            found[name] = ""
    return found


def own(target: TargetSpec, platforms: tuple[str, ...]) -> Target:
    """A scenario's own target with its defaults."""
    context = target.context if _is_remote(target.context) else posixpath.normpath(target.context or ".")
    return Target(
        dockerfile=posixpath.normpath(target.dockerfile or posixpath.join(context, "Dockerfile")),
        context=context,
        stage=target.target,
        args=dict(target.args),
        platforms=tuple(target.platforms) or platforms,
    )


def _baked(one: bake.BakeTarget, folder: str, platforms: tuple[str, ...]) -> Target:
    context = bake.join(folder, one.context) if not _is_remote(one.context) else one.context
    contexts = {}
    for name, value in one.contexts.items():
        is_folder = not _is_remote(value) and ":" not in value.partition("/")[0]
        contexts[name] = f"dir:{bake.join(folder, value)}" if is_folder else value
    return Target(
        dockerfile=bake.join(context, one.dockerfile),
        context=context,
        inline=one.inline,
        stage=one.stage,
        args=one.args,
        platforms=one.platforms or platforms,
        contexts=contexts,
        project=one.project,
        outputs=one.outputs,
    )


def _is_remote(path: str) -> bool:
    return "://" in path or path.startswith("git@")


def _check_folders(spec: GraphSpec, name: str, target: Target) -> None:
    where = str(spec.folder / spec.bake) if spec.bake else str(spec.scenario_path)
    if _is_remote(target.context):
        raise InputError(
            f"target '{name}' has the remote context {target.context}, which would have to be fetched",
            where=where,
            hint="check it out and name the folder",
        )
    for folder in [target.context, *(v.removeprefix("dir:") for v in target.contexts.values() if v.startswith("dir:"))]:
        if not (spec.folder / folder).is_dir():
            raise InputError(f"target '{name}': its context '{folder}' is no folder", where=where)
    dockerfile = spec.folder / target.dockerfile
    has_small = (
        dockerfile.name == "Dockerfile" and dockerfile.with_name("dockerfile").is_file()
    )  # as BuildKit accepts it
    if not target.inline and not has_small and not dockerfile.is_file():
        raise InputError(f"target '{name}': there is no '{target.dockerfile}'", where=where)


def _platform_sets(target: Target) -> list[tuple[str, ...]]:
    """One set a platform (native runners) and, for several, all of them (one daemon)."""
    alone: list[tuple[str, ...]] = [(platform,) for platform in target.platforms]
    return alone if len(alone) < 2 else [*alone, target.platforms]


def _relative(spec: GraphSpec, path: Path) -> str:
    return Path(os.path.relpath(path, spec.folder.absolute())).as_posix()


class _Asking:
    """The request to the graph helper: bases before what links to them, and how to read its answer."""

    def __init__(self, spec: GraphSpec, targets: Mapping[str, Target]) -> None:
        self.spec, self.targets = spec, targets
        self.builds: list[dict[str, object]] = []
        self._keys: dict[tuple[str, Args, tuple[str, ...]], str] = {}
        self._names: dict[str, str] = {}

    def need(self, name: str, args: Args, platforms: tuple[str, ...]) -> str:
        """The key of a build, asked for once."""
        if found := self._keys.get((name, args, platforms)):
            return found
        target = self.targets[name]
        contexts = {}
        for context, value in target.contexts.items():
            if value.startswith("target:"):
                base = value.removeprefix("target:")
                has = tuple(platform for platform in platforms if platform in self.targets[base].platforms)
                value = "target:" + self.need(base, args, has or self.targets[base].platforms[:1])
            elif value.startswith("dir:"):
                value = "dir:" + str((self.spec.folder / value.removeprefix("dir:")).absolute())
            elif value.startswith(
                "oci-layout://"
            ):  # the frontend wants a digest; which image it is does not matter here
                digest = value.partition("@")[2] or "sha256:" + hashlib.sha256(value.encode()).hexdigest()
                value = f"oci-layout://layout@{digest}"
            contexts[context] = value
        key = self._keys[name, args, platforms] = f"b{len(self.builds)}"
        self._names[key] = name
        self.builds.append(
            {
                "key": key,
                "dockerfile": str((self.spec.folder / target.dockerfile).absolute()),
                "inline": target.inline,
                "label": target.dockerfile if not target.inline else f"{self.spec.bake} ({name}: dockerfile-inline)",
                "context": str((self.spec.folder / target.context).absolute()),
                "stage": target.stage,
                "args": {**target.args, **dict(args)},
                "contexts": contexts,
                "build_platform": platforms[0],
                "platforms": list(platforms),
            }
        )
        return key

    def graphs(
        self, answer: Mapping[str, Any], variants: Sequence[Args], names: Sequence[str]
    ) -> dict[tuple[str, Args, tuple[str, ...]], Graph]:
        contexts = {key: self._context(found) for key, found in answer["contexts"].items()}
        found = {}
        for (name, args, platforms), key in self._keys.items():
            if name in names and args in variants and platforms in _platform_sets(self.targets[name]):
                parts = [self._read(key, platform, answer["graphs"][key][platform], contexts) for platform in platforms]
                found[name, args, platforms] = unite(parts)
        return found

    def _context(self, found: Mapping[str, Any]) -> tuple[str, Context]:
        folder = _relative(self.spec, Path(found["dir"]))
        exclude = found["exclude"] or []
        files = {name: size for name, size in found["files"].items() if not self._is_lock(folder, name, found["files"])}
        return "\0".join([folder, *exclude]), Context(folder, compact(files), tuple(exclude))

    def _is_lock(self, folder: str, name: str, beside: Mapping[str, int]) -> bool:
        """Lock files are not in their own contexts: else writing one would change it."""
        if not name.endswith(".lock.json"):
            return False
        path = posixpath.normpath(posixpath.join(folder, name))
        return (
            path in ("graph.lock.json", self.spec.lock_path.name) or name.removesuffix(".lock.json") + ".yaml" in beside
        )

    def _read(
        self, key: str, platform: str, one: Mapping[str, Any], contexts: Mapping[str, tuple[str, Context]]
    ) -> Graph:
        name = self._names[key]
        locals_: dict[str, LocalSource] = {}
        sources: dict[str, str] = {}  # of an identity, its name in this graph
        owned = sorted(one["local"].items(), key=lambda item: self._session(one, item[0]) != key)
        for digest, context_key in owned:
            identity, context = contexts[context_key]
            source = str(one["llb"]["def"][digest]["source"]["identifier"])
            session = self._session(one, digest)
            if session != key:
                source = f"local://{self._names[session]}/{source.removeprefix('local://')}"
            source = sources.setdefault(identity, source)
            locals_[digest] = LocalSource(source, identity, context)
        links = {self._names[base]: head for base, head in one["links"].items()}
        target = self.targets[name]
        graph = read(
            one["llb"],
            target=name,
            platform=platform,
            around=Surroundings(locals_, links),
            dockerfile=target.dockerfile if not target.inline else "Dockerfile",
        )
        if not graph.steps:
            raise InputError(f"target '{name}' builds nothing", where=str(self.spec.folder / target.dockerfile))
        return graph

    @staticmethod
    def _session(one: Mapping[str, Any], digest: str) -> str:
        return str((one["llb"]["def"][digest]["source"].get("attrs") or {}).get("local.session", ""))


def compact(files: Mapping[str, int], limit: int = MAX_FILES) -> dict[str, int]:
    """The files with their bytes; beyond `limit` of them as folders (`src/`), as deep as `limit` entries allow."""
    if len(files) <= limit:
        return dict(sorted(files.items()))
    summed: dict[str, int] = {}
    for depth in range(max(name.count("/") for name in files), -1, -1):
        summed = {}
        for name, size in files.items():
            parts = name.split("/")
            entry = name if len(parts) <= depth else "/".join(parts[:depth]) + "/" if depth else "./"
            summed[entry] = summed.get(entry, 0) + size
        if len(summed) <= limit:
            break
    return dict(sorted(summed.items()))
