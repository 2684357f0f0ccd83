"""How the steps of a graph stand on each other: what a step builds upon, and where what it copies comes from.

In: a `Graph`. Out: for a step its root and its other inputs; for a path selected in a stage the places that provide it in
the synthetic image: outputs of a RUN in `/out`, what a COPY brought in `/in`, an image's own identity in `/.state`.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from sim.graph.types import Graph, Input, Step
from sim.workload.selection import selected_files

STATE = "/.state"
LOAD = "/load"
_COMMAND = re.compile(r"^(?:LINK )?(?P<verb>COPY|ADD|WORKDIR) (?P<rest>.*)$", re.DOTALL)
_PREFIX = re.compile(r"^\[[^\]]*\] ")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies in the synthetic image of a step's root, and the step that put it there."""

    step: int
    by: Literal["run", "copy", "image"]
    path: str
    selected: str


def root(graph: Graph, index: int) -> int | None:
    """The step whose files this one changes: a RUN's root, a COPY's destination, a merge's lower side."""
    step = graph.steps[index]
    if step.kind == "merge":
        return step.inputs[0].step
    if step.kind == "exec":  # BuildKit names the root first (dockerfile2llb)
        first = step.inputs[:1]
        return first[0].step if first and _is_root(graph, first[0]) else None
    return next((given.step for given in step.inputs if _is_root(graph, given)), None)


def taken(graph: Graph, index: int) -> list[Input]:
    """A step's inputs beside its root: what it copies or mounts."""
    step = graph.steps[index]
    if step.kind == "merge":
        return []
    below = root(graph, index)
    return [given for given in step.inputs if given.step != below]


def linked_copy(graph: Graph, index: int) -> int | None:
    """The COPY --link whose files a merge lays over its lower side."""
    step = graph.steps[index]
    return step.inputs[1].step if step.kind == "merge" else None


def is_document(graph: Graph, index: int) -> bool:
    """Is it the text of a here-document (`preparing inline document`): a file that nothing is needed for?"""
    step = graph.steps[index]
    return step.kind == "copy" and not step.inputs


def copies(graph: Graph, index: int | None) -> tuple[int | None, list[int]]:
    """The nearest RUN or source at or below a step, and the COPYs that stand upon it, lowest first.

    Of COPYs of one operation the upper one counts: it writes over what the lower one brought.
    """
    above: dict[str, int] = {}
    while index is not None and graph.steps[index].kind not in ("exec", "source"):
        copied = linked_copy(graph, index)
        copied = index if copied is None else copied
        if taken(graph, copied):
            above.setdefault(graph.steps[copied].op, copied)
        index = root(graph, index)
    return index, list(above.values())[::-1]


def places(graph: Graph, step: int, path: str) -> list[Place]:
    """What provides a path selected in the stage that ends at `step`.

    A COPY that brought exactly this path; else every COPY that brought a part of it, and the RUN below: what no COPY is
    known to bring, the last RUN made.
    """
    base, above = copies(graph, step)
    found: list[Place] = []
    for copied in reversed(above):
        match = _brings(graph, copied, path)
        if match:
            found.append(Place(copied, "copy", f"{copied_folder(graph.steps[copied])}/", path))
        if match == "all":
            return found
    if base is not None and graph.steps[base].kind == "exec":
        found.append(Place(base, "run", output_path(path), path))
    elif not found and above:
        found = [Place(copied, "copy", f"{copied_folder(graph.steps[copied])}/", path) for copied in above]
    if not found and base is not None:
        found.append(Place(base, "image", STATE, path))
    return found


def copied_folder(step: Step) -> str:
    """Where the synthetic COPY puts what it takes: equal operations have equal folders, as BuildKit's keys want it."""
    return f"/in/{step.op[:12]}"


def output_path(path: str) -> str:
    """Where a synthetic RUN writes what is selected as `path`. The last part follows the path's: COPY's key has it."""
    name = posixpath.basename(path.rstrip("/"))
    return f"/out/{blake2b(path.encode(), digest_size=5).hexdigest()}/{re.sub(r'[^A-Za-z0-9._-]', '_', name) or '_'}"


def entry(graph: Graph, index: int | None, platform: str) -> str:
    """Where the load program of a platform lies in the files of a step; empty when nothing brought it."""
    links = link_steps(graph)
    while index is not None:
        step = graph.steps[index]
        if step.kind == "source" or index in links:
            return LOAD
        below = root(graph, index)
        if below is None and (source := load_source(graph, index)) is not None:
            is_context = graph.steps[source].kind == "context"
            return f"{copied_folder(step)}/{program_folder(platform) if is_context else ''}".rstrip("/") + LOAD
        index = below
    return ""


def load_source(graph: Graph, index: int) -> int | None:
    """The first of what a COPY takes that can bring the load program with it."""
    if graph.steps[index].kind != "copy":
        return None
    return next((given.step for given in taken(graph, index) if not is_document(graph, given.step)), None)


def program_folder(platform: str) -> str:
    """Where a platform's load program lies in a context's folder of them."""
    return platform.replace("/", "-")


def link_steps(graph: Graph) -> dict[int, str]:
    """The steps that are another target's results, and that target."""
    return {link.step: link.target for link in graph.links}


def needs_load(graph: Graph) -> set[int]:
    """The COPYs onto nothing on which a RUN stands: they must bring the program that the RUN is."""
    found: set[int] = set()
    for index, step in enumerate(graph.steps):
        if step.kind != "exec":
            continue
        below: int | None = root(graph, index)
        last = index
        while below is not None:
            last, below = below, root(graph, below)
        if graph.steps[last].kind == "copy":
            found.add(last)
    return found


def _is_root(graph: Graph, given: Input) -> bool:
    return not given.by_content and graph.steps[given.step].kind != "context"


def _brings(graph: Graph, index: int, path: str) -> Literal["all", "part", ""]:
    """Does a COPY bring this path, as far as its text and the context's files tell?"""
    written = _command(graph.steps[index])
    if written is None or written[0] == "WORKDIR":
        return ""
    words = _words(written[1])
    if not words:
        return ""
    target = words[-1]
    is_folder = target.endswith(("/", ".")) or len(words) > 2
    target = posixpath.normpath(posixpath.join(_workdir(graph, root(graph, index)), target))
    wanted = posixpath.normpath(path)
    brought: set[str] = set()
    for given in taken(graph, index):
        source = graph.steps[given.step]
        if source.kind == "context":
            context = graph.contexts[source.source]
            for selector in given.paths:
                brought |= _landed(selector, list(selected_files(context, (selector,))), target, is_folder)
        else:
            brought |= {posixpath.join(target, posixpath.basename(selector)) for selector in given.paths}
            brought.add(target if not is_folder else target + "/*")
    if wanted in brought:
        return "all"
    return "part" if any(_is_below(one, wanted) for one in brought) else ""


def _landed(selector: str, files: list[str], target: str, is_folder: bool) -> set[str]:
    """Where a context's files land: a folder's contents in the target, a file in it or as it."""
    folder = selector.strip("/")
    found = set()
    for name in files:
        if name == folder:
            found.add(posixpath.join(target, posixpath.basename(name)) if is_folder else target)
        elif not folder or name.startswith(f"{folder}/"):
            found.add(posixpath.join(target, name[len(folder) + 1 :] if folder else name))
        else:  # a pattern
            found.add(posixpath.join(target, posixpath.basename(name.rstrip("/"))))
    return found


def _is_below(one: str, folder: str) -> bool:
    return folder == "/" or one.startswith(f"{folder}/")


def _command(step: Step) -> tuple[str, str] | None:
    match = _COMMAND.match(_PREFIX.sub("", step.name, count=1))
    return (match["verb"], match["rest"]) if match else None


def _words(rest: str) -> list[str]:
    """The paths of a COPY or ADD, flags left out; the last one is where to."""
    while rest.startswith("--"):
        rest = rest.partition(" ")[2].lstrip()
    if rest.startswith("["):
        try:
            return [str(word) for word in json.loads(rest)]
        except ValueError:
            pass
    return rest.split()


def _workdir(graph: Graph, index: int | None) -> str:
    """The working folder at a step, from the WORKDIRs at and below it; an image's own is not known and taken as `/`."""
    found = ""
    while index is not None and not found.startswith("/"):
        written = _command(graph.steps[index])
        if written is not None and written[0] == "WORKDIR":
            found = posixpath.join(written[1].strip(), found)
        index = root(graph, index)
    return posixpath.join("/", found)
