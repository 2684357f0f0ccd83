"""The verbs that measure and compare with measurements, with their flags.

In: argparse's commands. Out: parsers whose `runs` names the function to call.
"""

from __future__ import annotations

from sim.cli.verbs.flags import (
    SCENARIO,
    Commands,
    Parser,
    add_as_is_flags,
    add_node_flags,
    add_sets,
    add_study_flags,
    add_tls_flags,
    cores,
    count_of,
    interval_s,
    new_verb,
    seed,
    share,
)


def import_verb(commands: Commands) -> Parser:
    """`buildcast import`."""
    verb = new_verb(
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
    add_tls_flags(verb, "--daemon")
    verb.add_argument("--since", type=interval_s, metavar="TIME", help="only builds begun in the last TIME, as 2h")
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


def fleet_verb(commands: Commands) -> Parser:
    """`buildcast fleet`."""
    made: Parser = commands.add_parser(
        "fleet",
        help="real BuildKit daemons on this machine: `fleet install`, `up`, `status`, `down`",
        description="Real BuildKit daemons on this machine, one for every runner of a farm. Needs root.",
        allow_abbrev=False,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    install = new_verb(
        actions,
        "install",
        "fleet:install",
        "build the pinned BuildKit from source, once; look for runc",
        "fleet install",
    )
    up = new_verb(
        actions,
        "up",
        "fleet:up",
        "start one daemon for every project and native platform; they stay up",
        "fleet up scenarios/dedup-pair --set farm.runner.cpus=2",
        "fleet up scenarios/mixed --set projects=per_target --set farm.runner.cpus=0.4 --json",
        "fleet up scenarios/three-stage --node linux/arm64=tcp://build-arm:1234 "
        "--tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem --set farm.runner.cpus=2",
    )
    up.add_argument("scenario", metavar="SCENARIO", help=SCENARIO)
    add_sets(up)
    add_node_flags(up)
    status = new_verb(
        actions,
        "status",
        "fleet:status",
        "what stands, and what a killed run has left",
        "fleet status",
        "fleet status --json",
    )
    down = new_verb(actions, "down", "fleet:down", "end and remove all of it, leftovers too", "fleet down")
    for one in (up, status, down):
        one.add_argument(
            "--folder", metavar="DIR", help="where daemons keep their caches (default: buildcast's cache folder)"
        )
    made.actions = {"install": install, "up": up, "status": status, "down": down}  # type: ignore[attr-defined]
    return made


def replay_verb(commands: Commands) -> Parser:
    """`buildcast replay`."""
    verb = new_verb(
        commands,
        "replay",
        "replay:replay",
        "run the same requests on real BuildKit daemons here: a measured trace",
        "replay scenarios/dedup-pair --set farm.runner.cpus=2 --scale 0.05 -o measured",
        "replay my-scenario --as-is --base golang:1.26=rootfs -o measured",
    )
    verb.add_argument("scenario", metavar="SCENARIO", help=SCENARIO)
    add_sets(verb)
    verb.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same requests (default 1)")
    verb.add_argument("--scale", type=float, default=1.0, metavar="X", help="times and bytes times X (default 1)")
    add_as_is_flags(verb)
    add_node_flags(verb)
    verb.add_argument("--registry", metavar="HOST:PORT", help="push what the scenario pushes to this registry")
    verb.add_argument(
        "--samples", type=interval_s, default=1.0, metavar="EVERY", help="a row a runner, that often (1s)"
    )
    verb.add_argument(
        "--folder", metavar="DIR", help="where daemons keep their caches (default: buildcast's cache folder)"
    )
    verb.add_argument("-o", dest="out", metavar="DIR", help="write the trace, clients' logs and summary.json here")
    verb.add_argument("--format", choices=["parquet", "jsonl"], default="parquet", help="of the trace's tables")
    return verb


def calibrate_verb(commands: Commands) -> Parser:
    """`buildcast calibrate`."""
    verb = new_verb(
        commands,
        "calibrate",
        "fit:calibrate",
        "fit a profile: step costs from measured traces, a daemon's constants from traces or a suite of builds",
        "calibrate out/measured -o calibrated.yaml",
        "calibrate --suite -o this-machine.yaml",
        "calibrate replays/a replays/b --constants --scenario a --scenario b --start suite.yaml -o constants.yaml",
    )
    verb.add_argument("trace", nargs="*", metavar="TRACE", help="folders that `buildcast replay` or `import` wrote")
    verb.add_argument("-o", dest="out", metavar="PROFILE", required=True, help="the profile file to write")
    verb.add_argument("--suite", action="store_true", help="build for up to 5 minutes on a real daemon, and measure")
    verb.add_argument(
        "--daemon", metavar="ADDRESS", help="with --suite: a daemon that is there and idle; else a local one"
    )
    add_tls_flags(verb, "--daemon")
    verb.add_argument("--cpus", type=cores, metavar="N", help="cores of the runners, where a trace does not say them")
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
    verb.add_argument(
        "--start", metavar="FILE", help="a suite's profile, which the fit of traces begins with; what it counted stays"
    )
    verb.add_argument("--rounds", type=count_of, default=5, metavar="N", help="of the suite (default 5)")
    verb.add_argument("--force", action="store_true", help="measure on a busy machine, and say so")
    return verb


def validate_verb(commands: Commands) -> Parser:
    """`buildcast validate`."""
    verb = new_verb(
        commands,
        "validate",
        "fit:validate",
        "predicted beside measured: errors, noise, bands, simpler predictors",
        "validate tests/real/corpus/* -k 3 --profile calibrated.yaml -o results",
        "validate tests/fit/mixed/cases/* --measured",
    )
    verb.add_argument("scenario", nargs="+", metavar="SCENARIO", help=SCENARIO)
    add_sets(verb)
    verb.add_argument("-k", dest="times", type=count_of, default=3, metavar="K", help="replays of each (default 3)")
    verb.add_argument("--profile", metavar="FILE", help="to predict with, instead of the scenarios' own")
    verb.add_argument("--start", metavar="FILE", help="a suite's profile, which fits on other scenarios begin with")
    add_as_is_flags(verb)
    verb.add_argument(
        "--keep", metavar="DIR", help="keep traces in DIR/NAME/1, ...; what is there is not replayed again"
    )
    verb.add_argument("--decisions", action="store_true", help="replay each scenario's candidates.yaml: who wins?")
    verb.add_argument(
        "--search", type=count_of, metavar="N", help="spend N replays on finding scenarios predicted badly"
    )
    verb.add_argument(
        "--measured", nargs="?", const="", metavar="DIR", help="read DIR/NAME/*, or what lies beside each"
    )
    verb.add_argument("--limit", type=share, metavar="SHARE", help="exit 1 if the median makespan is farther off (5%%)")
    add_study_flags(verb, replications=79)
    verb.add_argument("-o", dest="out", metavar="DIR", help="write validation.md, .json and .png here")
    return verb


def regress_verb(commands: Commands) -> Parser:
    """`buildcast regress`."""
    verb = new_verb(
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
