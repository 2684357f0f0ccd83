"""The draw: from a scenario's workload and a seed to the list of requests that every candidate faces.

In: scenario, graphs, seed. Out: `Request`s in the order of their earliest arrival: one that waits for others (`needs`,
`after`) stands where it would if they took no time. What is drawn for an entry is a function of that entry and the seed
alone (`sim.workload.streams`); only the trunk's content is common to all entries, as a repository's is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from sim.errors import InputError
from sim.graph import Graphs
from sim.scenario.fields.scenario import Scenario
from sim.scenario.fields.workload import Entry, Job
from sim.workload.arrivals import expected
from sim.workload.failures import TargetGraphs, after_success, failing_step
from sim.workload.history import History
from sim.workload.output import Output, parse
from sim.workload.pushes import FASTEST_BUILD_S, Push, pushes
from sim.workload.request import Request

MAX_REQUESTS = 1_000_000  # about 1 GB of requests: beyond it the horizon or the rate is a typing error
COMMITS_PER_ENTRY = 10_000_000  # commit 20000003 is the third of entry 2: a number that no other entry can shift
CLIENTS_PER_ENTRY = COMMITS_PER_ENTRY  # likewise for the clients that keep their checkouts

Args = tuple[tuple[str, str], ...]


def draw(scenario: Scenario, graphs: Graphs, seed: int) -> list[Request]:
    """All requests of a run, `index` being the place in the list. `InputError` for a workload that cannot be drawn.

    A push that comes before the horizon brings all its jobs; a closed client's push or a re-run is left out only when
    it cannot come before the horizon, so the caller drops those that in the run come too late.
    """
    _check(scenario)
    _check_outputs(scenario, graphs)
    drafts = _in_order(_Drawing(scenario, graphs, seed), scenario.requests or MAX_REQUESTS + 1)
    if len(drafts) > MAX_REQUESTS:
        raise _too_many(scenario)
    if not drafts and all(entry.arrivals.times or entry.arrivals.csv for entry in scenario.workload):
        raise scenario.problem(("workload",), "no request arrives before the horizon", "raise horizon")
    return _finished(scenario, drafts)


def _check(scenario: Scenario) -> None:
    """What the loader cannot see: a failure chain that does not exist, a run that does not fit, a git history."""
    count = float(scenario.requests or 0)
    for index, entry in enumerate(scenario.workload):
        if entry.changes.git is not None:
            place = ("workload", index, "changes", "git")
            raise scenario.problem(place, "a git history is not read here", "list rows of paths and share")
        if entry.fails.after_failure is not None:
            try:
                after_success(entry.fails.rate, entry.fails.after_failure)
            except InputError as error:
                raise scenario.problem(("workload", index, "fails"), error.what, error.hint) from None
        given, jobs = entry.arrivals, len(entry.jobs)
        if scenario.horizon is not None and given.rate is not None:
            count += jobs * expected(given.rate, given.pattern, scenario.start, scenario.horizon)
        elif scenario.horizon is not None and given.clients is not None:
            count += jobs * given.clients * scenario.horizon / (given.think + FASTEST_BUILD_S)
    if count > MAX_REQUESTS:
        raise _too_many(scenario)


def _check_outputs(scenario: Scenario, graphs: Graphs) -> None:
    """Words of a bake target's own outputs that the model does not know are told before anything runs."""
    for target in graphs.targets:
        for text in graphs.outputs(target):
            try:
                parse(text)
            except InputError as error:
                raise scenario.problem(("bake",), f"target '{target}': {error.what}", error.hint) from None


def _too_many(scenario: Scenario) -> InputError:
    hint = "shorten the horizon, lower the rate, give clients a think time, or set requests"
    return scenario.problem(("workload",), f"more than {MAX_REQUESTS:,} requests", hint)


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job of an entry: its number, its targets, and the numbers of the earlier jobs that it needs."""

    number: int
    job: Job
    targets: tuple[str, ...]
    needs: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class _Draft:
    """A request whose index is not known yet, nor those of the drafts that it waits for."""

    request: Request
    earliest_s: float
    needs: tuple[_Draft, ...] = ()
    after: _Draft | None = None
    index: int = -1


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
        if len(ready) >= limit or count > 2 * MAX_REQUESTS:
            break
        for draft in drawing.requests(push):
            heapq.heappush(waiting, (draft.earliest_s, count, draft))
            count += 1
    release(inf)
    return ready


def _finished(scenario: Scenario, drafts: Sequence[_Draft]) -> list[Request]:
    """Drafts to requests: indices instead of drafts, and who supersedes whom (entry, job and branch being equal)."""
    newer: dict[tuple[int, int, int], tuple[int, int]] = {}
    requests: list[Request] = []
    for draft in reversed(drafts):
        drawn = draft.request
        superseded_by = None
        if scenario.workload[drawn.entry].cancel_superseded:
            line = (drawn.entry, drawn.job, drawn.branch)
            next_index, next_commit = newer.get(line, (-1, -1))
            superseded_by = next_index if next_index >= 0 and next_commit != drawn.commit else None
            if drawn.attempt == 0:
                newer[line] = (draft.index, drawn.commit)
        requests.append(
            replace(
                drawn,
                index=draft.index,
                superseded_by=superseded_by,
                needs=tuple(sorted(need.index for need in draft.needs)),
                after=None if draft.after is None else draft.after.index,
            )
        )
    return requests[::-1]


class _Drawing:
    """One draw in progress: pushes in order of time, and the state that they leave behind."""

    def __init__(self, scenario: Scenario, graphs: Graphs, seed: int) -> None:
        self._scenario, self._graphs, self._seed = scenario, graphs, seed
        self._horizon_s = inf if scenario.horizon is None else scenario.horizon
        self._history = History(scenario.edits)
        self._last_of_client: dict[tuple[int, int], _Draft] = {}
        self._outputs = [None if entry.output is None else Output.of(entry.output) for entry in scenario.workload]
        self._planned = [planned_jobs(scenario, index, graphs) for index in range(len(scenario.workload))]
        self._known: dict[tuple[tuple[str, ...], Args], tuple[TargetGraphs, ...]] = {}

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
            planned = (PlannedJob(0, job, tuple(self._graphs.closure(push.build))),)
        failing = self._failing(push, planned)
        waits_for = self._last_of_client.get((push.entry, push.client))
        drafts = self._attempt(push, planned, commit, failing, 0, waits_for)
        if drafts[0].earliest_s - planned[0].job.after >= self._horizon_s:
            return []
        found = list(drafts)
        for attempt in range(1, push.reruns + 1):
            drafts = self._attempt(push, planned, commit, failing, attempt, max(drafts, key=lambda one: one.earliest_s))
            if drafts[0].earliest_s >= self._horizon_s:
                break
            found.extend(drafts)
        if push.think_s is not None:
            self._last_of_client[push.entry, push.client] = found[-1]
        return found

    def _attempt(
        self,
        push: Push,
        planned: Sequence[PlannedJob],
        commit: int,
        failing: Sequence[frozenset[str]],
        attempt: int,
        waits_for: _Draft | None,
    ) -> list[_Draft]:
        """All jobs of a push, once. The first wait for `waits_for`: a client's last request, or the former attempt."""
        entry = self._scenario.workload[push.entry]
        pause_s = (push.think_s or 0.0) if attempt == 0 else entry.reruns.after if entry.reruns is not None else 0.0
        start_s = push.earliest_s if attempt == 0 else 0.0
        if waits_for is not None:  # re-runs and later jobs may hold a client up beyond its think times
            start_s = max(start_s, waits_for.earliest_s + pause_s)
        by_number: dict[int, _Draft] = {}
        for plan, failing_digests in zip(planned, failing, strict=True):
            job = plan.job
            needs = tuple(by_number[number] for number in plan.needs)
            earliest_s = (max(need.earliest_s for need in needs) if needs else start_s) + job.after
            after = None if needs else waits_for
            edited = self._history.edited_since_last(plan.targets, earliest_s) if attempt == 0 else []
            request = Request(
                index=-1,
                arrived_s=0.0 if needs or after is not None else earliest_s,
                asked=" ".join(job.build),
                targets=plan.targets,
                args=tuple(sorted(job.args.items())),
                content=self._history.content(push.entry, push.branch, earliest_s),
                commit=commit,
                branch=push.branch,
                entry=push.entry,
                job=plan.number,
                attempt=attempt,
                no_cache=job.no_cache,
                cancel_after_s=job.cancel_after,
                after_s=job.after if needs else 0.0,
                think_s=pause_s + job.after if after is not None else 0.0,
                failing=failing_digests,
                touched=tuple(dict.fromkeys([*push.paths, *edited])),
                fresh_checkout=entry.checkout == "fresh",
                output=self._outputs[push.entry],
                uplink_bytes_per_s=inf if entry.uplink is None else entry.uplink,
                client=_client(entry, push),
                touches=self._history.touches(push.entry, push.branch, earliest_s),
            )
            by_number[plan.number] = _Draft(request, earliest_s, needs, after)
        return list(by_number.values())

    def _failing(self, push: Push, planned: Sequence[PlannedJob]) -> list[frozenset[str]]:
        """For each job, the digests of the push's failing step that its graphs hold; empty for a push that passes."""
        if not push.is_failing:
            return [frozenset()] * len(planned)
        graphs = [self._graphs_of(plan) for plan in planned]
        step = failing_step([target for found in graphs for target in found], push.paths, push.failing_pick)
        return [step & frozenset().union(*(target.digests for target in found)) for found in graphs]

    def _graphs_of(self, plan: PlannedJob) -> tuple[TargetGraphs, ...]:
        args = tuple(sorted(plan.job.args.items()))
        key = (plan.targets, args)
        if key not in self._known:
            self._known[key] = tuple(
                TargetGraphs(tuple(self._graphs.graph(name, args, (one,)) for one in self._graphs.platforms(name)))
                for name in plan.targets
            )
        return self._known[key]


def _client(entry: Entry, push: Push) -> int | None:
    """Who sends the files: a kept checkout is one client's, or a branch's; a fresh one's client never comes again."""
    if entry.checkout == "fresh":
        return None
    return push.entry * CLIENTS_PER_ENTRY + (push.branch if entry.arrivals.clients is None else push.client)


def planned_jobs(scenario: Scenario, index: int, graphs: Graphs) -> tuple[PlannedJob, ...]:
    """The jobs of an entry in their order; `needs` looks back, to all earlier jobs that are told to build that name."""
    planned: list[PlannedJob] = []
    for number, job in enumerate(scenario.workload[index].jobs):
        needs: set[int] = set()
        for name in job.needs:
            found = [earlier.number for earlier in planned if name in earlier.job.build]
            if not found:
                raise scenario.problem(("workload", index, "jobs", number, "needs"), f"no earlier job builds '{name}'")
            needs.update(found)
        planned.append(PlannedJob(number, job, tuple(graphs.closure(job.build)), tuple(sorted(needs))))
    return tuple(planned)
