"""The verbs that look and simulate, with their flags.

In: argparse's commands. Out: parsers whose `runs` names the function to call.
"""

from __future__ import annotations

from sim.cli.verbs.flags import SCENARIO, Commands, Parser, add_sets, add_study_flags, count_of, interval_s, new_verb


def check_verb(commands: Commands) -> Parser:
    """`buildcast check`."""
    verb = new_verb(
        commands,
        "check",
        "look:check",
        "validate a scenario; say what will be simulated",
        "check scenarios/mixed",
        "check scenarios/mixed --set farm.size=large --set farm.autoscaling.builds_per_instance=2",
        "check --schema > buildcast.schema.json",
    )
    verb.add_argument("scenario", nargs="?", metavar="SCENARIO", help=SCENARIO)
    add_sets(verb)
    verb.add_argument("--schema", action="store_true", help="print the JSON schema of scenarios, for editors")
    return verb


def graph_verb(commands: Commands) -> Parser:
    """`buildcast graph`."""
    verb = new_verb(
        commands,
        "graph",
        "look:graph",
        "the build graph: tree, critical path, width",
        "graph scenarios/three-stage",
        "graph scenarios/monorepo-bake app",
        "graph scenarios/three-stage --dot | dot -Tsvg > graph.svg",
        "graph scenarios/mixed --lock",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=SCENARIO)
    verb.add_argument("target", nargs="?", metavar="TARGET", help="a target or a group; default: all")
    add_sets(verb)
    verb.add_argument(
        "--lock", action="store_true", help="make the lock file anew with BuildKit's own frontend (needs Go)"
    )
    verb.add_argument("--dot", action="store_true", help="Graphviz's language on stdout")
    return verb


def run_verb(commands: Commands) -> Parser:
    """`buildcast run`."""
    verb = new_verb(
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
    verb.add_argument("scenario", nargs="+", metavar="SCENARIO", help=SCENARIO)
    add_sets(verb)
    verb.add_argument("--by", choices=["target", "project", "platform"], help="a line for each of these, too")
    add_study_flags(verb, replications=1)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write the trace (of replication 0) and summary.json here")
    verb.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the trace's tables")
    verb.add_argument(
        "--samples", type=interval_s, metavar="EVERY", help="add what each runner does, that often, as 10s (needs -o)"
    )
    return verb


def compare_verb(commands: Commands) -> Parser:
    """`buildcast compare`."""
    verb = new_verb(
        commands,
        "compare",
        "study:compare",
        "candidates side by side on the same requests, with confidence intervals and a winner",
        "compare scenarios/mixed --vary farm.size=default,large,xlarge",
        "compare scenarios/mixed --vary farm.autoscaling=off,{builds_per_instance:2} --vary projects=one,per_target",
        "compare scenarios/monorepo-bake --candidates scenarios/monorepo-bake/candidates.yaml -o out",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=SCENARIO)
    verb.add_argument(
        "--vary", action="append", default=[], metavar="KEY=V1,V2", help="all values; several flags: all combinations"
    )
    verb.add_argument("--candidates", metavar="FILE", help="a YAML list of {label: NAME, set: [KEY=VALUE, ...]}")
    add_sets(verb)
    add_study_flags(verb, replications=10)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write compare.json and compare.png here")
    return verb


def matrix_verb(commands: Commands) -> Parser:
    """`buildcast matrix`."""
    verb = new_verb(
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
    verb.add_argument("--requests", type=count_of, default=300, metavar="N", help="a replication (default 300)")
    add_study_flags(verb, replications=10)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write decision-matrix.md, .json and .png here")
    return verb


def trace_verb(commands: Commands) -> Parser:
    """`buildcast trace`."""
    made: Parser = commands.add_parser("trace", help="work with traces: `trace export`", allow_abbrev=False)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    verb = new_verb(
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
