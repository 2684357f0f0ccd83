"""`make bench`: the model's speed beside its two peers, as ratios that hold on any machine.

In: sizes (`--help`). Out: a table; `--write` also makes results/bench.{md,json}; `--check` exits 1 below the floors.
A run is one fresh process that takes its own CPU time; rounds interleave, so that a busy neighbour hits all alike.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it also runs by path, from any folder

from sim.errors import BuildcastError, replacing  # noqa: E402
from tests.bench.work import work_b, work_c  # noqa: E402

IMPLEMENTATIONS = ("naive", "heap_loop", "ours")
WORKS = {"c": "c", "b64": "b"}
"""Measured works: their name here, and the function (`run_work_*`) that runs them."""

FLOORS = {"ratio_naive": 8.0, "ratio_heapq": 0.5}
GOALS = {"ratio_naive": 10.0, "ratio_heapq": 0.7, "ratio_naive_64": 90.0}
"""Issue 5, "Speed": below a floor `--check` fails; a goal is only told."""

ENOUGH_S = 0.3
"""A fast run repeats its work until it has taken this much CPU time, so that the clock and warm-up do not count."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Median over the rounds for one implementation on one work. Ratios to ours are taken round by round."""

    work: str
    implementation: str
    cpu_s: list[float]
    mean_response_s: float


class BenchFailed(BuildcastError):
    """The bench found the model wrong or too slow. Exit code 1."""

    exit_code = 1


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print; returns the exit code."""
    options = _parser().parse_args(argv)
    if options.one:
        print(json.dumps(run_once(*options.one, size=options.size, seed=options.seed)))
        return 0
    sizes = {"c": options.builds, "b64": options.completions}
    try:
        measured, missing = measure(sizes, options.rounds, options.seed)
        ratios = ratios_of(measured)
        print(table(measured, ratios, sizes), end="")
        for line in missing:
            print(f"not measured: {line}", file=sys.stderr)
        require_equal(measured)
        if options.write:
            write(measured, ratios, sizes, options)
        if options.check:
            check(ratios)
    except BuildcastError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def measure(sizes: dict[str, int], rounds: int, seed: int) -> tuple[list[Measured], list[str]]:
    """Run every implementation on every work, `rounds` times, interleaved. Second result: what is not written yet."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    missing: dict[tuple[str, str], str] = {}
    for turn in range(1, rounds + 1):
        for work in WORKS:
            for name in IMPLEMENTATIONS:
                if (work, name) in missing:
                    continue
                print(f"round {turn}/{rounds}: work {work}, {name}", file=sys.stderr)
                answer = _in_fresh_process(name, work, sizes[work], seed)
                if "missing" in answer:
                    missing[work, name] = f"{name}: {answer['missing']} is not written yet"
                else:
                    found.setdefault((work, name), []).append(answer)
    measured = [
        Measured(work, name, [run["cpu_s"] for run in runs], runs[0]["mean_response_s"])
        for (work, name), runs in found.items()
    ]
    return measured, list(missing.values())


def run_once(implementation: str, work_name: str, *, size: int, seed: int) -> dict[str, float | str]:
    """Inside the fresh process: CPU seconds of one pass over the work, drawing it and importing excluded."""
    module = importlib.import_module(f"tests.bench.{implementation}")
    work = work_c(size, seed) if work_name == "c" else work_b(int(work_name[1:]), size, seed)
    run: Callable[[object], float] = getattr(module, f"run_work_{WORKS[work_name]}")
    gc.collect()
    gc.freeze()  # the work's own objects are no part of what is measured
    passes = 0
    began_s = time.process_time()
    try:
        while not passes or time.process_time() - began_s < ENOUGH_S:
            mean_response_s = run(work)
            passes += 1
    except NotImplementedError as error:
        return {"missing": str(error)}
    return {"cpu_s": (time.process_time() - began_s) / passes, "mean_response_s": mean_response_s}


def ratios_of(measured: list[Measured]) -> dict[str, float | None]:
    """How many times faster ours is than each peer; medians of the rounds' ratios; None where ours is missing."""
    return {
        "ratio_naive": _ratio(measured, "c", "naive"),
        "ratio_heapq": _ratio(measured, "c", "heap_loop"),
        "ratio_naive_64": _ratio(measured, "b64", "naive"),
        "ratio_heapq_64": _ratio(measured, "b64", "heap_loop"),
    }


def require_equal(measured: list[Measured]) -> None:
    """All implementations must give the same mean response to six decimals, or their speeds do not compare."""
    for work in WORKS:
        told = {entry.implementation: f"{entry.mean_response_s:.6f}" for entry in measured if entry.work == work}
        if len(set(told.values())) > 1:
            answers = ", ".join(f"{name} {answer} s" for name, answer in told.items())
            raise BenchFailed(
                f"mean responses differ: {answers}", where=f"work {work}", hint="the naive model is right"
            )


def check(ratios: dict[str, float | None]) -> None:
    """Raise when a ratio of work (c) is below its floor or could not be measured."""
    low = []
    for key, floor in FLOORS.items():
        ratio = ratios[key]
        if ratio is None:
            raise BenchFailed(f"{key} was not measured", where="bench", hint="fill in tests/bench/ours.py")
        elif ratio < floor:
            low.append(f"{key} {ratio:.2f} is below {floor:g}")
    if low:
        raise BenchFailed(", ".join(low), where="bench", hint="profile the model before anything else")


def table(measured: list[Measured], ratios: dict[str, float | None], sizes: dict[str, int]) -> str:
    """The results as a Markdown table that also reads well on a terminal."""
    units = {"c": "builds", "b64": "completions"}
    rows = [("work", "implementation", "CPU s (min-max)", "per second", "ours is")]
    for entry in measured:
        middle_s = median(entry.cpu_s)
        ratio = None if entry.implementation == "ours" else _ratio(measured, entry.work, entry.implementation)
        rows.append(
            (
                f"{entry.work}: {sizes[entry.work]} {units[entry.work]}",
                entry.implementation,
                f"{middle_s:.4f} ({min(entry.cpu_s):.4f}-{max(entry.cpu_s):.4f})",
                f"{sizes[entry.work] / middle_s:.0f} {units[entry.work]}",
                "" if ratio is None else f"{ratio:.2f} x as fast",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines.append("")
    for key, goal in GOALS.items():
        ratio = ratios[key]
        verdict = "not measured" if ratio is None else f"{ratio:.2f}, " + ("reached" if ratio >= goal else "missed")
        floor = f", floor {FLOORS[key]:g}" if key in FLOORS else ""
        lines.append(f"- {key}: {verdict} (goal {goal:g}{floor})")
    return "\n".join(lines) + "\n"


def write(
    measured: list[Measured], ratios: dict[str, float | None], sizes: dict[str, int], options: argparse.Namespace
) -> None:
    """Write results/bench.md and results/bench.json; what holds on any machine stands first."""
    command = f"python -m tests.bench --builds {sizes['c']} --completions {sizes['b64']} --rounds {options.rounds}"
    command += f" --seed {options.seed} --write"
    versions = {"python": platform.python_version(), "simpy": version("simpy")}
    document = {
        **{key: None if ratio is None else round(ratio, 3) for key, ratio in ratios.items()},
        "mean_response_s": {entry.work: round(entry.mean_response_s, 6) for entry in measured},
        "command": command,
        "sizes": sizes,
        "versions": versions,
        "cpu_s": {
            work: {
                entry.implementation: [round(cpu_s, 5) for cpu_s in entry.cpu_s]
                for entry in measured
                if entry.work == work
            }
            for work in WORKS
        },
    }
    with replacing(options.results / "bench.json") as file:
        file.write(json.dumps(document, indent=2) + "\n")
    with replacing(options.results / "bench.md") as file:
        file.write(
            "# Speed beside two peers\n\n"
            f"Made by `{command}`; Python {versions['python']}, SimPy {versions['simpy']}.\n"
            f"CPU time of fresh processes, medians of {options.rounds} interleaved runs. A ratio is the median of the\n"
            "rounds' ratios. `naive`: a SimPy process per step, AllOf, interrupts. `heap_loop`: heapq without SimPy.\n"
            "All give the same mean response to six decimals. Work c: builds of 20 steps on 16 machines of 8 cores,\n"
            "70 % busy. Work b64: always 64 jobs on one machine of 8 cores. Seconds hold for one machine only.\n\n"
            + table(measured, ratios, sizes)
        )


def _ratio(measured: list[Measured], work: str, peer: str) -> float | None:
    cpu_s = {entry.implementation: entry.cpu_s for entry in measured if entry.work == work}
    if "ours" not in cpu_s or peer not in cpu_s:
        return None
    return median(theirs / ours for theirs, ours in zip(cpu_s[peer], cpu_s["ours"], strict=True))


def _in_fresh_process(implementation: str, work: str, size: int, seed: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", implementation, work, "--size", str(size), "--seed", str(seed)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BenchFailed(
            last,
            where=f"work {work}, {implementation}",
            hint=f"run it alone: python -m tests.bench {' '.join(command[2:])}",
        )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--builds", type=_positive, default=2000, help="size of work (c); 10000 for a careful run")
    parser.add_argument("--completions", type=_positive, default=2000, help="size of work (b) with 64 clients")
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write bench.md and bench.json")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where --write puts them")
    parser.add_argument("--check", action="store_true", help="exit 1 below the floors of issue 5")
    parser.add_argument("--one", nargs=2, metavar=("IMPLEMENTATION", "WORK"), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=_positive, default=1000, help=argparse.SUPPRESS)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
