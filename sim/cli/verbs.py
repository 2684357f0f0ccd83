"""What each verb does.

In: parsed arguments. Out: text or JSON on stdout, files where asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from sim.errors import InputError, replacing
from sim.graph import show
from sim.metrics import Summary, summarise
from sim.report.chrome import write_chrome
from sim.runs import prepare, simulate_case
from sim.scenario import describe, load
from sim.study.compare import Comparison, compare, vary
from sim.study.matrix import Matrix, matrix
from sim.trace import read_trace
from sim.units import format_duration, format_money


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _json(value: object) -> None:
    print(json.dumps({"schema_version": 1, "result": value}, indent=1, sort_keys=True))


def check(args: argparse.Namespace) -> None:
    """`buildcast check`."""
    case = prepare(load(args.scenario, args.sets), say=_say)
    lines = describe(case.scenario, case.farm)
    _json(lines) if args.json else print("\n".join(lines))


def graph(args: argparse.Namespace) -> None:
    """`buildcast graph`."""
    case = prepare(load(args.scenario, args.sets), refresh=args.lock, say=_say)
    found = [case.graphs.graph(target) for target in case.graphs.targets]
    if args.json:
        _json([show.to_json(one) for one in found])
    else:
        print("\n".join(show.to_dot(one) if args.dot else show.tree(one) for one in found))


def run(args: argparse.Namespace) -> None:
    """`buildcast run`."""
    for path in args.scenario:
        case = prepare(load(path, args.sets), say=_say)
        trace = simulate_case(case, seed=args.seed)
        summary = summarise(trace)[0]
        if args.out:
            name = case.scenario.name or Path(path).stem
            trace.write(Path(args.out) / name if len(args.scenario) > 1 else Path(args.out))
        _json(summary.to_json()) if args.json else print(_summary_text(summary))


def _summary_text(summary: Summary) -> str:
    took, steps = summary.duration_s, summary.steps

    def seconds(value: float | None) -> str:
        return "n/a" if value is None else format_duration(value)

    counted = ", ".join(f"{count} {name}" for name, count in (steps.outcomes or {}).items() if count)
    lines = [
        f"{summary.group}: {summary.requests} requests, {summary.builds} builds",
        f"  duration  mean {seconds(took.mean)}, p50 {seconds(took.p50)}, p95 {seconds(took.p95)}",
        f"  steps     {counted}",
    ]
    for wait in summary.dedup.top:
        lines.append(
            f"  waited    request {wait.request} ({wait.target}) waited {wait.wait_s:.1f} s for {wait.step} "
            f"of request {wait.owner_request} ({wait.owner_target})"
        )
    if summary.money.per_request_usd is not None:
        lines.append(f"  money     {format_money(summary.money.per_request_usd)} a request")
    return "\n".join(lines)


def compare_candidates(args: argparse.Namespace) -> None:
    """`buildcast compare`."""
    settings = _candidates(args.candidates) if args.candidates else vary(args.vary)
    found = compare(
        args.scenario,
        settings,
        sets=args.sets,
        replications=args.replications,
        seed=args.seed,
        workers=args.workers,
        say=_say,
    )
    _json(found.to_json()) if args.json else print(_comparison_text(found))


def _candidates(file: str) -> list[tuple[str, ...]]:
    try:
        listed = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        return [tuple(one["set"]) for one in listed]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"no list of candidates: {error}", where=file, hint="write - {label: .., set: [k=v]}"
        ) from None


def _comparison_text(found: Comparison) -> str:
    lines = [f"{found.scenario}: {found.objective}, mean [interval] of {found.replications} replications"]
    lines += [
        f"  {one.objective.mean:10.4f} [{one.objective.low:.4f}, {one.objective.high:.4f}]  {one.label}"
        for one in found.candidates
    ]
    return "\n".join([*lines, f"  winner: {found.winner}" + ("" if found.separable else " (not separable)")])


def decision_matrix(args: argparse.Namespace) -> None:
    """`buildcast matrix`."""
    found = matrix(
        Path(args.folder),
        quick=args.quick,
        replications=args.replications,
        requests=args.requests,
        seed=args.seed,
        workers=args.workers,
        say=_say,
    )
    if args.out:
        with replacing(Path(args.out) / "decision-matrix.json") as file:
            json.dump(found.to_json(), file, indent=1)
        with replacing(Path(args.out) / "decision-matrix.md") as file:
            file.write(f"# Decision matrix\n\nMade by `{found.command}`.\n\n{_matrix_text(found)}\n")
    _json(found.to_json()) if args.json else print(_matrix_text(found))


def _matrix_text(found: Matrix) -> str:
    lines = []
    for row in found.rows:
        verdict = "agrees" if row.agrees else "differs"
        lines.append(
            f"{row.row.number}. {row.row.title}: {row.comparison.winner} ({verdict} with: {row.row.recommended})"
        )
        lines += [f"   - {one}" for one in (*row.why, row.billing)]
    return "\n".join(lines)


def export(args: argparse.Namespace) -> None:
    """`buildcast trace export`."""
    out = Path(args.out) if args.out else Path(f"{args.trace}.perfetto.json")
    write_chrome(read_trace(Path(args.trace)), out)
    _say(f"wrote {out}: open it in ui.perfetto.dev")


RUN: dict[str, Callable[[argparse.Namespace], None]] = {
    "check": check,
    "graph": graph,
    "run": run,
    "compare": compare_candidates,
    "matrix": decision_matrix,
    "trace": export,
}
