"""A bake file (HCL, JSON or compose), evaluated by buildx itself: targets, groups, links, and the project ids it drops.

In: the file. Out: `BakeFile`. Project ids are handed through buildx as a build argument of a rewritten copy, so
inherits, matrix, variables and functions hold for them too; the user's file and folder are not touched.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sim import tools
from sim.errors import InputError

Say = Callable[[str], None]
_ARG = "BUILDCAST_PROJECT_ID"
_ID_KEYS = ("project_id", "project-id")
# bake --print looks at the files of secrets; no secret is needed to know the graph (libraries.md 2).
_NO_SECRETS = ("--set", "*.secrets=")
_PLACE = re.compile(r"^(?P<file>[^:\s]+):(?P<line>\d+),\d+-[\d,]+: (?P<what>.*)$")
_ATTRIBUTE_MORE = re.compile(r"., and \d+ other diagnostic\(s\)$")


@dataclass(frozen=True, slots=True)
class BakeTarget:
    """A target as buildx prints it. `dockerfile` is relative to `context`, that to the bake file's folder."""

    context: str
    dockerfile: str
    inline: str
    stage: str
    args: Mapping[str, str]
    contexts: Mapping[str, str]
    platforms: tuple[str, ...]
    outputs: tuple[str, ...]
    project: str = ""


@dataclass(frozen=True, slots=True)
class BakeFile:
    """All targets of a file and its groups (names as written, possibly of other groups)."""

    targets: Mapping[str, BakeTarget]
    groups: Mapping[str, tuple[str, ...]]


def evaluate(path: Path, shown: str, say: Say) -> BakeFile:
    """Evaluate a bake file; `shown` is its path in messages. Raises InputError with file:line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the bake file cannot be read: {error}", where=shown) from error
    call = _Buildx(path, shown, say)
    listed = json.loads(call(["--list", "type=targets,format=json"]) or "null") or []
    names = [str(one["name"]) for one in listed if not one.get("group")]
    groups = [str(one["name"]) for one in listed if one.get("group")]
    if not names:
        raise InputError("the bake file has no targets", where=shown)
    printed = json.loads(call([*_NO_SECRETS, "--print", *groups, *names]))
    members = {name: tuple(group["targets"]) for name, group in (printed.get("group") or {}).items() if name in groups}
    if "default" in groups:  # buildx prints what was asked for as "default"
        alone = json.loads(call([*_NO_SECRETS, "--print", "default"]))
        members["default"] = tuple(alone["group"]["default"]["targets"])
    ids = _project_ids(text, path, shown, names, call)
    targets = {name: _target(found, ids.get(name, "")) for name, found in sorted(printed["target"].items())}
    return BakeFile(targets, members)


class _Buildx:
    """`buildx bake` on the file, or on another text in its place; errors carry the user's file and line."""

    def __init__(self, path: Path, shown: str, say: Say) -> None:
        self.path, self.shown, self.say = path, shown, say

    def __call__(self, args: Sequence[str], text: str | None = None) -> str:
        source = self.path.name if text is None else "-"
        try:
            return tools.run_buildx(["bake", "-f", source, *args], self.path.parent, stdin=text or "", say=self.say)
        except InputError as error:
            what = _ATTRIBUTE_MORE.sub("", error.what)
            found = _PLACE.match(what)
            where = f"{self.shown}:{found['line']}" if found and text is None else self.shown
            raise InputError(found["what"] if found else what, where=where) from error


def _target(found: Mapping[str, Any], project: str) -> BakeTarget:
    return BakeTarget(
        context=str(found.get("context", ".")).removeprefix("cwd://") or ".",
        dockerfile=str(found.get("dockerfile", "Dockerfile")),
        inline=str(found.get("dockerfile-inline", "")),
        stage=str(found.get("target", "")),
        args={name: str(value) for name, value in (found.get("args") or {}).items() if value is not None},
        contexts={name: str(value) for name, value in (found.get("contexts") or {}).items()},
        platforms=tuple(found.get("platforms") or ()),
        outputs=tuple(_output(one) for one in found.get("output") or ()),
        project=project,
    )


def _output(one: str | Mapping[str, str]) -> str:
    return one if isinstance(one, str) else ",".join(f"{key}={value}" for key, value in sorted(one.items()))


def _project_ids(text: str, path: Path, shown: str, names: Sequence[str], call: _Buildx) -> dict[str, str]:
    """Project id by target. All ids at once; if that fails, one by one, to say which line it was."""
    rewrite = _rewriter(text, path, shown, call.say)
    whole, lines = rewrite(0)
    if not lines:
        return {}
    try:
        return _ids_in(call([*_NO_SECRETS, "--print", *names], whole), shown)
    except InputError as error:
        if ":" in error.what and error.where.rpartition(":")[2].isdigit():
            raise
        for line in lines:
            try:
                call([*_NO_SECRETS, "--print", *names], rewrite(line)[0])
            except InputError as cause:
                raise InputError(f"the project id cannot be resolved: {cause.what}", where=f"{shown}:{line}") from cause
        raise


def _ids_in(printed: str, shown: str) -> dict[str, str]:
    found = {}
    for name, target in json.loads(printed)["target"].items():
        marked = (target.get("args") or {}).get(_ARG)
        if marked is None:
            continue
        line, _, project = marked.partition(":")
        if not project.strip():
            raise InputError(
                f"the project id of target '{name}' cannot be resolved: it is empty",
                where=f"{shown}:{line}",
                hint="give it a value, or set the variable it uses in the environment",
            )
        found[name] = project.strip()
    return found


Rewrite = Callable[[int], tuple[str, list[int]]]


def _rewriter(text: str, path: Path, shown: str, say: Say) -> Rewrite:
    """A function that hands the ids (of all lines, or of one) on as an argument, and tells the lines that hold ids."""
    kind = _format(text, path)
    if kind == "hcl":
        return lambda only: _rewrite_hcl(text, shown, only, say)
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}".replace("\n", " "), where=shown) from error
    found = list(_compose_ids(content, node) if kind == "compose" else _json_ids(content, node))
    lines = sorted({line for _, _, line in found})

    def rewrite(only: int) -> tuple[str, list[int]]:
        changed = json.loads(json.dumps(content, default=str))
        for steps, project, line in found:
            if only in (0, line):
                _add_arg(_at(changed, steps), f"{line}:{project}")
        return json.dumps(changed), lines

    return rewrite


def _format(text: str, path: Path) -> str:
    if path.suffix in (".yml", ".yaml"):
        return "compose"
    if path.suffix == ".json":
        return "json"
    if path.suffix == ".hcl":
        return "hcl"
    return "json" if text.lstrip().startswith("{") else "hcl"


def _rewrite_hcl(text: str, shown: str, only: int, say: Say) -> tuple[str, list[int]]:
    answer = tools.run_graph({"ids": {"text": text, "file": shown, "arg": _ARG, "only": only}}, say)
    lines = answer["lines"]
    assert isinstance(lines, list)
    return str(answer["text"]), lines


# A path to a target's mapping in the file, its id as written, and the id's line.
_Found = tuple[tuple[str | int, ...], str, int]


def _compose_ids(content: Any, node: yaml.Node | None) -> list[_Found]:
    """`x-depot: {project-id: ..}` under a service's `build`, or under the service. (The former wins.)"""
    found: list[_Found] = []
    for name, service in (_mapping(content).get("services") or {}).items():
        for extra in (("build", "x-depot"), ("x-depot",)):
            place = ("services", name, *extra)
            holder = _mapping(_at_or_none(content, place))
            key = next((key for key in _ID_KEYS if key in holder), None)
            if key is not None and _mapping(service).get("build") is not None:
                found.append((("services", name), str(holder[key] or ""), _line(node, (*place, key))))
                break
    return found


def _json_ids(content: Any, node: yaml.Node | None) -> list[_Found]:
    """A target is an object, or a list of objects, under `target` (which may be a list itself)."""
    found: list[_Found] = []

    def look(value: Any, place: tuple[str | int, ...], depth: int) -> None:
        if isinstance(value, list):
            for position, one in enumerate(value):
                look(one, (*place, position), depth)
        elif isinstance(value, dict) and depth == 0:
            for name, one in value.items():
                look(one, (*place, name), 1)
        elif isinstance(value, dict):
            key = next((key for key in _ID_KEYS if key in value), None)
            if key is not None:
                found.append((place, str(value[key] or ""), _line(node, (*place, key))))

    look(_mapping(content).get("target"), ("target",), 0)
    return found


def _add_arg(holder: dict[str, Any], value: str) -> None:
    """Add the argument to a bake target's `args`, or to a compose service's `build.args`; each has several shapes."""
    if "build" in holder:
        if not isinstance(holder["build"], dict):
            holder["build"] = {"context": holder["build"]}
        holder = holder["build"]
    args = holder.get("args")
    if isinstance(args, list):
        args.append(f"{_ARG}={value}")
    elif isinstance(args, str):  # an expression: "${merge(a, b)}"
        inner = args.removeprefix("${").removesuffix("}")
        holder["args"] = f'${{merge({inner}, {{{_ARG} = "{value}"}})}}'
    else:
        holder["args"] = {**(args or {}), _ARG: value}


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _at(content: Any, place: Sequence[str | int]) -> Any:
    for step in place:
        content = content[step]
    return content


def _at_or_none(content: Any, place: Sequence[str | int]) -> Any:
    try:
        return _at(content, place)
    except (KeyError, IndexError, TypeError):
        return None


def _line(node: yaml.Node | None, place: Sequence[str | int]) -> int:
    """The line of the key at the end of a path, from 1."""
    line = 0
    for step in place:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, node = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def join(folder: str, path: str) -> str:
    """A posix path relative to where `folder` is relative to; absolute paths stay."""
    return posixpath.normpath(posixpath.join(folder, path))
