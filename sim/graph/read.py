"""BuildKit's own graph (`convertllb` JSON) as a `Graph`; platforms united; linked targets cut off.

In: the JSON of one target on one platform. Out: a `Graph` whose digests do not depend on the session, so that equal
steps of two platforms, targets or days are equal. Rules: buildkit-semantics 2, BuildKit's solver/llbsolver/ops.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sim.graph.types import IMAGES, CacheMount, Context, Graph, Input, Kind, Link, Sharing, Step

_KINDS: Mapping[str, Kind] = {"source": "source", "file": "copy", "exec": "exec", "merge": "merge", "diff": "merge"}
_NO_INPUT_MOUNTS = {"SECRET", "SSH", "TMPFS"}  # ops/exec.go getMountDeps
_NONE = -1  # pb.Empty and pb.SkipOutput


Json = Mapping[str, Any]  # protobuf's JSON: camel case, zero values left out, 64-bit numbers as strings


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A `local://` vertex: its name in the graph, what makes it the same source (folder and patterns), its files."""

    source: str
    identity: str
    context: Context


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the JSON does not say, by vertex digest: local sources; and for each linked target its result's vertex."""

    locals: Mapping[str, LocalSource] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def read(
    converted: Json, *, target: str, platform: str, around: Surroundings | None = None, dockerfile: str = "Dockerfile"
) -> Graph:
    """One target on one platform, from BuildKit's `convertllb` result (`def`, `metadata`, `source`)."""
    around = around or Surroundings()
    ops: dict[str, Json] = {digest: op or {} for digest, op in (converted.get("def") or {}).items()}
    places = _places(converted.get("source") or {})
    steps: list[Step] = []
    index: dict[str, int] = {}
    contexts: dict[str, Context] = {}
    by_identity: dict[str, int] = {}
    for digest in _topological(ops):
        local = around.locals.get(digest)
        step = _step(ops[digest], steps, index, local, platform)
        described = (converted["metadata"].get(digest) or {}).get("description") or {}
        file, line = places.get(digest, ("", 0))
        step = replace(step, name=described.get("llb.customname") or step.source or step.kind, file=file, line=line)
        if step.digest not in by_identity:
            by_identity[step.digest] = len(steps)
            steps.append(step)
            if local is not None:
                contexts[local.source] = local.context
        index[digest] = by_identity[step.digest]
    if not steps:
        return Graph(target, (platform,), (), (), dockerfile)
    result = index[_head(ops)]
    links = tuple(Link(name, index[head]) for name, head in sorted(around.links.items()) if head in index)
    return Graph(target, (platform,), tuple(steps), (result,), dockerfile, contexts, links)


def unite(graphs: Sequence[Graph]) -> Graph:
    """The graphs of several platforms as one daemon solves them: equal digests are one step. One result a platform."""
    steps: list[Step] = []
    index: dict[str, int] = {}
    contexts: dict[str, Context] = {}
    results: list[int] = []
    links: dict[Link, None] = {}
    for graph in graphs:
        for step in graph.steps:
            if step.digest not in index:
                inputs = tuple(replace(given, step=index[graph.steps[given.step].digest]) for given in step.inputs)
                index[step.digest] = len(steps)
                steps.append(replace(step, inputs=inputs))
        contexts.update(graph.contexts)
        results.extend(index[graph.steps[result].digest] for result in graph.results)
        links.update((Link(link.target, index[graph.steps[link.step].digest]), None) for link in graph.links)
    platforms = tuple(platform for graph in graphs for platform in graph.platforms)
    return Graph(
        graphs[0].target, platforms, tuple(steps), tuple(results), graphs[0].dockerfile, contexts, tuple(links)
    )


def cut(graph: Graph, link: Link | str, name: str = "base") -> Graph:
    """The graph with a linked target's result imported instead of built: it stands in another project.

    Each vertex of the link becomes one source step `[context NAME] import TARGET`; what only it needed is gone. Steps
    above keep their digests: those already stand for the base's whole definition.
    """
    target = link if isinstance(link, str) else link.target
    heads = {found.step for found in graph.links if found.target == target}
    steps = list(graph.steps)
    for head in heads:
        old = steps[head]
        digest = _sha(["import", target, old.digest])
        steps[head] = Step(
            digest, digest, f"[context {name}] import {target}", "source", old.platform, source=f"target:{target}"
        )
    return select(replace(graph, steps=tuple(steps)), graph.results)


def select(graph: Graph, results: Sequence[int]) -> Graph:
    """Only what the given results need, in the same order. Whoever drops results sets `platforms` to match."""
    needed: set[int] = set()
    stack = list(results)
    while stack:
        at = stack.pop()
        if at not in needed:
            needed.add(at)
            stack.extend(given.step for given in graph.steps[at].inputs)
    index = {old: new for new, old in enumerate(sorted(needed))}
    steps = tuple(
        replace(graph.steps[old], inputs=tuple(replace(one, step=index[one.step]) for one in graph.steps[old].inputs))
        for old in index
    )
    used = {step.source for step in steps if step.kind == "context"}
    return replace(
        graph,
        steps=steps,
        results=tuple(index[result] for result in results),
        contexts={source: context for source, context in graph.contexts.items() if source in used},
        links=tuple(Link(link.target, index[link.step]) for link in graph.links if link.step in index),
    )


def _topological(ops: Mapping[str, Json]) -> Iterator[str]:
    """Inputs first, in the order in which operations name them; the terminal vertex only names the result: left out."""
    seen: set[str] = set()
    stack = [(_head(ops), False)] if ops else []
    while stack:
        digest, is_ready = stack.pop()
        if is_ready:
            yield digest
        elif digest not in seen:
            seen.add(digest)
            stack.append((digest, True))
            stack.extend((given["digest"], False) for given in reversed(ops[digest].get("inputs") or []))


def _head(ops: Mapping[str, Json]) -> str:
    consumed = {given["digest"] for op in ops.values() for given in op.get("inputs") or []}
    last = next(digest for digest in ops if digest not in consumed)
    is_terminal = _type(ops[last]) == "" and bool(ops[last].get("inputs"))
    return str(ops[last]["inputs"][0]["digest"]) if is_terminal else last


def _type(op: Json) -> str:
    return next((name for name in _KINDS if name in op), "")


def _step(
    op: Json, steps: Sequence[Step], index: Mapping[str, int], local: LocalSource | None, target_platform: str
) -> Step:
    given = [(index[one["digest"]], int(one.get("index", 0))) for one in op.get("inputs") or []]
    kind, source = _KINDS.get(_type(op), "merge"), ""
    identity: dict[str, Any] = {key: value for key, value in op.items() if key not in ("inputs", "constraints")}
    if "source" in op:
        source = str(op["source"]["identifier"])
        attrs = {key: value for key, value in (op["source"].get("attrs") or {}).items() if not key.startswith("local.")}
        identity["source"] = [local.identity if local else source, attrs]
        if source.startswith("local://"):
            kind, source = "context", local.source if local else source
        if not source.startswith(IMAGES):
            identity.pop("platform", None)
    inputs = _inputs(op, [at for at, _ in given])
    onto = next((steps[one.step].platform for one in inputs if not one.by_content), target_platform)
    return Step(
        digest=_sha([identity, [[steps[at].digest, output] for at, output in given]]),
        op=_sha(_cache_map(op, identity)),
        name="",
        kind=kind,
        platform=_platform(op.get("platform")) or onto,  # a COPY has none of its own
        inputs=inputs,
        mounts=tuple(_cache_mounts(op)),
        source=source,
    )


def _cache_map(op: Json, identity: Json) -> Json:
    """What BuildKit's CacheMap hashes: the operation without its inputs (ops/exec.go, ops/file.go)."""
    if "exec" in op:
        return {"exec": _exec_key(op["exec"]), "platform": op.get("platform")}
    if "file" in op:
        inputs = len(op.get("inputs") or [])
        return {"file": [_action_key(action, inputs) for action in op["file"].get("actions") or []]}
    return identity


def _exec_key(op: Json) -> dict[str, Any]:
    meta = {key: value for key, value in op["meta"].items() if key != "proxyEnv"}
    if "extraHosts" in meta:
        meta["extraHosts"] = [{"host": host.get("Host") or host.get("host")} for host in meta["extraHosts"]]
    mounts = []
    for mount in op.get("mounts") or []:
        kept = {key: value for key, value in mount.items() if key != "selector"}
        if "cacheOpt" in kept and not _is_default_cache(mount):
            kept["cacheOpt"] = {}
        mounts.append(kept)
    if len(mounts) == 1 and mounts[0].keys() <= {"dest", "input"} and mounts[0]["dest"] == "/":
        mounts = []  # a lone root mount is left out of the key
    return {
        **{key: value for key, value in op.items() if key not in ("meta", "mounts")},
        "meta": meta,
        "mounts": mounts,
    }


def _is_default_cache(mount: Json) -> bool:
    """Id and sharing of a cache mount are in the key only when both are the defaults (checkShouldClearCacheOpts)."""
    options = mount["cacheOpt"]
    name = options.get("ID", "")
    return "sharing" not in options and mount["dest"] in (name, name.partition("/")[2])


def _action_key(action: Json, inputs: int) -> dict[str, Any]:
    copied = action.get("copy")
    if copied is None or not 0 <= int(action.get("secondaryInput", 0)) < inputs:
        return dict(action)
    return {**action, "copy": {**copied, "src": _basename(copied.get("src", ""))}}


def _basename(path: str) -> str:
    """Go's path.Base."""
    return posixpath.basename(path.rstrip("/")) or ("/" if path.startswith("/") else ".")


def _inputs(op: Json, given: Sequence[int]) -> tuple[Input, ...]:
    """Inputs in BuildKit's order, marked where a second look-up goes by content."""
    selected: Mapping[int, list[str]] = {}
    if "file" in op:
        selected = _copied_paths(op["file"].get("actions") or [], len(given))
    elif "exec" in op:
        selected = _mounted_paths(op["exec"].get("mounts") or [], len(given))
    found = []
    for position, step in enumerate(given):
        paths = tuple(dict.fromkeys(selected.get(position, ())))
        found.append(Input(step, by_content=bool(paths), paths=paths))
    return tuple(found)


def _copied_paths(actions: Sequence[Json], inputs: int) -> dict[int, list[str]]:
    """Secondary inputs of COPY and ADD, unless the same input is also written onto (ops/file.go CacheMap)."""
    selected: dict[int, list[str]] = {}
    written = {int(action.get("input", 0)) for action in actions}
    for action in actions:
        act: Json = next((action[name] for name in ("copy", "mkfile", "mkdir", "symlink") if name in action), {})
        for who, file in (("user", "/etc/passwd"), ("group", "/etc/group")):
            named = ((act.get("owner") or {}).get(who) or {}).get("byName")
            if named is not None:
                selected.setdefault(int(named.get("input", 0)), []).append(file)
        if "copy" in action:
            paths = act.get("includePatterns") or [act.get("src", "/")]
            selected.setdefault(int(action.get("secondaryInput", 0)), []).extend(paths)
    return {at: paths for at, paths in selected.items() if 0 <= at < inputs and at not in written}


def _mounted_paths(mounts: Sequence[Json], inputs: int) -> dict[int, list[str]]:
    """Mounts that a step cannot write through, never its root; of two of one input the last decides (ops/exec.go)."""
    selected: dict[int, list[str]] = {}
    by_content: dict[int, bool] = {}
    for mount in mounts:
        at = int(mount.get("input", 0))
        if mount.get("mountType") in _NO_INPUT_MOUNTS or not 0 <= at < inputs:
            continue
        path = posixpath.join("/", mount.get("selector", "").lstrip("/"))
        selected.setdefault(at, []).append(path)
        is_safe = int(mount.get("output", 0)) == _NONE or bool(mount.get("readonly")) or path == "/"
        by_content[at] = is_safe and mount["dest"] != "/" and mount.get("contentCache") != "OFF"
    return {at: paths for at, paths in selected.items() if by_content[at]}


def _cache_mounts(op: Json) -> Iterator[CacheMount]:
    for mount in (op.get("exec") or {}).get("mounts") or []:
        if mount.get("mountType") == "CACHE":
            options = mount.get("cacheOpt") or {}
            # The frontend writes NAMESPACE/ID; without a namespace that leaves a slash in front.
            name = options.get("ID", mount["dest"]).removeprefix("/")
            yield CacheMount(name, mount["dest"], cast(Sharing, options.get("sharing", "SHARED").lower()))


def _platform(found: Json | None) -> str:
    if not found:
        return ""
    return "/".join(filter(None, (found.get("OS"), found.get("Architecture"), found.get("Variant"))))


def _places(source: Json) -> dict[str, tuple[str, int]]:
    infos = source.get("infos") or []
    found = {}
    for digest, at in (source.get("locations") or {}).items():
        for location in at.get("locations") or []:
            if location.get("ranges"):
                file = infos[location.get("sourceIndex", 0)].get("filename", "")
                found[digest] = (file, int(location["ranges"][0]["start"]["line"]))
                break
    return found


def _sha(value: Any) -> str:
    """128 bits of sha256 over canonical JSON: enough to tell steps apart, short enough to read a lock file."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
