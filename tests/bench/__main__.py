"""`make bench`: the model's speed beside two peers, with everything on, and over a month.

In: sizes (`--help`). Out: a report; `--write` also makes results/bench.{md,json}; `--check` exits 1 beyond the limits.
A run is one fresh process that takes its own CPU time; rounds interleave, so that a busy neighbour hits all alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # so that it also runs by path, from any folder; a compiled `sim` on PYTHONPATH comes first

from sim.errors import BuildcastError  # noqa: E402
from tests.bench import fresh, results  # noqa: E402

PARTS = ("bare", "full", "large", "trace", "month")
COMPILED = ("full", "large", "month")
"""What `--compiled` is for. The bare works stay beside peers that are interpreted too."""

SIZES = {field.name: field.default for field in fields(results.Sizes)}
HELP = {
    "c": "builds of work (c); 10000 for a careful run",
    "b64": "completions of work (b) with 64 clients",
    "full": "builds of the run with everything on",
    "small": "builds of the run that `large` is compared with",
    "large": "builds of the long run",
    "trace": "builds of the runs with the trace on and off",
    "month": "days",
}


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.one:
            print(json.dumps(fresh.run_once(*options.one, options.size, options.seed)))
            return 0
        if options.profile:
            fresh.profile(options.size, options.seed)
            return 0
        findings = measure(options)
        print(results.report(findings), end="")
        results.require_equal(findings)
        if options.write:
            results.write(findings, options.results, _command(options))
        if options.check:
            results.check(findings.numbers())
    except BuildcastError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def measure(options: argparse.Namespace) -> results.Findings:
    """All runs, interleaved; the long ones in the first rounds only."""
    findings = results.Findings(results.Sizes(**{name: getattr(options, name) for name in SIZES}))
    for turn in range(1, options.rounds + 1):
        for part in options.parts:
            runs = _runs(part, findings.sizes)
            if options.compiled and part == "full":
                runs.append(("full", "interpreted", findings.sizes.full))
            if part in ("large", "month") and turn > options.long_rounds:
                continue
            for what, work, size in runs:
                print(f"round {turn}/{options.rounds}: {what}, {work}", file=sys.stderr)
                compiled = options.compiled if part in COMPILED and work != "interpreted" else None
                findings.add(what, work, fresh.in_fresh_process(what, work, size, options.seed, compiled))
    return findings


def _runs(part: str, sizes: results.Sizes) -> list[tuple[str, str, int]]:
    """(what, work, size) of each run of a part in a round."""
    if part == "bare":
        return [(name, work, getattr(sizes, work)) for work in fresh.BARE for name in fresh.IMPLEMENTATIONS]
    if part == "large":
        return [("full", "small", sizes.small), ("full", "large", sizes.large)]
    if part == "month":
        return [("month", name, sizes.month) for name in fresh.MONTHS]
    return [("full", part, getattr(sizes, part))]


def _command(options: argparse.Namespace) -> str:
    """What was run, with the options that are not the defaults."""
    parser, said = _parser(), ["python -m tests.bench"]
    for name in (*SIZES, "rounds", "long_rounds", "seed"):
        value = getattr(options, name)
        if value != parser.get_default(name):
            said.append(f"--{name.replace('_', '-')} {value}")
    if options.compiled:
        said.append(f"--compiled {options.compiled}")
    return " ".join([*said, "--write"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n\n")[0])
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=_positive, default=default, help=f"{HELP[name]} (default: %(default)s)")
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument(
        "--long-rounds", type=_positive, default=3, help="rounds of large and month (default: %(default)s)"
    )
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: everything)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write bench.md and bench.json (needs all parts)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where --write puts them")
    parser.add_argument("--compiled", type=Path, help="a folder with the compiled model: `make compiled`")
    parser.add_argument("--check", action="store_true", help="exit 1 beyond the limits of issue 5")
    parser.add_argument("--profile", choices=("full",), help="print where the time of one run goes instead (cProfile)")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "WORK"), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=_positive, default=1000, help="builds of --profile")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
