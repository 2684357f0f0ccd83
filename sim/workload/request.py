"""What arrives: one `Request` is one command (`build app`, `bake default`), drawn before any farm is chosen.

In: a scenario's workload and a seed. Out: a list of requests that every candidate, and a replay, faces alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from sim.workload.output import Output


@dataclass(frozen=True, slots=True)
class Content:
    """The state of the files at a commit: for each path that changed since the start, the version it has now.

    Paths are relative to the scenario file's folder, posix, a folder ends in `/`. A version is unique to what was
    written, so equal versions mean equal bytes. Equal contents compare and hash equal.
    """

    versions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One command.

    `arrived_s` is seconds from the run's start. With `needs` (indices of earlier requests) it arrives `after_s` after the
    last of them has ended; a closed client's request (`after`) arrives `think_s` after its predecessor has ended; then
    `arrived_s` is 0. `superseded_by` cancels this one when that one arrives. `failing` holds the `Step.digest`s that fail
    at this commit. `attempt` counts re-runs of one commit, from 0. `output` is what it exports; None: each target's own.

    What the files look like to a client that kept them is `content` and `touches`: of each path whose time was set anew since
    its last write, without other bytes, the number of that touch. `client` is who sends them, over `uplink_bytes_per_s`;
    None is one that never comes again, as a fresh CI job's.
    """

    index: int
    arrived_s: float
    asked: str
    targets: tuple[str, ...]
    args: tuple[tuple[str, str], ...] = ()
    content: Content = field(default_factory=Content)
    commit: int = 0
    branch: int = 0
    entry: int = 0
    job: int = 0
    attempt: int = 0
    no_cache: bool = False
    cancel_after_s: float | None = None
    superseded_by: int | None = None
    needs: tuple[int, ...] = ()
    after_s: float = 0.0
    after: int | None = None
    think_s: float = 0.0
    failing: frozenset[str] = frozenset()
    touched: tuple[str, ...] = ()
    fresh_checkout: bool = True
    output: Output | None = None
    uplink_bytes_per_s: float = inf
    client: int | None = None
    touches: tuple[tuple[str, int], ...] = ()
