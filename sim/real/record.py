"""What a replay measured, as rows of the trace: times from the daemons' histories, names of the scenario's own steps.

In: the world after its last client. Out: rows of builds, steps and runners. A build without a record (its daemon was
killed, or it never came so far) is read from its client's log.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sim.dispatch.leases import bases_first
from sim.errors import EnvironmentMissing, InputError
from sim.inputs import BuildFacts, Owners, Recorded, Vertices, build_row, step_rows
from sim.inputs.formats.history import from_record, record_of
from sim.inputs.rows import Row, verdict, without_killed_siblings
from sim.inputs.status import NS_PER_S
from sim.real.clients import number_of
from sim.real.daemon import Daemon, Node
from sim.real.drive.world import Attempt, World
from sim.real.measured.naming import Names, mark_misses
from sim.trace import STEPS, Kind

_STEP, _OUTCOME, _REASON = (STEPS.index(name) for name in ("step", "outcome", "reason"))
_READERS = 2  # at once: a log takes 40 ms of CPU time
_HISTORY_S = 120.0


@dataclass(slots=True)
class Rows:
    """The tables but `samples`, and what people should know."""

    builds: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    runners: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tables(self) -> dict[Kind, list[Row]]:
        """By kind."""
        return {"builds": self.builds, "steps": self.steps, "runners": self.runners}


def rows_of(world: World) -> Rows:
    """All rows. Daemons are asked, and those that have stopped are started again for that."""
    found = Rows()
    recorded = _histories(world, found.notes)
    order, ends = _in_order(world), _ends(world, recorded)
    seen = {one.build: _vertices(one, recorded.get(one.build)) for one in order}
    facts = {one.build: _facts(world, one, recorded.get(one.build), ends) for one in order}
    owners = Owners()
    for one in order:
        owners.add(one.build, facts[one.build].runner, seen[one.build])
    steps = {one.build: step_rows(facts[one.build], seen[one.build], owners, world.loop.origin_ns) for one in order}
    names = Names(world)
    for together in _by_request(order).values():
        judged = without_killed_siblings([steps[one.build] for one in together])
        for one, rows in zip(together, judged, strict=True):
            steps[one.build] = named = names.renamed(one, rows, seen[one.build])
            facts[one.build] = _judged(world, facts[one.build], one, named, recorded.get(one.build))
    mark_misses(names.executed, world.source, steps, is_warm=world.farm.cache.start == "warm")
    for one in world.attempts:
        found.builds.append(build_row(facts[one.build], steps[one.build]))
        found.steps += steps[one.build]
    for runner in world.runners:
        site = runner.site
        about = (runner.number, site.project, site.platform, site.size.cpus, runner.clone_of, runner.requested_s)
        found.runners.append((*about, runner.ready_s, runner.stopped_s, runner.reason))
    return found


def _in_order(world: World) -> list[Attempt]:
    """Within a lease bases come first: the first that shows a step gives it its name, as buildx does."""
    rank = {}
    for request in {attempt.request.index: attempt.request for attempt in world.attempts}.values():
        for place, parts in world.parts(request).items():
            for at, target in enumerate(bases_first({target: part.links for target, part in parts.items()})):
                rank[request.index, place, target] = at
    return sorted(
        world.attempts,
        key=lambda one: (one.request.index, one.place, rank[one.request.index, one.place, one.target]),
    )


def _by_request(order: Sequence[Attempt]) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in order:
        found[attempt.request.index].append(attempt)
    return found


def _histories(world: World, notes: list[str]) -> dict[int, Recorded]:
    """The record of every build that has one, by its number."""
    wanted: dict[str, set[int]] = defaultdict(set)
    nodes: dict[str, Node] = {}
    for attempt in world.attempts:
        if attempt.client is not None and attempt.runner is not None and attempt.runner.daemon is not None:
            wanted[attempt.volume].add(attempt.build)
            nodes[attempt.volume] = attempt.runner.daemon
    for life in world.lives:  # the last life of a root has the whole history
        if life.name in nodes:
            nodes[life.name] = life
    found: dict[int, Recorded] = {}
    for volume, builds in wanted.items():
        try:
            node = nodes[volume]
            if isinstance(node, Daemon) and not node.is_alive():
                node = _again(world, node)
            found |= _history(node, builds)
        except (EnvironmentMissing, InputError) as error:
            notes.append(f"no history of {volume}: {error}; its builds are read from their clients' logs")
    return found


def _again(world: World, daemon: Daemon) -> Daemon:
    """Start a stopped daemon on its root, to ask it what it built."""
    if daemon in world.fleet.daemons:
        daemon.kill()
        world.fleet.daemons.remove(daemon)
    return world.fleet.start(daemon.spec)


def _history(node: Node, builds: set[int]) -> dict[int, Recorded]:
    records: dict[int, Mapping[str, object]] = {}
    listed = node.ask("debug", "histories", "--format", "{{json .}}", timeout_s=_HISTORY_S)
    for line in listed.splitlines():
        record = record_of(line, node.name)
        attributes = record.get("FrontendAttrs") if record is not None else None
        number = number_of(attributes) if isinstance(attributes, Mapping) else None
        if record is not None and number in builds and record.get("CompletedAt"):
            assert number is not None
            records[number] = record

    def read(record: Mapping[str, object]) -> Recorded:
        log = node.ask("debug", "logs", "--progress", "rawjson", str(record["Ref"]), timeout_s=_HISTORY_S)
        return from_record(record, _events(log), where=node.name, runner=node.name)

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(records, pool.map(read, records.values()), strict=True))


def _events(log: str) -> Iterator[Mapping[str, object]]:
    for line in log.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, Mapping):
                    yield event


def _vertices(attempt: Attempt, recorded: Recorded | None) -> Vertices:
    """The steps of a build. A client's log of several targets does not say whose they are: then there are none."""
    if recorded is not None:
        return recorded.vertices
    vertices = Vertices()
    if attempt.client is not None and len(attempt.shown) == 1:
        for event in _events(attempt.client.log.read_text(encoding="utf-8", errors="replace")):
            with contextlib.suppress(ValueError):
                vertices.feed(event)
    return vertices


def _ends(world: World, recorded: Mapping[int, Recorded]) -> dict[int, float]:
    """When each build had ended for its client. In a bake that is its record's end, for the last the client's."""
    found = {one.build: one.ended_s for one in world.attempts}
    by_client: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for one in world.attempts:
        record = recorded.get(one.build)
        if one.client is not None and record is not None and record.completed_ns is not None and world.graphs.bake:
            by_client[one.client.number].append((record.completed_ns, one.build))
    for ended in by_client.values():
        for completed_ns, build in sorted(ended)[:-1]:
            found[build] = min(found[build], (completed_ns - world.loop.origin_ns) / NS_PER_S)
    return found


def _facts(world: World, attempt: Attempt, recorded: Recorded | None, ends: Mapping[int, float]) -> BuildFacts:
    """The columns of a build. Without bake a build begins with its client; in a bake each target has a record of its own."""
    started_ns = None if attempt.client is None else attempt.client.started_ns
    if world.graphs.bake and recorded is not None and recorded.started_ns is not None:
        started_ns = recorded.started_ns
    return BuildFacts(
        build=attempt.build,
        request=attempt.request.index,
        lease=attempt.lease,
        target=attempt.target,
        project=attempt.place[0],
        platforms=attempt.platforms,
        commit=str(attempt.request.commit),
        arrived_s=attempt.arrived_s,
        ready_s=attempt.acquired_s,
        started_s=None if started_ns is None else (started_ns - world.loop.origin_ns) / NS_PER_S,
        completed_s=ends[attempt.build],
        outcome=attempt.outcome,
        reason=attempt.reason,
        runner=None if attempt.runner is None else attempt.runner.number,
        no_cache=attempt.request.no_cache,
        args=world.arguments(attempt),
    )


def _judged(
    world: World, fact: BuildFacts, attempt: Attempt, rows: Sequence[Row], recorded: Recorded | None
) -> BuildFacts:
    """How a build ended: as its client did, but a bake's client ends for all of its targets."""
    outcome, reason = attempt.outcome, attempt.reason
    if world.graphs.bake and attempt.client is not None and outcome != "ok":
        if recorded is None:
            outcome = "cancelled"
        elif recorded.outcome == "ok":
            outcome, reason = "ok", ""
        elif outcome == "failed":
            outcome = verdict(rows, is_unfinished=True)[0]
    if outcome == "failed":
        failed = next((row for row in rows if row[_OUTCOME] == "failed"), None)
        if failed is not None:
            reason = f"{failed[_STEP]}: {failed[_REASON]}" if failed[_REASON] else str(failed[_STEP])
    return replace(fact, outcome=outcome, reason=reason)
