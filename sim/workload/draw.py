"""The draw: from a scenario's workload and a seed to the list of requests that every candidate faces.

In: scenario, graphs, seed. Out: `Request`s in the order of their earliest arrival. A request that waits for others (`needs`, `after`)
stands behind them, where it would stand if they took no time. What is drawn for one entry depends on that entry and the
seed alone (`sim.workload.streams`); only the trunk's content is common to all entries.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Protocol

from sim.graph.types import Graph
from sim.scenario.fields.scenario import Scenario
from sim.scenario.fields.workload import Entry, Job
from sim.workload.failures import TargetGraphs, failing_step
from sim.workload.history import History
from sim.workload.pushes import Push, pushes
from sim.workload.request import Content, Request

MAX_REQUESTS = 1_000_000  # about 1 GB of requests: beyond, the horizon or the rate is a typing error
COMMITS_PER_ENTRY = 10_000_000  # commit 20000003 is the third of entry 2: a number that no other entry can shift


class Graphs(Protocol):
    """What is built: `sim.graph`'s graphs, by target, arguments and platforms."""

    def closure(self, names: Sequence[str], /) -> Sequence[str]: ...
    def platforms(self, target: str, /) -> Sequence[str]: ...
    def graph(self, target: str, args: tuple[tuple[str, str], ...], platforms: tuple[str, ...], /) -> Graph: ...


@dataclass(slots=True, eq=False)
class _Draft:
    """A request whose place is not fixed yet: what it waits for are drafts too."""

    request: Request
    earliest_s: float
    needs: list[_Draft] = field(default_factory=list)
    after: _Draft | None = None
    index: int = -1


def draw(scenario: Scenario, graphs: Graphs, seed: int) -> list[Request]:
    """All requests of a run, `index` being the place in the list. `InputError` for a workload that cannot be drawn."""
    _check_ends(scenario)
    limit = scenario.requests or MAX_REQUESTS + 1
    drafts = _in_order(_Drawing(scenario, graphs, seed), limit)
    if len(drafts) > MAX_REQUESTS:
        raise scenario.problem(
            ("workload",), f"more than {MAX_REQUESTS} requests", hint="shorten the horizon, lower the rate, or set requests"
        )
    if not drafts and all(entry.arrivals.times or entry.arrivals.csv for entry in scenario.workload):
        raise scenario.problem(("workload",), "no request arrives before the horizon", hint="raise horizon")
    return _finished(scenario, drafts)


def _check_ends(scenario: Scenario) -> None:
    for index, entry in enumerate(scenario.workload):
        endless = entry.arrivals.rate is not None or entry.arrivals.clients is not None
        if endless and scenario.horizon is None and scenario.requests is None:
            raise scenario.problem(
                ("workload", index, "arrivals"), "these arrivals never end", hint="set horizon or requests"
            )
        if entry.changes.git is not None:
            raise scenario.problem(
                ("workload", index, "changes", "git"), "a git history must be turned into rows first", hint="list rows of paths and share"
            )


def _in_order(drawing: _Drawing, limit: int) -> list[_Draft]:
    """The first `limit` drafts by earliest arrival. A draft is final once no later push can come before it."""
    waiting: list[tuple[float, int, _Draft]] = []
    ready: list[_Draft] = []
    count = 0

    def release(until_s: float) -> None:
        while waiting and waiting[0][0] < until_s and len(ready) < limit:
            draft = heapq.heappop(waiting)[2]
            draft.index = len(ready)
            ready.append(draft)

    for push in drawing.pushes():
        release(push.earliest_s)
        if len(ready) >= limit:
            break
        for draft in drawing.requests(push):
            heapq.heappush(waiting, (draft.earliest_s, count, draft))
            count += 1
    release(inf)
    return ready


class _Drawing:
    """One draw in progress: pushes in order of time, and the state that they leave behind."""

    def __init__(self, scenario: Scenario, graphs: Graphs, seed: int) -> None:
        self._scenario, self._graphs, self._seed = scenario, graphs, seed
        self._horizon_s = inf if scenario.horizon is None else scenario.horizon
        self._history = History(scenario.edits)
        self._last_of_client: dict[tuple[int, int], _Draft] = {}
        self._planned = [planned_jobs(scenario, index, graphs) for index in range(len(scenario.workload))]
        self._found_graphs: dict[tuple[str, Args], TargetGraphs] = {}

    def pushes(self) -> Iterator[Push]:
        """All entries' pushes before the horizon, merged by time; of one time, in the order of the entries."""
        sources = (
            pushes(self._scenario, index, client, self._seed)
            for index, entry in enumerate(self._scenario.workload)
            for client in range(entry.arrivals.clients or 1)
        )
        for push in heapq.merge(*sources, key=lambda push: (push.earliest_s, push.entry, push.client)):
            if push.earliest_s >= self._horizon_s:
                return
            yield push

    def requests(self, push: Push) -> list[_Draft]:
        """The jobs of a push, and those of its re-runs that can come before the horizon."""
        entry = self._scenario.workload[push.entry]
        commit = push.entry * COMMITS_PER_ENTRY + push.number * (entry.arrivals.clients or 1) + push.client + 1
        self._history.commit(push.entry, push.branch, push.paths, commit, push.earliest_s)
        planned = self._planned[push.entry]
        if push.build is not None:  # a row of a csv file names its own targets: one job, with the first one's settings
            job = planned[0].job.model_copy(update={"build": push.build, "needs": ()})
            planned = (PlannedJob(0, job, tuple(self._graphs.closure(push.build)), ()),)
        failing = self._failing(push, planned) if push.is_failing else frozenset[str]()
        found: list[_Draft] = []
        for attempt in range(push.reruns + 1):
            drafts = self._attempt(push, planned, replace_commit(push, commit, attempt, failing), found)
            if attempt and min(draft.earliest_s for draft in drafts) >= self._horizon_s:
                break
            found.extend(drafts)
        if push.think_s is not None:
            self._last_of_client[push.entry, push.client] = found[-1]
        return found
