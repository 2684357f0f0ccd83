"""What is built: one immutable graph of steps (BuildKit's vertices), as the solver sees them.

In: BuildKit's own output (`convertllb` JSON), read by `sim.graph.read`. Out: `Graph`, which the workload, the profile
and the model share. A graph holds no costs and no content: those depend on the machine and on the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["source", "context", "copy", "exec", "merge"]
Sharing = Literal["shared", "private", "locked"]
IMAGES = ("docker-image://", "oci-layout://")  # how the `source` of a step begins that is an image


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a step.

    `by_content` marks inputs that BuildKit looks up a second time by the digest of the selected `paths` (COPY/ADD
    sources and read-only mounts: buildkit-semantics 2). The root of a RUN and the destination of a COPY never are.
    """

    step: int
    by_content: bool = False
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheMount:
    """`RUN --mount=type=cache`: its id after BuildKit's defaults, and how concurrent users share it."""

    id: str
    target: str
    sharing: Sharing = "shared"


@dataclass(frozen=True, slots=True)
class Step:
    """A vertex. `digest` identifies its content-free definition, inputs included; `op` the operation alone."""

    digest: str
    op: str
    name: str
    kind: Kind
    platform: str
    inputs: tuple[Input, ...] = ()
    mounts: tuple[CacheMount, ...] = ()
    source: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """A local context: its folder (relative to the scenario file, posix), and the bytes of each file in it.

    The files are those that .dockerignore leaves; an entry that ends in `/` stands for a whole folder. `exclude` are the
    patterns of .dockerignore, for files that were not there when the lock file was made.
    """

    folder: str
    files: Mapping[str, int]
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """`contexts = {base = "target:base"}`: `step` is where the other target's result stands in this graph."""

    target: str
    step: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything one daemon solves for one target.

    `steps` is in topological order (inputs first); `results` has one step per entry of `platforms`. `contexts` maps the
    `source` of a context step (`local://context`) to its files. Steps of unused stages are not in it.
    """

    target: str
    platforms: tuple[str, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]
    dockerfile: str = "Dockerfile"
    contexts: Mapping[str, Context] = field(default_factory=dict)
    links: tuple[Link, ...] = ()

    def main_context(self) -> Context | None:
        """What `COPY` without `--from` copies from; None where nothing is."""
        return self.contexts.get("local://context")

    def consumers(self) -> list[list[int]]:
        """For each step, the steps that take it as an input."""
        found: list[list[int]] = [[] for _ in self.steps]
        for index, step in enumerate(self.steps):
            for given in step.inputs:
                found[given.step].append(index)
        return found
