"""A graph for people: a text tree, the longest path, the width; and for programs: Graphviz's dot and JSON.

In: a `Graph`, and a cost in seconds for each step where a path is asked for. Out: text or plain values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict

from sim.graph.types import Graph, Step

_FILL = {"source": "#dbe7f5", "context": "#e8e8e8", "copy": "#e4f2dc", "exec": "#fbe9cf", "merge": "#eee0f4"}


def tree(graph: Graph, shared: Collection[str] = ()) -> str:
    """The steps of a target. A step stands below its base; what it copies from stands indented above it.

    A step that several others need is printed once with `*`, then named as "above". `shared` holds digests that other
    targets need too: marked `+`.
    """
    consumers = graph.consumers()
    seen: set[int] = set()
    lines: list[str] = []

    def stage(top: int, indent: str) -> None:
        chain = [top]
        while (base := _base(graph.steps[chain[-1]])) is not None and base not in seen:
            chain.append(base)
        if base is not None:
            lines.append(f"{indent}  {graph.steps[base].name} (above)")
        for at in reversed(chain):
            step = graph.steps[at]
            for given in step.inputs:
                if given.step not in (_base(step), *seen):
                    stage(given.step, indent + "│ ")
            marks = ("*" if len(consumers[at]) > 1 else "") + ("+" if step.digest in shared else "")
            lines.append(f"{indent}{marks or ' ':2}{step.name}")
            seen.add(at)

    for platform, result in zip(graph.platforms, graph.results, strict=True):
        lines.append(f"{graph.target} for {platform}")
        if result in seen:
            lines.append(f"  {graph.steps[result].name} (above)")
        else:
            stage(result, "")
    return "\n".join(lines)


def critical_path(graph: Graph, cost_s: Callable[[Step], float]) -> tuple[float, tuple[int, ...]]:
    """The longest chain of steps, in seconds: no farm, however large, builds a cold target faster."""
    end_s: list[float] = []
    before: list[int] = []
    for step in graph.steps:
        last = max((given.step for given in step.inputs), key=end_s.__getitem__, default=-1)
        before.append(last)
        end_s.append(cost_s(step) + (end_s[last] if last >= 0 else 0.0))
    if not end_s:
        return 0.0, ()
    at = max(range(len(end_s)), key=end_s.__getitem__)
    total_s, path = end_s[at], []
    while at >= 0:
        path.append(at)
        at = before[at]
    return total_s, tuple(reversed(path))


def width(graph: Graph) -> int:
    """The largest number of steps on one level: a step's level is the longest way to it, sources not counted."""
    level: list[int] = []
    count: dict[int, int] = {}
    for step in graph.steps:
        weight = 0 if step.kind in ("source", "context") else 1
        level.append(max((level[given.step] for given in step.inputs), default=0) + weight)
        if weight:
            count[level[-1]] = count.get(level[-1], 0) + 1
    return max(count.values(), default=0)


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz's language; edges that BuildKit also follows by content are dashed."""
    lines = [
        f"digraph {json.dumps(graph.target)} {{",
        "  rankdir=LR;",
        '  node [shape=box, style=filled, fontname="sans-serif"];',
    ]
    for at, step in enumerate(graph.steps):
        thick = ", penwidth=2" if at in graph.results else ""
        lines.append(f'  s{at} [label={_quoted(step.name)}, fillcolor="{_FILL[step.kind]}"{thick}];')
    for at, step in enumerate(graph.steps):
        for given in step.inputs:
            style = f" [style=dashed, label={_quoted(' '.join(given.paths))}]" if given.by_content else ""
            lines.append(f"  s{given.step} -> s{at}{style};")
    return "\n".join([*lines, "}"])


def to_json(graph: Graph) -> dict[str, object]:
    """The graph as plain values for `json.dump`; contexts with their number of files and bytes."""
    return {
        "target": graph.target,
        "platforms": list(graph.platforms),
        "dockerfile": graph.dockerfile,
        "steps": [asdict(step) for step in graph.steps],
        "results": list(graph.results),
        "links": {link.target: link.step for link in graph.links},
        "contexts": {
            source: {"folder": context.folder, "files": len(context.files), "bytes": sum(context.files.values())}
            for source, context in graph.contexts.items()
        },
    }


def _base(step: Step) -> int | None:
    """The input that a step stands on: its root, or what a COPY writes onto."""
    return next((given.step for given in step.inputs if not given.by_content), None)


def _quoted(text: str) -> str:
    """A dot string; long commands are cut, for a picture is to be read."""
    return json.dumps(text if len(text) <= 60 else text[:59] + "…", ensure_ascii=False)
