"""The command line: thin; each verb imports what it needs only when it runs.

In: arguments. Out: data on stdout, messages on stderr, an exit code (design section 6).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

VERBS = {
    "check": "validate a scenario; say what will be simulated",
    "graph": "the build graph; --lock refreshes the lock file",
    "run": "simulate one scenario or several; summary and trace",
    "compare": "candidates side by side on the same requests",
    "matrix": "the decision matrix: the winner of each row",
    "trace": "export a trace for ui.perfetto.dev",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 bad input, 3 environment, 130 interrupted."""
    from sim.errors import BuildcastError

    chosen = _parser().parse_args(argv)
    from sim.cli import verbs

    try:
        verbs.RUN[chosen.verb](chosen)
    except BuildcastError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="buildcast", description="Forecast a container-build farm before you buy it.")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in VERBS.items()}
    for name in ("check", "graph", "compare"):
        made[name].add_argument("scenario")
    made["run"].add_argument("scenario", nargs="+")
    for name in ("check", "graph", "run", "compare"):
        made[name].add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets")
    made["graph"].add_argument("--lock", action="store_true", help="make the lock file anew")
    made["graph"].add_argument("--dot", action="store_true")
    made["compare"].add_argument("--vary", action="append", default=[], metavar="KEY=V1,V2")
    made["compare"].add_argument("--candidates", metavar="FILE", help="a YAML list of {label, set: [key=value]}")
    made["matrix"].add_argument("folder", nargs="?", default="scenarios")
    made["matrix"].add_argument("--quick", action="store_true")
    made["matrix"].add_argument("--requests", type=int, default=300)
    made["trace"].add_argument("action", choices=["export"])
    made["trace"].add_argument("trace")
    for name in ("compare", "matrix"):
        made[name].add_argument("--replications", type=int, default=10)
        made[name].add_argument("--workers", type=int)
    for name in ("run", "compare", "matrix"):
        made[name].add_argument("--seed", type=int, default=1)
    for name in ("run", "matrix", "trace"):
        made[name].add_argument("-o", dest="out", metavar="PATH")
    for one in made.values():
        one.add_argument("--json", action="store_true")
    return parser
