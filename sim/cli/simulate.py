"""`buildcast run`: simulate one scenario or a batch.

In: parsed arguments. Out: a summary, a table or JSON on stdout; traces and `summary.json` where asked; exit code 1 when
a limit of a scenario's `slo` is missed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sim.cli.folder import check_folder
from sim.cli.terminal import Progress, bold, json_text
from sim.errors import InputError, InputErrors, replacing
from sim.metrics import By, Summary, summarise
from sim.report.numbers import SHOWN, count, show, words
from sim.report.summary import group_lines, summary_lines, wait_json
from sim.report.tables import table
from sim.runs import Case, Say, prepare, replicate, simulate_case
from sim.scenario import load
from sim.study.compare import nothing_measured
from sim.study.interval import Interval, t_interval
from sim.study.measures import Measures, measure
from sim.trace import Format, Json, Trace

_BATCH = (
    ("requests", "requests"),
    ("mean_duration", "mean"),
    ("p50_duration", "p50"),
    ("p95_duration", "p95"),
    ("queue_s", "queue"),
    ("boot_s", "boot"),
    ("hit_share", "hits"),
    ("dedup_saved_cpu_s", "dedup core-s"),
    ("clone_repeats", "clone repeats"),
    ("wasted_cpu_s", "wasted core-s"),
    ("utilisation", "used"),
    ("cost_per_request", "money/request"),
    ("prior_share", "priors"),
)
_ALWAYS = {"requests", "mean_duration", "p95_duration", "hit_share", "cost_per_request"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker sends home of one replication: numbers, and summaries by group where asked."""

    measures: Measures
    groups: tuple[Summary, ...]


def run(args: argparse.Namespace) -> int:
    """Simulate, print, write; 1 when a limit of `slo` is missed."""
    if args.by and args.replications > 1:
        raise InputError("--by shows one replication", hint="leave --replications out")
    if args.samples and not args.out:
        raise InputError("--samples is a table of the trace", hint="add -o DIR")
    check_folder(args.out)
    with Progress("simulating", quiet=args.quiet) as progress:
        cases = _cases(args.scenario, args.sets, progress.say)
        if len(cases) == 1 and args.replications == 1:
            lines, fields, missed = _one(cases[0], args)
        else:
            lines, fields, missed = _many(cases, args, progress)
        text = json_text(fields)
        if args.out:
            with replacing(Path(args.out) / "summary.json") as file:
                file.write(text + "\n")
            places = [str(_folder(Path(args.out), case, len(cases)) / "trace") for case in cases]
            progress.say(f"wrote {', '.join(places)} and {Path(args.out) / 'summary.json'}")
    print(text if args.json else "\n".join(lines))
    return 1 if missed else 0


def _cases(paths: Sequence[str], sets: Sequence[str], say: Say) -> list[Case]:
    """All scenarios ready, or all their problems at once. Equal names are numbered, for each is a folder of -o."""
    cases: list[Case] = []
    problems: list[InputError] = []
    taken: set[str] = set()
    for path in paths:
        try:
            scenario = load(path, sets)
            label, number = scenario.name, 2
            while _file_name(label) in taken:
                label, number = f"{scenario.name}-{number}", number + 1
            cases.append(prepare(scenario, label=label, say=say))
            taken.add(_file_name(label))
        except InputError as error:
            problems += error.problems if isinstance(error, InputErrors) else [error]
    if problems:
        raise problems[0] if len(problems) == 1 else InputErrors(problems)
    return cases


def _one(case: Case, args: argparse.Namespace) -> tuple[list[str], dict[str, Json], bool]:
    trace = simulate_case(case, seed=args.seed, samples_s=args.samples)
    summary, start_s = summarise(trace)[0], case.scenario.start
    if not summary.requests:
        raise nothing_measured(case.scenario)
    if args.out:
        trace.write(args.out, args.format)
    lines = summary_lines(trace, summary, start_s)
    lines[0] = bold(lines[0])
    numbers = measure(trace)
    judged, missed = _slo(case, {name: Interval(value, value, value) for name, value in numbers.items()})
    fields = _about(case, args) | {"summary": summary.to_json(), "measures": dict(numbers)}
    fields["waits"] = [wait_json(trace, one, start_s) for one in summary.dedup.top]
    if args.by:
        groups = summarise(trace, by=args.by)
        lines += ["", *group_lines(args.by, groups)]
        fields["groups"] = [one.to_json() for one in groups]
    return lines + judged, {"runs": [fields]}, missed


def _many(cases: list[Case], args: argparse.Namespace, progress: Progress) -> tuple[list[str], dict[str, Json], bool]:
    folders = {case.label: str(_folder(Path(args.out), case, len(cases))) for case in cases} if args.out else {}
    results = replicate(
        cases,
        partial(_outcome, args.by, folders, args.format),
        replications=args.replications,
        seed=args.seed,
        workers=args.workers,
        samples_s=args.samples,
        progress=progress,
    )
    for case, runs in zip(cases, results, strict=True):
        if not any(one.measures["requests"] for one in runs):
            raise nothing_measured(case.scenario)
    means = [
        _intervals([one.measures for one in runs], case.scenario.alpha)
        for case, runs in zip(cases, results, strict=True)
    ]
    lines: list[str] = []
    if len(cases) > 1:
        lines += _batch(cases, means)
    else:
        confidence = f"{100 * (1 - cases[0].scenario.alpha):g} %"
        title = f"{cases[0].label}: {count(args.replications, 'replication')}, means with {confidence} intervals"
        lines += [bold(title), *_means(means[0])]
    found: list[Json] = []
    missed = False
    for case, runs, intervals in zip(cases, results, means, strict=True):
        judged, is_missed = _slo(case, intervals)
        judged += _warmup([one.measures for one in runs])
        missed = missed or is_missed
        lines += [f"{case.label}: {line.strip()}" for line in judged] if len(cases) > 1 else judged
        fields = _about(case, args) | {"measures": {name: _interval_json(one) for name, one in intervals.items()}}
        if args.by:
            lines += ["", bold(case.label), *group_lines(args.by, runs[0].groups)]
            fields["groups"] = [one.to_json() for one in runs[0].groups]
        found.append(fields)
    return lines, {"runs": found}, missed


def _outcome(by: By | None, folders: dict[str, str], format: Format, trace: Trace) -> Outcome:
    """In a worker: the numbers of a replication; the first is written."""
    if trace.meta.name in folders and trace.meta.scenario["replication"] == 0:
        trace.write(folders[trace.meta.name], format)
    return Outcome(measure(trace), tuple(summarise(trace, by=by)) if by else ())


def _intervals(runs: Sequence[Measures], alpha: float) -> dict[str, Interval]:
    return {name: t_interval([one[name] for one in runs], alpha) for name in runs[0]}


def _batch(cases: Sequence[Case], means: Sequence[dict[str, Interval]]) -> list[str]:
    """One line a scenario; columns in which nothing happened are left out."""
    kept = [(name, label) for name, label in _BATCH if name in _ALWAYS or any(one[name].mean > 0 for one in means)]
    rows = [
        [case.label, *(show(name, one[name].mean) for name, _ in kept)] for case, one in zip(cases, means, strict=True)
    ]
    return table(["scenario", *(label for _, label in kept)], rows)


def _means(means: dict[str, Interval]) -> list[str]:
    kept = [name for name in SHOWN if name in means and (name in _ALWAYS or means[name].mean > 0)]
    rows = [[words(name), *(show(name, getattr(means[name], at)) for at in ("mean", "low", "high"))] for name in kept]
    return ["  " + line for line in table(["measure", "mean", "low", "high"], rows)]


def _slo(case: Case, found: dict[str, Interval]) -> tuple[list[str], bool]:
    """A line for each limit of the scenario's `slo`, and whether one is missed."""
    lines, missed = [], False
    for name, limit_s in (case.scenario.slo.limits if case.scenario.slo else {}).items():
        value = found[f"{name}_duration"].mean
        is_missed = not value <= limit_s
        missed = missed or is_missed
        verdict = "MISSED" if is_missed else "met"
        lines.append(
            f"  {'slo':10}{name} {show('mean_duration', value)}, limit {show('mean_duration', limit_s)}: {verdict}"
        )
    return lines, missed


def _warmup(runs: Sequence[Measures]) -> list[str]:
    """A line when half of the replications or more say that the warm-up is too short: one alone may well be chance."""
    short = sum(one["short_warmup"] > 0 for one in runs)
    if 2 * short < len(runs):
        return []
    return [
        f"  {'warm-up':10}seems too short in {short} of {len(runs)} replications (MSER-5): make it longer, or the run"
    ]


def _about(case: Case, args: argparse.Namespace) -> dict[str, Json]:
    return {
        "scenario": case.label,
        "file": str(case.scenario.path),
        "settings": list(args.sets),
        "seed": args.seed,
        "replications": args.replications,
        "objective": str(case.scenario.objective),
    }


def _interval_json(interval: Interval) -> dict[str, Json]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _folder(out: Path, case: Case, cases: int) -> Path:
    return out / _file_name(case.label) if cases > 1 else out


def _file_name(label: str) -> str:
    """A scenario's name as a folder that stays inside of -o."""
    return re.sub(r"[^\w.-]+", "-", label).strip(".-") or "scenario"
