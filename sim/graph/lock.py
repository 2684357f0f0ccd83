"""The lock file: graphs frozen beside the scenario, so that simulating needs neither Go nor a daemon.

In: `Frozen`, or the file. Out: the file (one target, context, step or graph a line: a diff is readable), or `Frozen`.
Steps stand once, in topological order; a graph names its results, and all that they need is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim import tools
from sim.errors import InputError, replacing
from sim.graph.freeze import Frozen, Target, hashes
from sim.graph.read import select
from sim.graph.spec import GraphSpec
from sim.graph.types import CacheMount, Context, Graph, Input, Link, Step

SCHEMA = 1
_MAX_BYTES = 256 * 1024 * 1024  # the pool stores a step once: more than this is no lock file


def write(path: Path, frozen: Frozen) -> None:
    """Write the lock file whole or not at all."""
    pool = _Pool()
    graphs = [pool.graph(key, graph) for key, graph in frozen.graphs.items()]
    head: dict[str, object] = {
        "schema": SCHEMA,
        "tools": tools.versions(),
        "bake": frozen.bake,
        "platforms": list(frozen.platforms),
        "variants": [dict(args) for args in frozen.variants],
        "groups": {name: list(members) for name, members in frozen.groups.items()},
    }
    with replacing(path) as file:
        file.write("{\n")
        for name, value in head.items():
            file.write(f"{_line(name)}: {_line(value)},\n")
        file.write(_block("files", frozen.files) + ",\n")
        file.write(_block("targets", {name: _from_target(target) for name, target in frozen.targets.items()}) + ",\n")
        file.write(_block("contexts", pool.contexts) + ",\n")
        file.write(_block("steps", pool.steps) + ",\n")
        file.write(_block("graphs", graphs) + "\n}\n")


def load(spec: GraphSpec) -> Frozen:
    """Read a lock file. Raises one InputError for a file that is broken, cut short, or of another schema."""
    path = spec.lock_path
    hint = f"make it anew: {spec.lock_command}"
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError("the lock file is too large to be one", where=str(path), hint=hint)
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"the lock file is broken ({error.msg})", where=f"{path}:{error.lineno}", hint=hint) from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the lock file cannot be read: {error}", where=str(path), hint=hint) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        told = "has no schema version" if schema is None else f"has schema {schema}, this buildcast reads {SCHEMA}"
        raise InputError(f"the lock file {told}", where=str(path), hint=hint)
    try:
        return _frozen(content)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the lock file is broken ({error})", where=str(path), hint=hint) from error


def changed(spec: GraphSpec, frozen: Frozen) -> list[str]:
    """Input files that differ from what the lock file was made of, by name."""
    now = hashes(spec.folder, set(frozen.files))
    return [name for name, before in frozen.files.items() if now[name] != before]


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _block(name: str, entries: Mapping[str, Any] | Sequence[Any]) -> str:
    """A mapping or list with one entry a line."""
    lines: Iterable[str]
    if isinstance(entries, Mapping):
        lines, ends = (f"{_line(key)}: {_line(value)}" for key, value in entries.items()), "{}"
    else:
        lines, ends = (_line(value) for value in entries), "[]"
    return f"{_line(name)}: {ends[0]}\n" + ",\n".join(lines) + f"\n{ends[1]}"


class _Pool:
    """Steps and contexts of all graphs, each once."""

    def __init__(self) -> None:
        self.steps: list[dict[str, object]] = []
        self.contexts: list[dict[str, object]] = []
        self._steps: dict[Step, int] = {}
        self._contexts: list[Context] = []

    def graph(self, key: tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], graph: Graph) -> dict[str, object]:
        target, args, platforms = key
        index: list[int] = []
        for step in graph.steps:
            moved = replace(step, inputs=tuple(replace(given, step=index[given.step]) for given in step.inputs))
            if moved not in self._steps:
                self._steps[moved] = len(self.steps)
                self.steps.append(_from_step(moved))
            index.append(self._steps[moved])
        return {
            "target": target,
            "args": dict(args),
            "platforms": list(platforms),
            "dockerfile": graph.dockerfile,
            "results": [index[result] for result in graph.results],
            "links": [[link.target, index[link.step]] for link in graph.links],
            "contexts": {source: self._context(context) for source, context in graph.contexts.items()},
        }

    def _context(self, context: Context) -> int:
        if context not in self._contexts:
            self._contexts.append(context)
            line: dict[str, object] = {"folder": context.folder, "files": dict(context.files)}
            if context.exclude:
                line["exclude"] = list(context.exclude)
            self.contexts.append(line)
        return self._contexts.index(context)


def _from_step(step: Step) -> dict[str, object]:
    line: dict[str, object] = {"name": step.name, "kind": step.kind, "platform": step.platform}
    if step.inputs:
        line["inputs"] = [[one.step, *one.paths] if one.by_content else one.step for one in step.inputs]
    if step.mounts:
        line["mounts"] = [[mount.id, mount.target, mount.sharing] for mount in step.mounts]
    if step.source:
        line["source"] = step.source
    if step.file:
        line["at"] = f"{step.file}:{step.line}"
    return {**line, "digest": step.digest, "op": step.op}


def _to_step(line: Mapping[str, Any]) -> Step:
    file, _, number = line.get("at", ":0").rpartition(":")
    inputs = tuple(
        Input(int(one[0]), by_content=True, paths=tuple(one[1:])) if isinstance(one, list) else Input(int(one))
        for one in line.get("inputs", ())
    )
    return Step(
        digest=line["digest"],
        op=line["op"],
        name=line["name"],
        kind=line["kind"],
        platform=line["platform"],
        inputs=inputs,
        mounts=tuple(CacheMount(*mount) for mount in line.get("mounts", ())),
        source=line.get("source", ""),
        file=file,
        line=int(number),
    )


def _from_target(target: Target) -> dict[str, object]:
    line: dict[str, object] = {"dockerfile": target.dockerfile, "context": target.context}
    for name in ("inline", "stage", "args", "platforms", "contexts", "project", "outputs"):
        if value := getattr(target, name):
            line[name] = value
    return line


def _to_target(line: Mapping[str, Any]) -> Target:
    return Target(
        dockerfile=line["dockerfile"],
        context=line["context"],
        inline=line.get("inline", ""),
        stage=line.get("stage", ""),
        args=dict(line.get("args", {})),
        platforms=tuple(line.get("platforms", ())),
        contexts=dict(line.get("contexts", {})),
        project=line.get("project", ""),
        outputs=tuple(line.get("outputs", ())),
    )


def _frozen(content: Mapping[str, Any]) -> Frozen:
    steps = tuple(_to_step(line) for line in content["steps"])
    for index, step in enumerate(steps):
        if any(not 0 <= given.step < index for given in step.inputs):
            raise ValueError(f"step {index} needs a step that does not stand before it")
    contexts = [
        Context(str(line["folder"]), dict(line["files"]), tuple(line.get("exclude", ())))
        for line in content["contexts"]
    ]
    graphs = {}
    same: dict[str, Graph] = {}  # arguments that change nothing share one graph
    for line in content["graphs"]:
        key = (str(line["target"]), tuple(sorted(line["args"].items())), tuple(line["platforms"]))
        text = _line({name: value for name, value in line.items() if name != "args"})
        if text not in same:
            same[text] = _graph(line, steps, contexts)
        graphs[key] = same[text]
    return Frozen(
        targets={name: _to_target(line) for name, line in content["targets"].items()},
        groups={name: tuple(members) for name, members in content["groups"].items()},
        graphs=graphs,
        files=dict(content["files"]),
        variants=tuple(tuple(sorted(args.items())) for args in content["variants"]),
        platforms=tuple(content["platforms"]),
        bake=str(content["bake"]),
    )


def _graph(line: Mapping[str, Any], steps: tuple[Step, ...], contexts: Sequence[Context]) -> Graph:
    whole = Graph(
        target=line["target"],
        platforms=tuple(line["platforms"]),
        steps=steps,
        results=tuple(line["results"]),
        dockerfile=line["dockerfile"],
        contexts={source: contexts[index] for source, index in line["contexts"].items()},
        links=tuple(Link(target, step) for target, step in line["links"]),
    )
    return select(whole, whole.results)
