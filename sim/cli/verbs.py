"""The verbs and their flags, as argparse reads them.

In: arguments. Out: a namespace whose `runs` names the function to call (`simulate:run`). Only argparse is imported here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

_SCENARIO = "scenario file, or a folder that holds scenario.yaml"


class Parser(argparse.ArgumentParser):
    """argparse, whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and leave with exit code 2."""
        line = " ".join(message.split())
        print(f"{self.prog}: {line[:300]}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The chosen verb and its flags. SystemExit after --help (0) or bad usage (2)."""
    parser, verbs = _parser()
    _check_verb(parser, verbs, arguments)
    chosen, left = parser.parse_known_args(arguments)
    if left:
        verb = verbs[chosen.verb]
        verb = getattr(verb, "actions", {}).get(getattr(chosen, "action", ""), verb)
        known = [flag for action in verb._actions for flag in action.option_strings]
        verb.error(f"unknown argument {left[0]}{_meant(left[0].partition('=')[0], known)}")
    return chosen


def _check_verb(parser: Parser, verbs: dict[str, Parser], arguments: Sequence[str]) -> None:
    """argparse would list all verbs in one long line; a person wants the near one."""
    first = next((one for one in arguments if not one.startswith("-")), None)
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    if first is not None and first not in verbs:
        parser.error(f"unknown verb '{first}'{_meant(first, list(verbs))} (verbs: {', '.join(verbs)})")


def _meant(given: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(given, known, 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _parser() -> tuple[Parser, dict[str, Parser]]:
    from sim import __version__

    parser = Parser(
        prog="buildcast",
        description="Forecast a container-build farm before you buy it: how long builds take, what that costs, and "
        "which configuration is best.",
        epilog="examples:\n"
        "  buildcast run scenarios/dedup-pair\n"
        "  buildcast compare scenarios/mixed --vary farm.size=default,large --vary projects=one,per_target\n"
        "  buildcast matrix --quick -o results\n\n"
        "exit codes: 0 ok; 1 a limit of `slo` missed; 2 bad usage or input; 3 environment (no tool, no disk); 130 on ^C\n"
        "environment: NO_COLOR, FORCE_COLOR; BUILDCAST_CACHE (folder for tools); BUILDCAST_TRACEBACK=1 (for reports)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"buildcast {__version__}")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    verbs = {name: add(commands) for name, add in _VERBS.items()}
    return parser, verbs


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _verb(commands: Commands, name: str, runs: str, help: str, *examples: str) -> Parser:
    made: Parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  buildcast {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(runs=runs)
    made.add_argument("--json", action="store_true", help="one JSON object with schema_version on stdout")
    made.add_argument("-q", "--quiet", action="store_true", help="no progress and no messages but errors")
    return made


def _check(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "check",
        "look:check",
        "validate a scenario; say what will be simulated",
        "check scenarios/mixed",
        "check scenarios/mixed --set farm.size=large --set farm.autoscaling.builds_per_instance=2",
        "check --schema > buildcast.schema.json",
    )
    verb.add_argument("scenario", nargs="?", metavar="SCENARIO", help=_SCENARIO)
    _sets(verb)
    verb.add_argument("--schema", action="store_true", help="print the JSON schema of scenarios, for editors")
    return verb


def _graph(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "graph",
        "look:graph",
        "the build graph: tree, critical path, width",
        "graph scenarios/three-stage",
        "graph scenarios/monorepo-bake app",
        "graph scenarios/three-stage --dot | dot -Tsvg > graph.svg",
        "graph scenarios/mixed --lock",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    verb.add_argument("target", nargs="?", metavar="TARGET", help="a target or a group; default: all")
    _sets(verb)
    verb.add_argument(
        "--lock", action="store_true", help="make the lock file anew with BuildKit's own frontend (needs Go)"
    )
    verb.add_argument("--dot", action="store_true", help="Graphviz's language on stdout")
    return verb


def _run(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "run",
        "simulate:run",
        "simulate one scenario or a batch: a summary, and the trace with -o",
        "run scenarios/dedup-pair",
        "run scenarios/mixed --set farm.size=large --by target",
        "run scenarios/mixed --replications 20 -o out",
        "run scenarios/mixed --samples 10s -o out",
        "run scenarios/frequent-small scenarios/mixed -o out",
    )
    verb.add_argument("scenario", nargs="+", metavar="SCENARIO", help=_SCENARIO)
    _sets(verb)
    verb.add_argument("--by", choices=["target", "project", "platform"], help="a line for each of these, too")
    _study_flags(verb, replications=1)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write the trace (of replication 0) and summary.json here")
    verb.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the trace's tables")
    verb.add_argument(
        "--samples", type=_interval_s, metavar="EVERY", help="add what each runner does, that often, as 10s (needs -o)"
    )
    return verb


def _compare(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "compare",
        "study:compare",
        "candidates side by side on the same requests, with confidence intervals and a winner",
        "compare scenarios/mixed --vary farm.size=default,large,xlarge",
        "compare scenarios/mixed --vary farm.autoscaling=off,{builds_per_instance:2} --vary projects=one,per_target",
        "compare scenarios/monorepo-bake --candidates scenarios/monorepo-bake/candidates.yaml -o out",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    verb.add_argument(
        "--vary", action="append", default=[], metavar="KEY=V1,V2", help="all values; several flags: all combinations"
    )
    verb.add_argument("--candidates", metavar="FILE", help="a YAML list of {label: NAME, set: [KEY=VALUE, ...]}")
    _sets(verb)
    _study_flags(verb, replications=10)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write compare.json and compare.png here")
    return verb


def _matrix(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "matrix",
        "study:matrix",
        "the decision matrix: the winner of each row, by how much, and whether the given reason holds",
        "matrix --quick",
        "matrix --quick -o results",
        "matrix my-scenarios --replications 20",
    )
    verb.add_argument("folder", nargs="?", metavar="DIR", help="folder with the four rows; default: those of buildcast")
    verb.add_argument("--quick", action="store_true", help="8 candidates a row instead of 36")
    verb.add_argument("--requests", type=_count, default=300, metavar="N", help="a replication (default 300)")
    _study_flags(verb, replications=10)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write decision-matrix.md, .json and .png here")
    return verb


def _import(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "import",
        "inputs:import_logs",
        "logs and histories of real builds become a measured trace",
        "import build.jsonl -o out          # buildctl/buildx build --progress=rawjson 2> build.jsonl",
        "import ci.log app.dockerbuild -o out",
        "import --daemon unix:///run/buildkit/buildkitd.sock --since 2h -o out",
    )
    verb.add_argument(
        "logs",
        nargs="*",
        metavar="LOG",
        help="rawjson, plain progress, a .dockerbuild bundle, or a listing of `buildctl debug histories`; - is stdin",
    )
    verb.add_argument(
        "--daemon", action="append", default=[], metavar="ADDRESS", help="ask a live buildkitd for its history"
    )
    verb.add_argument("--since", type=_interval_s, metavar="TIME", help="only builds begun in the last TIME, as 2h")
    verb.add_argument(
        "--hide",
        action="append",
        default=[],
        metavar="NAME",
        help="a build arg whose value, taken from this environment variable, must not show in names of steps "
        "(rawjson and plain logs show it; histories and bundles say which values are args)",
    )
    verb.add_argument("-o", dest="out", metavar="DIR", help="write the trace here")
    verb.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the trace's tables")
    return verb


def _trace(commands: Commands) -> Parser:
    made: Parser = commands.add_parser("trace", help="work with traces: `trace export`", allow_abbrev=False)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    verb = _verb(
        actions,
        "export",
        "export:export",
        "write a trace as Chrome/Perfetto JSON, to be opened in ui.perfetto.dev",
        "trace export out",
        "trace export out -o trace.json",
    )
    verb.add_argument("trace", metavar="TRACE", help="the folder that `buildcast run -o` wrote")
    verb.add_argument("-o", dest="out", metavar="FILE", help="default: TRACE.perfetto.json beside it; - is stdout")
    made.actions = {"export": verb}  # type: ignore[attr-defined]
    return made


def _fleet(commands: Commands) -> Parser:
    made: Parser = commands.add_parser(
        "fleet",
        help="real BuildKit daemons on this machine: `fleet install`, `up`, `status`, `down`",
        description="Real BuildKit daemons on this machine, one for every runner of a farm. Needs root.",
        allow_abbrev=False,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    install = _verb(
        actions,
        "install",
        "fleet:install",
        "build the pinned BuildKit from source, once; look for runc",
        "fleet install",
    )
    up = _verb(
        actions,
        "up",
        "fleet:up",
        "start one daemon for every project and native platform; they stay up",
        "fleet up scenarios/dedup-pair --set farm.runner.cpus=2",
        "fleet up scenarios/mixed --set projects=per_target --set farm.runner.cpus=0.4 --json",
        "fleet up scenarios/three-stage --node linux/arm64=tcp://build-arm:1234 "
        "--tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem --set farm.runner.cpus=2",
    )
    up.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    _sets(up)
    _node_flags(up)
    status = _verb(
        actions,
        "status",
        "fleet:status",
        "what stands, and what a killed run has left",
        "fleet status",
        "fleet status --json",
    )
    down = _verb(actions, "down", "fleet:down", "end and remove all of it, leftovers too", "fleet down")
    for one in (up, status, down):
        one.add_argument(
            "--folder", metavar="DIR", help="where daemons keep their caches (default: buildcast's cache folder)"
        )
    made.actions = {"install": install, "up": up, "status": status, "down": down}  # type: ignore[attr-defined]
    return made


def _replay(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "replay",
        "replay:replay",
        "run the same requests on real BuildKit daemons here: a measured trace",
        "replay scenarios/dedup-pair --set farm.runner.cpus=2 --scale 0.05 -o measured",
        "replay my-scenario --as-is --base golang:1.26=rootfs -o measured",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    _sets(verb)
    verb.add_argument("--seed", type=_seed, default=1, metavar="S", help="same seed, same requests (default 1)")
    verb.add_argument("--scale", type=float, default=1.0, metavar="X", help="times and bytes times X (default 1)")
    verb.add_argument(
        "--as-is", action="store_true", help="build the true Dockerfiles, not synthetic steps of their costs"
    )
    verb.add_argument(
        "--base", action="append", default=[], metavar="NAME=FOLDER", help="--as-is: a base image's files or layout"
    )
    _node_flags(verb)
    verb.add_argument("--registry", metavar="HOST:PORT", help="push what the scenario pushes to this registry")
    verb.add_argument(
        "--samples", type=_interval_s, default=1.0, metavar="EVERY", help="a row a runner, that often (1s)"
    )
    verb.add_argument(
        "--folder", metavar="DIR", help="where daemons keep their caches (default: buildcast's cache folder)"
    )
    verb.add_argument("-o", dest="out", metavar="DIR", help="write the trace, clients' logs and summary.json here")
    verb.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the trace's tables")
    return verb


def _node_flags(verb: Parser) -> None:
    """Remote daemons, and the certificates that they ask for."""
    verb.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="PLATFORM=ADDRESS",
        help="a buildkitd on another machine, for one platform: linux/arm64=tcp://HOST:PORT",
    )
    for name, what in (("ca", "the authority that signed"), ("cert", "the client's"), ("key", "the client's")):
        verb.add_argument(
            f"--tls-{name}", metavar="FILE", help=f"PEM file for --node: {what} {name if name != 'ca' else 'nodes'}"
        )


def _calibrate(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "calibrate",
        "fit:calibrate",
        "fit a profile: step costs from measured traces, a daemon's constants from traces or a suite of builds",
        "calibrate out/measured -o calibrated.yaml",
        "calibrate --suite -o this-machine.yaml",
        "calibrate replays/a replays/b --constants --scenario a --scenario b -o constants.yaml",
    )
    verb.add_argument("trace", nargs="*", metavar="TRACE", help="folders that `buildcast replay` or `import` wrote")
    verb.add_argument("-o", dest="out", metavar="PROFILE", required=True, help="the profile file to write")
    verb.add_argument("--suite", action="store_true", help="build for up to 5 minutes on a real daemon, and measure")
    verb.add_argument(
        "--daemon", metavar="ADDRESS", help="with --suite: a daemon that is there and idle; else a local one"
    )
    verb.add_argument("--cpus", type=_cores, metavar="N", help="cores of the runners, where a trace does not say them")
    verb.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="SCENARIO",
        help="whose rules say threads, bytes and waiting; one for all traces, or several by name",
    )
    verb.add_argument(
        "--constants", action="store_true", help="the steps cost what the rules say: fit the daemon's constants"
    )
    verb.add_argument("--rounds", type=_count, default=5, metavar="N", help="of the suite (default 5)")
    verb.add_argument("--force", action="store_true", help="measure on a busy machine, and say so")
    return verb


def _validate(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "validate",
        "fit:validate",
        "predicted beside measured: errors, noise, bands, simpler predictors",
        "validate tests/real/corpus/* -k 3 --profile calibrated.yaml -o results",
        "validate tests/fit/mixed/cases/* --measured",
    )
    verb.add_argument("scenario", nargs="+", metavar="SCENARIO", help=_SCENARIO)
    _sets(verb)
    verb.add_argument("-k", dest="times", type=_count, default=3, metavar="K", help="replays of each (default 3)")
    verb.add_argument("--profile", metavar="FILE", help="to predict with, instead of the scenarios' own")
    verb.add_argument("--as-is", action="store_true", help="build the true Dockerfiles: errors of costs, too")
    verb.add_argument(
        "--keep", metavar="DIR", help="keep traces in DIR/NAME/1, ...; what is there is not replayed again"
    )
    verb.add_argument("--decisions", action="store_true", help="replay each scenario's candidates.yaml: who wins?")
    verb.add_argument("--search", type=_count, metavar="N", help="spend N replays on finding scenarios predicted badly")
    verb.add_argument(
        "--measured", nargs="?", const="", metavar="DIR", help="read DIR/NAME/*, or what lies beside each"
    )
    _study_flags(verb, replications=79)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write validation.md, .json and .png here")
    return verb


def _regress(commands: Commands) -> Parser:
    verb = _verb(
        commands,
        "regress",
        "fit:regress",
        "the timing model today against results/baselines: exit 1 when a number has moved",
        "regress",
        'regress --update --why "exports are modelled"',
    )
    verb.add_argument("--root", default=".", metavar="DIR", help="a checkout of buildcast (default: where you are)")
    verb.add_argument("--update", action="store_true", help="write new baselines where numbers have moved")
    verb.add_argument("--why", metavar="TEXT", help="the reason, for --update")
    return verb


_VERBS: dict[str, Callable[[Commands], Parser]] = {
    "check": _check,
    "graph": _graph,
    "run": _run,
    "compare": _compare,
    "matrix": _matrix,
    "import": _import,
    "trace": _trace,
    "fleet": _fleet,
    "replay": _replay,
    "calibrate": _calibrate,
    "validate": _validate,
    "regress": _regress,
}


def _sets(verb: Parser) -> None:
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="write over a field: farm.size=large",
    )


def _study_flags(verb: Parser, replications: int) -> None:
    verb.add_argument(
        "--replications",
        type=_count,
        default=replications,
        metavar="N",
        help=f"independent runs (default {replications})",
    )
    verb.add_argument("--seed", type=_seed, default=1, metavar="S", help="same seed, same tables (default 1)")
    verb.add_argument("--workers", type=_count, metavar="W", help="processes (default: the machine's cores)")


def _cores(text: str) -> float:
    from sim.units import parse_cores

    try:
        return parse_cores(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number") from None


def _count(text: str) -> int:
    number = _whole(text)
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:40]} is not between 1 and 1000000")
    return number


def _seed(text: str) -> int:
    number = _whole(text)
    if not 0 <= number < 2**63:  # a trace keeps it as a 64-bit number
        raise argparse.ArgumentTypeError(f"{text[:40]} is not between 0 and 2^63")
    return number


def _interval_s(text: str) -> float:
    from sim.units import parse_duration_s

    try:
        interval_s = parse_duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if interval_s < 1e-3:
        raise argparse.ArgumentTypeError(f"{text[:40]} is shorter than 1ms")
    return interval_s
