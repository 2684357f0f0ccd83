"""Where pushes come from: one source an entry (or a closed client), each with random streams of its own.

In: an entry of the workload and the seed. Out: `Push`es in order of time: when, what changes, on which branch, whether
it fails, how often it is run again. All is drawn push by push from the source's streams, so a longer run only appends.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite, log
from pathlib import Path

from sim.errors import InputError
from sim.scenario.fields.scenario import Scenario
from sim.scenario.fields.workload import Entry
from sim.workload.arrivals import arrivals
from sim.workload.failures import failure_chain
from sim.workload.history import TRUNK
from sim.workload.streams import stream

MAX_RERUNS = 10  # a bound on the geometric number of re-runs, so that a share of 100 % ends
FASTEST_BUILD_S = 0.03  # recorded cases: a fully cached build takes 30-40 ms, so a client's next one comes no sooner
MAX_CSV_BYTES = 50_000_000
TRUNK_NAMES = ("", "main", "master", "trunk")


@dataclass(frozen=True, slots=True)
class Push:
    """One push. `earliest_s` is when it comes, or for a closed client's later ones the soonest it can."""

    earliest_s: float
    entry: int
    client: int
    number: int
    paths: tuple[str, ...]
    branch: int
    is_failing: bool
    failing_pick: float
    reruns: int
    think_s: float | None = None
    build: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A time, and what a csv file says beside it."""

    earliest_s: float
    think_s: float | None = None
    build: tuple[str, ...] | None = None
    branch: int | None = None


def pushes(scenario: Scenario, index: int, client: int, seed: int) -> Iterator[Push]:
    """The pushes of an entry (of one client, where it has some); without end unless it lists its times."""
    entry = scenario.workload[index]
    commits, branches = stream(seed, "commit", index, client), stream(seed, "branch", index, client)
    reruns, picks = stream(seed, "rerun", index, client), stream(seed, "failing step", index, client)
    chain = failure_chain(stream(seed, "failure", index, client), entry.fails.rate, entry.fails.after_failure)
    for number, arrival in enumerate(_arrivals(scenario, index, client, seed)):
        drawn_branch = int(branches.random() * entry.branches)
        yield Push(
            earliest_s=arrival.earliest_s,
            entry=index,
            client=client,
            number=number,
            paths=_row(entry, commits.random()),
            branch=drawn_branch if arrival.branch is None else arrival.branch,
            is_failing=next(chain),
            failing_pick=picks.random(),
            reruns=_rerun_count(entry, reruns.random()),
            think_s=arrival.think_s,
            build=arrival.build,
        )


def _arrivals(scenario: Scenario, index: int, client: int, seed: int) -> Iterator[_Arrival]:
    given = scenario.workload[index].arrivals
    if given.times is not None:
        yield from (_Arrival(time_s) for time_s in sorted(given.times))
    elif given.csv is not None:
        yield from _csv_arrivals(scenario.folder / given.csv)
    elif given.clients is not None:
        rng, earliest_s = stream(seed, "think", index, client), 0.0
        while True:
            think_s = float(rng.exponential(given.think))
            earliest_s += think_s
            yield _Arrival(earliest_s, think_s=think_s)
            earliest_s += FASTEST_BUILD_S
    elif given.rate is not None:
        rng = stream(seed, "gap", index, client)
        for time_s in arrivals(rng, given.rate, given.pattern, given.cv, scenario.start):
            yield _Arrival(time_s)


def _row(entry: Entry, uniform: float) -> tuple[str, ...]:
    """The paths of the row that a uniform number falls into; none in what the rows leave of 100 %."""
    for row in entry.changes.rows:
        uniform -= row.share
        if uniform < 0:
            return row.paths
    return ()


def _rerun_count(entry: Entry, uniform: float) -> int:
    """Each attempt is run again with the same chance: P(at least k re-runs) = share^k."""
    if entry.reruns is None:
        return 0
    if entry.reruns.share >= 1:
        return MAX_RERUNS
    return min(MAX_RERUNS, int(log(1 - uniform) / log(entry.reruns.share)))


def _csv_arrivals(path: Path) -> list[_Arrival]:
    """Rows with `time_s` (seconds) or `time` (ISO 8601, counted from the first); `target` and `branch` where given."""
    try:
        if path.stat().st_size > MAX_CSV_BYTES:
            raise InputError("the file is larger than 50 MB", where=str(path), hint="keep a shorter period")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            column = next((name for name in ("time_s", "time") if name in columns), None)
            if column is None:
                raise InputError(
                    "no column time_s (seconds) or time (ISO)",
                    where=f"{path}:1",
                    hint=f"found: {', '.join(columns) or 'nothing'}",
                )
            timed = [(_time_s(row[column], column, f"{path}:{rows.line_num}"), row) for row in rows]
    except OSError as error:
        raise InputError(
            f"cannot read arrivals: {error.strerror}", where=str(path), hint="check arrivals.csv"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a csv file in UTF-8: {error}", where=str(path)) from error
    if not timed:
        raise InputError("holds no arrivals", where=str(path), hint="one row an arrival, under a line of column names")
    first_s = min(time_s for time_s, _ in timed) if column == "time" else 0.0
    names = dict.fromkeys(TRUNK_NAMES, TRUNK)
    found = [
        _Arrival(
            time_s - first_s,
            build=tuple((row.get("target") or "").split()) or None,
            branch=names.setdefault((row["branch"] or "").strip(), len(names) - len(TRUNK_NAMES) + 1)
            if "branch" in columns
            else None,
        )
        for time_s, row in timed
    ]
    return sorted(found, key=lambda arrival: arrival.earliest_s)


def _time_s(written: str | None, column: str, where: str) -> float:
    text = (written or "").strip()
    try:
        time_s = float(text) if column == "time_s" else _timestamp_s(text)
    except (ValueError, OverflowError):
        kind = "a number of seconds" if column == "time_s" else "an ISO time, as 2026-03-02T08:15:00Z"
        raise InputError(f"'{text}' is not {kind}", where=where) from None
    if not isfinite(time_s) or (column == "time_s" and time_s < 0):
        raise InputError(f"'{text}' is not a time from the run's start", where=where, hint="write 0 or more seconds")
    return time_s


def _timestamp_s(text: str) -> float:
    """An ISO time as seconds; without a zone it is taken as UTC, so that no machine's own zone matters."""
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
