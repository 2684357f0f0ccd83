"""All graphs of a scenario, ready to be asked: from a fresh lock file, else from the real tools.

In: a `GraphSpec`. Out: `Graphs`. With a fresh lock file no Go is needed and nothing is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sim.errors import EnvironmentMissing, InputError
from sim.graph import lock
from sim.graph.freeze import Frozen, Target, check_name, closure, freeze, own
from sim.graph.read import select
from sim.graph.spec import Args, GraphSpec
from sim.graph.types import Graph
from sim.hide import secret

Say = Callable[[str], None]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Graphs:
    """The graphs of a scenario. Immutable; the same question gives the identical object."""

    def __init__(self, spec: GraphSpec, frozen: Frozen) -> None:
        self._spec, self._frozen = spec, frozen
        self._selected: dict[tuple[str, Args, tuple[str, ...]], Graph] = {}
        self.bake: bool = spec.bake is not None
        self.targets: tuple[str, ...] = tuple(sorted({target for target, _, _ in frozen.graphs}))
        self.groups: Mapping[str, tuple[str, ...]] = {
            name: members
            for name, members in frozen.groups.items()
            if set(closure(frozen.targets, frozen.groups, [name])) <= set(self.targets)
        }
        self.project_ids: Mapping[str, str] = {
            name: frozen.targets[name].project for name in self.targets if frozen.targets[name].project
        }

    def platforms(self, target: str) -> tuple[str, ...]:
        """The platforms a target is built for: its own, else the scenario's."""
        return self._frozen.targets[self._target(target)].platforms

    def links(self, target: str) -> tuple[str, ...]:
        """The targets whose results this one takes as named contexts, sorted; whether its steps use them or not."""
        return self._frozen.targets[self._target(target)].links

    def outputs(self, target: str) -> tuple[str, ...]:
        """A bake target's own outputs (`type=cacheonly`, `push=true,type=image`), in buildx's words."""
        return self._frozen.targets[self._target(target)].outputs

    def asked(self, name: str) -> str:
        """The name, if it is a target or a group; else InputError with the nearest one."""
        check_name(name, [*self.targets, *self.groups], self._spec.where(name))
        return name

    def closure(self, names: Sequence[str]) -> tuple[str, ...]:
        """What buildx would solve for these names: groups expanded, links added, sorted."""
        return closure(self._frozen.targets, self.groups, [self.asked(name) for name in names])

    def written(self, target: str) -> Target:
        """A target as it is written, with defaults filled in: for builds of the true Dockerfiles."""
        return self._frozen.targets[self._target(target)]

    def secrets(self, target: str, args: Args = ()) -> dict[str, str]:
        """Arguments whose values must not be shown with the names of this target's steps, its bases' ones too."""
        given: dict[str, str] = {}
        for base in self.closure([target]):
            given |= self._frozen.targets[base].args
        return secret(given | dict(args))

    def graph(self, target: str, args: Args = (), platforms: tuple[str, ...] = ()) -> Graph:
        """What one daemon solves: one platform on its own runner (BUILDPLATFORM is that platform), or several on one.

        Several platforms: the first is BUILDPLATFORM. Raises InputError for a combination that is not in the lock file.
        """
        target, args = self._target(target), tuple(sorted(args))
        platforms = platforms or self.platforms(target)
        key = (target, args, platforms)
        if found := self._frozen.graphs.get(key) or self._selected.get(key):
            return found
        whole = self._frozen.graphs.get((target, args, self.platforms(target)))
        if (
            whole is None
            or len(platforms) < 2
            or platforms[0] != whole.platforms[0]
            or not set(platforms) <= set(whole.platforms)
        ):
            shown = "".join(f" {name}={value}" for name, value in args)
            raise InputError(
                f"the lock file has no graph of '{target}' for {', '.join(platforms)}{shown}",
                where=str(self._spec.lock_path),
                hint=f"make it anew: {self._spec.lock_command}",
            )
        some = [whole.results[whole.platforms.index(platform)] for platform in platforms]
        graph = select(
            Graph(target, platforms, whole.steps, whole.results, whole.dockerfile, whole.contexts, whole.links), some
        )
        return self._selected.setdefault(key, graph)

    def _target(self, name: str) -> str:
        if name not in self.targets:
            self.asked(name)
            raise InputError(f"'{name}' is a group, not a target", where=str(self._spec.scenario_path))
        return name


def load_graphs(spec: GraphSpec, *, refresh: bool = False, say: Say = _to_stderr) -> Graphs:
    """The scenario's graphs; makes the lock file when it is missing, when asked to, or when jobs pass new arguments.

    Raises InputError for a mistake in the user's files and for a lock file that is stale or broken; EnvironmentMissing
    when the real tools are needed and Go is not there.
    """
    path = spec.lock_path
    if refresh or not path.exists():
        if not refresh:
            say(f"{path} is missing: making it")
        return _made(spec, spec.variants(), say, must_write=refresh)
    frozen = lock.load(spec)
    if stale := _stale(spec, frozen):
        raise InputError(f"the lock file is stale: {stale}", where=str(path), hint=f"run: {spec.lock_command}")
    if lacking := _lacking(spec, frozen):
        say(f"{path} lacks {lacking}: adding it")
        return _made(spec, tuple(dict.fromkeys([*spec.variants(), *frozen.variants])), say, must_write=False)
    return Graphs(spec, frozen)


def _made(spec: GraphSpec, variants: tuple[Args, ...], say: Say, *, must_write: bool) -> Graphs:
    frozen = freeze(spec, variants, say)
    try:
        lock.write(spec.lock_path, frozen)
    except EnvironmentMissing as error:
        if must_write:
            raise
        say(f"{error}; going on without a lock file")
        return Graphs(spec, frozen)
    say(f"wrote {spec.lock_path}")
    return Graphs(spec, lock.load(spec))


def _stale(spec: GraphSpec, frozen: Frozen) -> str:
    """What changed since the lock file was made, in words."""
    if changed := lock.changed(spec, frozen):
        return f"{', '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed since"
    if (spec.bake or "") != frozen.bake:
        return f"{spec.file} has {spec.bake or 'targets of its own'} now, not {frozen.bake or 'targets of its own'}"
    for name, target in spec.targets.items():
        before = frozen.targets.get(name)
        if spec.bake is None and before is not None:
            if replace(own(target, ()), platforms=()) != replace(before, platforms=()):
                return f"target '{name}' in {spec.file} has changed since"
            if target.platforms and target.platforms != before.platforms:
                return f"the platforms of target '{name}' in {spec.file} have changed since"
    return ""


def _lacking(spec: GraphSpec, frozen: Frozen) -> str:
    """What the scenario wants and the lock file does not hold, in words; no file has changed."""
    for args in spec.variants():
        if args not in frozen.variants:
            return "the arguments " + " ".join(f"{name}={value}" for name, value in args)
    targets = frozen.targets if spec.bake else spec.targets
    names = spec.asked or tuple(targets)
    for name in names:
        check_name(name, [*targets, *frozen.groups], spec.where(name))
        if name not in frozen.targets and name not in frozen.groups:
            return f"the target '{name}'"
    built = {target for target, _, _ in frozen.graphs}
    for name in closure(frozen.targets, frozen.groups, names):
        if name not in built:
            return f"the graph of '{name}'"
    by_default = any(target.platforms == frozen.platforms for target in frozen.targets.values())
    if by_default and spec.platforms != frozen.platforms:
        return "the platforms " + ", ".join(spec.platforms)
    return ""
