"""Today beside a baseline: what the model says of the committed cases, how far that is from what was measured, and the bench.

In: a checkout (cases, `results/baselines/*.json`, `results/bench.json`). Out: `Drift`s, each with what moved and by how much; or
new baselines with the reason for them. Everything is simulated with seed 1: an unchanged model gives the same numbers.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

from sim import __version__
from sim.errors import InputError, replacing
from sim.fit.validation.errors import CaseErrors, compare, summary
from sim.fit.validation.observed import Observed, measured_runs, observe
from sim.runs import Case, prepare, simulate_case
from sim.scenario import load
from sim.trace import Trace

Kind = Literal["timing", "fidelity", "bench"]
KINDS: tuple[Kind, ...] = ("timing", "fidelity", "bench")
BASELINES, BENCH = Path("results/baselines"), Path("results/bench.json")
SCHEMA = 1

RELATIVE, ABSOLUTE_S = 1e-3, 1e-3
"""A time has moved when it differs by more than 0.1 % and 1 ms: other versions of Python and numpy round otherwise."""

FIDELITY = 0.001
"""An error has grown, or outcomes got worse, by more than 0.1 points. A smaller error is no drift."""

BENCH_SHARE = 0.15
"""Ratios of CPU times differ by up to a tenth between runs of the bench (results/bench.md)."""

_LESS_IS_BETTER = ("growth_",)
_MORE_IS_BETTER = ("ratio_",)


@dataclass(frozen=True, slots=True)
class Group:
    """A folder of cases; with `replications` those that hold a recording are compared with it, request by request."""

    name: str
    folder: str
    replications: int = 0


GROUPS = (
    Group("semantic", "tests/semantics/cases", 3),
    Group("mixed", "tests/fit/mixed/cases", 10),
    Group("corpus", "tests/real/corpus", 5),
    Group("scenarios", "scenarios"),
)


@dataclass(frozen=True, slots=True)
class Drift:
    """One number that moved; `was` or `now` is None where it is new or gone."""

    kind: Kind
    case: str
    number: str
    was: float | None
    now: float | None

    def line(self) -> str:
        """`timing: scenarios/mixed: makespan_s 120.1 -> 123.4 (+2.7 %)`."""
        if self.was is None or self.now is None:
            told = "is new" if self.was is None else "is gone"
            return f"{self.kind}: {self.case}: {self.number} {told}"
        change = f"{100 * (self.now / self.was - 1):+.2f} %" if self.was else "from 0"
        return f"{self.kind}: {self.case}: {self.number} {self.was:.6g} -> {self.now:.6g} ({change})"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Numbers by case, and since when and why they hold."""

    commit: str
    date: str
    why: str
    numbers: Mapping[str, Mapping[str, float]]

    @property
    def since(self) -> str:
        """`1a2b3c4 (2026-11-24): exports are modelled`."""
        return f"{self.commit} ({self.date}): {self.why}"


@dataclass(frozen=True, slots=True)
class Regression:
    """What moved, and the baselines by kind. `compared` counts the numbers."""

    drifts: tuple[Drift, ...]
    baselines: Mapping[Kind, Baseline]
    compared: int


Progress = Callable[[int, int], None]
Numbers = dict[str, dict[str, float]]


def regress(root: Path, progress: Progress | None = None) -> Regression:
    """Compare today with the baselines of a checkout. InputError: there are none."""
    baselines = {kind: read_baseline(root, kind) for kind in KINDS}
    today = measure(root, progress)
    drifts: list[Drift] = []
    for kind in KINDS:
        drifts += _drifts(kind, baselines[kind].numbers, today[kind])
    compared = sum(len(numbers) for kind in KINDS for numbers in today[kind].values())
    return Regression(tuple(drifts), baselines, compared)


def update(root: Path, why: str, progress: Progress | None = None) -> list[Path]:
    """Write new baselines; `why` says what changed. A kind whose numbers have not moved keeps its baseline."""
    if not why.strip():
        raise InputError("--update needs a reason", hint='add --why "exports are modelled"')
    today, written = measure(root, progress), []
    for kind in KINDS:
        path = root / BASELINES / f"{kind}.json"
        if path.exists() and not any(_drifts(kind, read_baseline(root, kind).numbers, today[kind], both_ways=True)):
            continue
        said = {"schema": SCHEMA, "commit": _commit(root), "date": date.today().isoformat(), "why": why.strip()}
        document = {**said, "version": __version__, "tolerance": _tolerance(kind), "numbers": today[kind]}
        with replacing(path) as file:
            file.write(json.dumps(document, indent=1, sort_keys=False) + "\n")
        written.append(path)
    return written


def read_baseline(root: Path, kind: Kind) -> Baseline:
    """A baseline of a checkout. InputError: missing, broken, of another schema."""
    path = root / BASELINES / f"{kind}.json"
    hint = 'run it in a checkout of buildcast, or make it: buildcast regress --update --why "first baseline"'
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise InputError(f"a baseline of schema {found['schema']}", where=str(path), hint=hint)
        numbers = {case: {name: float(one) for name, one in of.items()} for case, of in found["numbers"].items()}
        return Baseline(str(found["commit"]), str(found["date"]), str(found["why"]), numbers)
    except OSError as error:
        raise InputError(f"no baseline: {error.strerror}", where=str(path), hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the baseline is broken: {error}", where=str(path), hint=hint) from error


def measure(root: Path, progress: Progress | None = None) -> dict[Kind, Numbers]:
    """Today's numbers by kind and case; a case is named by its folder."""
    cases = [(group, folder) for group in GROUPS for folder in _folders(root / group.folder)]
    found: dict[Kind, Numbers] = {"timing": {}, "fidelity": {}, "bench": _bench(root / BENCH)}
    compared: dict[str, list[CaseErrors]] = {group.name: [] for group in GROUPS}
    for at, (group, folder) in enumerate(cases, start=1):
        case = prepare(load(folder), say=_silent)
        traces = [simulate_case(case, replication=one) for one in range(max(group.replications, 1))]
        found["timing"][folder.relative_to(root).as_posix()] = timing(traces[0])
        recorded = measured_runs(folder) if group.replications else []
        if recorded:
            compared[group.name].append(_compared(case, traces, recorded))
        if progress is not None:
            progress(at, len(cases))
    found["fidelity"] = {name: _errors(name, of) for name, of in compared.items() if of}
    return found


def timing(trace: Trace) -> dict[str, float]:
    """A run in few numbers: seconds, and how many builds and steps had which outcome."""
    builds = trace.builds
    ended_s, arrived_s = builds.numbers("completed_s"), builds.numbers("arrived_s")
    duration_s = (ended_s - arrived_s)[~(ended_s != ended_s)]
    found = {
        "makespan_s": round(observe(trace).makespan_s, 6),
        "mean_duration_s": round(float(duration_s.mean()), 6) if duration_s.size else nan,
    }
    counts = Counter(f"builds_{outcome}" for outcome in builds["outcome"])
    counts.update(f"steps_{outcome}" for outcome in trace.steps["outcome"])
    return found | {name: float(counts[name]) for name in sorted(counts)}


def _compared(case: Case, traces: Sequence[Trace], recorded: Sequence[Observed]) -> CaseErrors:
    predicted = [observe(trace).by_request() for trace in traces]
    return compare(case.label, "", predicted, [run.by_request() for run in recorded])


def _errors(name: str, cases: Sequence[CaseErrors]) -> dict[str, float]:
    found = summary(name, cases)
    numbers = {
        "makespan_mape": found.makespan_mape,
        "build_mape": found.build_mape,
        "wrong_outcomes": 1 - found.outcome_accuracy,
        "unmatched_builds": float(sum(len(case.unmatched) for case in cases)),
    }
    return {of: round(value, 6) for of, value in numbers.items()}


def _folders(folder: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.glob("*/scenario.yaml")))


def _bench(path: Path) -> Numbers:
    """The ratios of the last `make bench`; they hold on any machine."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = (*_MORE_IS_BETTER, *_LESS_IS_BETTER)
        return {"bench": {name: float(value) for name, value in found.items() if name.startswith(kept)}}
    except OSError:
        return {"bench": {}}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"is broken: {error}", where=str(path), hint="make it anew: make bench") from error


def _drifts(
    kind: Kind, was: Mapping[str, Mapping[str, float]], now: Mapping[str, Mapping[str, float]], both_ways: bool = False
) -> Iterator[Drift]:
    """What moved beyond its tolerance. `both_ways`: better counts, too."""
    for case in dict.fromkeys((*was, *now)):
        before, after = was.get(case), now.get(case)
        if before is None or after is None:
            yield Drift(kind, case, "the case", None if before is None else 1.0, None if after is None else 1.0)
            continue
        for number in dict.fromkeys((*before, *after)):
            old, new = before.get(number), after.get(number)
            if old is None and new is not None and kind == "timing":
                old = 0.0  # an outcome that was not there
            elif new is None and kind == "timing":
                new = 0.0
            if old is None or new is None or _has_moved(kind, number, old, new, both_ways):
                yield Drift(kind, case, number, old, new)


def _has_moved(kind: Kind, number: str, old: float, new: float, both_ways: bool) -> bool:
    if isnan(old) or isnan(new):
        return isnan(old) != isnan(new)
    if kind == "timing":
        return abs(new - old) > (max(RELATIVE * abs(old), ABSOLUTE_S) if number.endswith("_s") else 0.0)
    if kind == "fidelity":
        return (abs(new - old) if both_ways else new - old) > FIDELITY
    worse = new / old - 1 if number.startswith(_LESS_IS_BETTER) else 1 - new / old
    return (abs(worse) if both_ways else worse) > BENCH_SHARE


def _tolerance(kind: Kind) -> str:
    return {
        "timing": f"seconds: {RELATIVE:g} of the value, {ABSOLUTE_S:g} at least; counts: exact",
        "fidelity": f"shares may grow by {FIDELITY:g}",
        "bench": f"ratios may get worse by {BENCH_SHARE:g} of the value",
    }[kind]


def _commit(root: Path) -> str:
    """The commit that is checked out, with a + when files differ from it."""
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _silent(text: str) -> None:
    """Nothing is told of lock files."""
