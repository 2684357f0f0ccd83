"""The verbs and their flags, as argparse reads them.

In: arguments. Out: a namespace whose `runs` names the function to call (`simulate:run`). Only argparse is imported here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from sim.cli.verbs.flags import Commands, Parser, idle_certificates
from sim.cli.verbs.measured import calibrate_verb, fleet_verb, import_verb, regress_verb, replay_verb, validate_verb
from sim.cli.verbs.simulated import check_verb, compare_verb, graph_verb, matrix_verb, run_verb, trace_verb

_VERBS: dict[str, Callable[[Commands], Parser]] = {
    "check": check_verb,
    "graph": graph_verb,
    "run": run_verb,
    "compare": compare_verb,
    "matrix": matrix_verb,
    "import": import_verb,
    "trace": trace_verb,
    "fleet": fleet_verb,
    "replay": replay_verb,
    "calibrate": calibrate_verb,
    "validate": validate_verb,
    "regress": regress_verb,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The chosen verb and its flags. SystemExit after --help (0) or bad usage (2)."""
    parser, verbs = _parser()
    _check_verb(parser, verbs, arguments)
    chosen, left = parser.parse_known_args(arguments)
    verb = verbs[chosen.verb]
    verb = getattr(verb, "actions", {}).get(getattr(chosen, "action", ""), verb)
    if left:
        known = [flag for action in verb._actions for flag in action.option_strings]
        verb.error(f"unknown argument {left[0]}{_meant(left[0].partition('=')[0], known)}")
    if idle := idle_certificates(chosen):
        verb.error(idle)
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
        "environment: NO_COLOR, FORCE_COLOR; BUILDCAST_CACHE (folder for tools), BUILDCAST_FLEET (folder for daemons);\n"
        "  BUILDCAST_TRACEBACK=1 (for reports)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"buildcast {__version__}")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    verbs = {name: add(commands) for name, add in _VERBS.items()}
    return parser, verbs
