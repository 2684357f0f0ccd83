"""What one field cannot tell alone: files that must exist, names that must be known, fields that exclude each other.

In: the tree of the file (whatever its shape) and its folder. Out: InputErrors with line and column. It works on the
tree, not on the models, so that these problems are told together with wrong fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sim.errors import InputError
from sim.scenario.fields.preset import Preset, presets
from sim.scenario.fields.quantities import nearest
from sim.scenario.resolve import cpus_hint
from sim.scenario.yaml_source import Node

_REMOTE = re.compile(r"[a-z+]+://|git@|[^/]+@[^/]+:")  # a context that BuildKit fetches itself


def check(tree: Node, folder: Path) -> Iterator[InputError]:
    """All problems between fields."""
    yield from _one_graph_source(tree)
    yield from _targets(tree, folder)
    yield from _files(tree, folder)
    yield from _end_of_run(tree)
    for index, entry in enumerate(_list(tree, "workload")):
        yield from _entry(tree, entry, f"workload.{index}")
    yield from _projects(tree)
    yield from _machines(tree)


def _list(tree: Node, *path: str | int) -> list[Node]:
    node = tree.given(*path)
    return node.entries() if node is not None else []


def _text(node: Node | None) -> str | None:
    return node.value if node is not None and isinstance(node.value, str) else None


def _one_graph_source(tree: Node) -> Iterator[InputError]:
    bake, targets = tree.given("bake"), tree.given("targets")
    if bake is not None and targets is not None:
        yield InputError("bake and targets are both given", where=tree.where_key("targets"), hint="keep one of them")
    elif bake is None and targets is None:
        hint = "write bake: docker-bake.hcl or targets: {app: {dockerfile: Dockerfile}}"
        yield InputError("neither bake nor targets is given", where=tree.where, hint=hint)
    elif targets is not None and isinstance(targets.value, dict) and not targets.value:
        yield InputError("targets: is empty", where=targets.where, hint="write {app: {dockerfile: Dockerfile}}")


def _targets(tree: Node, folder: Path) -> Iterator[InputError]:
    """Each target's files and platforms."""
    targets = tree.given("targets")
    known = _farm_platforms(tree)
    for name, target in targets.items() if targets is not None else []:
        at = f"targets.{name}"
        context_node = target.given("context")
        context = _text(context_node) or "."
        if not _REMOTE.match(context):
            if context_node is not None and not _is_there(folder / context, Path.is_dir):
                yield InputError(f"{at}.context: no folder '{context}'", where=context_node.where, hint=_beside(folder))
            yield from _dockerfile(target, at, context, folder)
        for platform in _list(target, "platforms"):
            if known and isinstance(platform.value, str) and platform.value not in known:
                hint = f"add it to farm.platforms; {nearest(platform.value, known)}"
                yield InputError(f"{at}.platforms: no runner for '{platform.value}'", where=platform.where, hint=hint)


def _dockerfile(target: Node, at: str, context: str, folder: Path) -> Iterator[InputError]:
    node = target.given("dockerfile")
    written = _text(node) if node is not None else "Dockerfile"
    if written is None or _is_there(folder / written):
        return
    where = node.where if node is not None else target.where
    hint = _beside(folder)
    if _is_there(folder / context / written):
        hint = f"paths start at the scenario's folder: write {(Path(context) / written).as_posix()}"
    yield InputError(f"{at}.dockerfile: no file '{written}'", where=where, hint=hint)


def _files(tree: Node, folder: Path) -> Iterator[InputError]:
    """Files and folders that other fields name."""
    named: list[tuple[str, Node | None]] = [("bake", tree.given("bake")), ("profile", tree.given("profile"))]
    for index, entry in enumerate(_list(tree, "workload")):
        named.append((f"workload.{index}.arrivals.csv", entry.given("arrivals", "csv")))
        git = entry.given("changes", "git")
        if (path := _text(git)) is not None and git is not None and not _is_there(folder / path, Path.is_dir):
            at = f"workload.{index}.changes.git"
            yield InputError(f"{at}: no folder '{path}'", where=git.where, hint="name a git checkout")
    for at, node in named:
        if (path := _text(node)) is not None and node is not None and not _is_there(folder / path):
            yield InputError(f"{at}: no file '{path}'", where=node.where, hint=_beside(folder))


def _is_there(path: Path, kind: Callable[[Path], bool] = Path.is_file) -> bool:
    """False also for what no system takes as a name."""
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def _beside(folder: Path) -> str:
    return f"paths start at the scenario's folder {folder}"


def _end_of_run(tree: Node) -> Iterator[InputError]:
    if tree.given("horizon") is not None and tree.given("requests") is not None:
        yield InputError(
            "horizon and requests are both given", where=tree.where_key("requests"), hint="keep one of them"
        )


def _entry(tree: Node, entry: Node, at: str) -> Iterator[InputError]:
    """A workload entry: it ends, its targets are known, `needs` looks back."""
    arrivals = entry.given("arrivals")
    endless = next((name for name in ("rate", "clients") if arrivals and arrivals.given(name) is not None), None)
    if arrivals and endless and tree.given("horizon") is None and tree.given("requests") is None:
        yield InputError(
            f"{at}.arrivals: a {endless} never ends", where=arrivals.where, hint="add horizon: 5d or requests: 500"
        )
    targets = tree.given("targets")
    known = [name for name, _ in targets.items()] if targets is not None else []
    jobs = [(at, entry)] if entry.given("build") is not None else []
    jobs += [(f"{at}.jobs.{index}", job) for index, job in enumerate(_list(entry, "jobs"))]
    earlier: list[str] = []
    for job_at, job in jobs:
        for name in _list(job, "needs"):
            if name.text not in earlier:
                hint = nearest(name.text, earlier) or "needs looks back: put the job that builds it before this one"
                yield InputError(f"{job_at}.needs: no earlier job builds '{name.text}'", where=name.where, hint=hint)
        for name in _list(job, "build"):
            if known and name.text not in known:
                hint = nearest(name.text, known)
                yield InputError(f"{job_at}.build: unknown target '{name.text}'", where=name.where, hint=hint)
            earlier.append(name.text)


def _projects(tree: Node) -> Iterator[InputError]:
    """Projects of a scenario with `targets`; those of a bake file are checked once its targets are known."""
    projects, targets = tree.given("projects"), tree.given("targets")
    if projects is None or targets is None:
        return
    if projects.value == "from_bake":
        yield InputError(
            "projects: from_bake needs a bake file",
            where=projects.where,
            hint="write one, per_target or {project: [targets]}",
        )
    known = [name for name, _ in targets.items()]
    for project, names in projects.items():
        for name in names.entries():
            if isinstance(name.value, str) and name.value not in known:
                what = f"projects.{project}: unknown target '{name.value}'"
                yield InputError(what, where=name.where, hint=nearest(name.value, known))


def _machines(tree: Node) -> Iterator[InputError]:
    """Preset and sizes are known, and the number of cpus follows from them."""
    farm = tree.given("farm")
    if farm is None or not isinstance(farm.value, dict):
        return
    named = farm.given("preset")
    preset: Preset | None = None
    if named is not None:
        preset = presets().get(named.text)
        if preset is None:
            hint = nearest(named.text, presets())
            yield InputError(f"farm.preset: unknown '{named.text}'", where=named.where, hint=hint)
            return
    sizes = [("farm.size", farm.given("size"))]
    sizes += [(f"farm.overrides.{i}.size", one.given("size")) for i, one in enumerate(_list(farm, "overrides"))]
    for at, node in sizes:
        if node is None:
            continue
        if preset is None:
            yield InputError(
                f"{at}: a size needs a preset", where=node.where, hint="add preset: depot, or write a runner"
            )
        elif node.text not in preset.sizes:
            hint = nearest(node.text, preset.sizes) or cpus_hint(preset)
            yield InputError(
                f"{at}: preset {farm.value['preset'].text} has no size '{node.text}'", where=node.where, hint=hint
            )
    has_size = preset is not None and (preset.default_size is not None or farm.given("size") is not None)
    if not has_size and farm.given("runner", "cpus") is None:
        where = runner.where if (runner := farm.given("runner")) is not None else farm.where
        yield InputError("farm.runner.cpus: is missing", where=where, hint=cpus_hint(preset))


def _farm_platforms(tree: Node) -> list[str]:
    """The platforms that the farm names, itself or through its preset; [] where targets decide."""
    written = tree.given("farm", "platforms")
    if written is not None:
        return [name for name, _ in written.items()]
    preset = tree.given("farm", "preset")
    known = presets().get(preset.text) if preset is not None else None
    return list(known.farm.platforms or ()) if known is not None else []
