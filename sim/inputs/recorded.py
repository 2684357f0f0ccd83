"""Builds as logs hold them, and the measured trace that they give together.

In: `Recorded` builds of any format. Out: a `Trace` of source "measured", and notes for people: what is missing, what was
moved. Builds with the same `request` are one command; runners are known only where a daemon was asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sim.errors import InputError
from sim.inputs.names import platforms_of
from sim.inputs.rows import BuildFacts, Row, build_row, seconds, step_rows, verdict, without_killed_siblings
from sim.inputs.sharing import Owners, align
from sim.inputs.status import NS_PER_S, Vertices
from sim.trace import RUNNERS, Json, Meta, Trace

_WORTH_A_NOTE_NS = 20_000_000  # a client moves each of its builds by a few ms (13.1)


@dataclass(slots=True)
class Recorded:
    """One build of a log. Times are ns since 1970; None is unknown and, where it can be, read off the steps.

    `is_client`: the times are a client's, who moves them (13.1). `is_cut`: the log may end before the build does.
    `is_timed`: false where the log has no times but durations. `cached_steps`: what the daemon itself counted. `ref`: its
    name of the build.
    """

    where: str
    request: str
    vertices: Vertices = field(default_factory=Vertices)
    ref: str | None = None
    target: str | None = None
    platforms: tuple[str, ...] | None = None
    commit: str | None = None
    runner: str | None = None
    started_ns: int | None = None
    completed_ns: int | None = None
    outcome: str | None = None
    reason: str | None = None
    no_cache: bool = False
    is_client: bool = False
    is_cut: bool = False
    is_timed: bool = True
    cached_steps: int | None = None
    args: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.named = self.where + (f" ({self.target})" if self.target else "")

    named: str = field(default="", init=False)

    def begun_ns(self) -> int:
        """When the build began, as far as it shows; 0 where it shows nothing."""
        return self.started_ns or self.vertices.started_ns or self.vertices.ended_ns or 0

    def ended_ns(self) -> int | None:
        """When the build ended, as far as it shows."""
        return (self.completed_ns or self.vertices.ended_ns) if self.is_timed else None


def assemble(recorded: Sequence[Recorded], name: str) -> tuple[Trace, list[str]]:
    """The trace of all builds together, and what people should know of it. InputError: there is no build at all."""
    if not recorded:
        hint = "record with --progress=rawjson, or ask the daemon: buildcast import --daemon ADDRESS"
        raise InputError("holds no build", where=name, hint=hint)
    shifts = align([one.vertices for one in recorded], [one.is_client for one in recorded])
    notes = [*_shift_notes(recorded, shifts), *_cut_notes(recorded), *_count_notes(recorded), *_untimed_notes(recorded)]
    origin_ns = min(one.begun_ns() for one in recorded)
    facts, order = _facts(recorded, origin_ns)
    owners = Owners()
    for fact, one in zip(facts, order, strict=True):
        owners.add(fact.build, fact.runner, one.vertices)
    steps = _steps(facts, order, owners, origin_ns)
    builds = [build_row(_judged(fact, one, rows), rows) for fact, one, rows in zip(facts, order, steps, strict=True)]
    runners: list[Row] = [
        tuple(at if column == "runner" else None for column in RUNNERS) for at in range(len(_runners(recorded)))
    ]
    about: dict[str, Json] = {
        "imported": list(dict.fromkeys(one.where for one in recorded)),
        "started": datetime.fromtimestamp(origin_ns / NS_PER_S, UTC).isoformat(),
        "notes": list(notes),
    }
    tables = {"builds": builds, "steps": [row for rows in steps for row in rows], "runners": runners}
    return Trace.from_rows(tables, Meta(source="measured", name=name, scenario=about, standby_usd=None)), notes  # type: ignore[arg-type]


def _facts(recorded: Sequence[Recorded], origin_ns: int) -> tuple[list[BuildFacts], list[Recorded]]:
    """The builds in order of start, numbered, and their requests; a request arrived when its first build began."""
    order = sorted(recorded, key=lambda one: (one.begun_ns(), one.named))
    arrived_ns: dict[str, int] = {}
    for one in order:
        arrived_ns.setdefault(one.request, one.begun_ns())
    requests, runners = {request: at for at, request in enumerate(arrived_ns)}, _runners(recorded)
    leases: dict[tuple[str, str | None], int] = {}
    for one in order:
        leases.setdefault((one.request, one.runner), len(leases))
    facts = [
        BuildFacts(
            build=at,
            request=requests[one.request],
            lease=leases[one.request, one.runner],
            target=one.target,
            platforms=one.platforms or platforms_of(vertex.name for vertex in one.vertices.by_digest.values()),
            commit=one.commit,
            arrived_s=seconds(arrived_ns[one.request], origin_ns),
            started_s=seconds(one.begun_ns(), origin_ns),
            completed_s=seconds(one.ended_ns(), origin_ns),
            runner=None if one.runner is None else runners[one.runner],
            no_cache=one.no_cache,
            args=one.args,
        )
        for at, one in enumerate(order)
    ]
    return facts, order


def _steps(facts: Sequence[BuildFacts], order: Sequence[Recorded], owners: Owners, origin_ns: int) -> list[list[Row]]:
    made = [step_rows(fact, one.vertices, owners, origin_ns) for fact, one in zip(facts, order, strict=True)]
    of_request: dict[int, list[int]] = defaultdict(list)
    for at, fact in enumerate(facts):
        of_request[fact.request].append(at)
    for together in of_request.values():
        for at, rows in zip(together, without_killed_siblings([made[one] for one in together]), strict=True):
            made[at] = rows
    return made


def _judged(fact: BuildFacts, one: Recorded, rows: Sequence[Row]) -> BuildFacts:
    outcome, reason = verdict(rows, one.is_cut and one.vertices.is_unfinished())
    return replace(fact, outcome=one.outcome or outcome, reason=one.reason or (None if one.outcome == "ok" else reason))


def _runners(recorded: Sequence[Recorded]) -> dict[str, int]:
    return {name: at for at, name in enumerate(dict.fromkeys(one.runner for one in recorded if one.runner is not None))}


def _shift_notes(recorded: Sequence[Recorded], shifts: Sequence[int]) -> Iterator[str]:
    """Several targets in one client's log: their times are moved, each by another amount (13.1)."""
    logs: dict[str, list[int]] = defaultdict(list)
    for one, shift_ns in zip(recorded, shifts, strict=True):
        if one.is_client:
            logs[one.where].append(shift_ns)
    for where, moved in logs.items():
        if len(moved) > 1:
            yield (
                f"{where}: buildx moves the times of each target; they were brought together by the steps that targets "
                f"share (by up to {max(moved) / NS_PER_S:.2f} s), but the daemon's history is exact: use --daemon"
            )
        elif moved[0] > _WORTH_A_NOTE_NS:
            yield f"{where}: moved by {moved[0] / NS_PER_S:.2f} s, so that the steps it shares with others agree"


def _cut_notes(recorded: Sequence[Recorded]) -> Iterator[str]:
    for one in recorded:
        if one.is_cut and one.vertices.is_unfinished():
            running = [step.name for step in one.vertices.steps() if step.completed_ns is None]
            what = f"while {len(running)} of its steps ran" if running else "before the result is built"
            yield f"{one.named}: the log ends {what}; the build counts as cancelled, and what came later is missing"


def _count_notes(recorded: Sequence[Recorded]) -> Iterator[str]:
    """The daemon counts cached steps itself: a check on what was read."""
    for one in recorded:
        found = one.vertices.cached_digests()
        if one.cached_steps is not None and found != one.cached_steps:
            yield f"{one.named}: {found} cached steps in its log, but the daemon counted {one.cached_steps}"


def _untimed_notes(recorded: Sequence[Recorded]) -> Iterator[str]:
    for where in dict.fromkeys(one.where for one in recorded if not one.is_timed):
        yield (
            f"{where}: without times of day; steps stand one after the other as they ended, only their durations are "
            "measured"
        )
