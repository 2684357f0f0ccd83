"""What verbs are made of: one-line complaints, flags that several share, the words that they take.

In: texts. Out: argparse's parsers and values. Only argparse is imported here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from sim.real.daemon import Tls

SCENARIO = "scenario file, or a folder that holds scenario.yaml"


class Parser(argparse.ArgumentParser):
    """argparse, whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and leave with exit code 2."""
        line = " ".join(message.split())
        print(f"{self.prog}: {line[:300]}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def new_verb(commands: Commands, name: str, runs: str, help: str, *examples: str) -> Parser:
    """A verb with what all verbs have: help, examples, --json, --quiet."""
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


def add_sets(verb: Parser) -> None:
    """--set KEY=VALUE."""
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="write over a field: farm.size=large",
    )


def add_study_flags(verb: Parser, replications: int) -> None:
    """Replications, seed, processes."""
    verb.add_argument(
        "--replications",
        type=count_of,
        default=replications,
        metavar="N",
        help=f"independent runs (default {replications})",
    )
    verb.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same tables (default 1)")
    verb.add_argument("--workers", type=count_of, metavar="W", help="processes (default: the machine's cores)")


def add_as_is_flags(verb: Parser) -> None:
    """The true Dockerfiles, and what they are built on."""
    verb.add_argument("--as-is", action="store_true", help="build the true Dockerfiles, not synthetic steps")
    verb.add_argument(
        "--base",
        action="append",
        type=named_folder,
        default=[],
        metavar="NAME=FOLDER",
        help="--as-is: a base image's files or layout",
    )


def named_folder(text: str) -> tuple[str, Path]:
    """A name and a folder for argparse."""
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"'{text[:80]}' is not NAME=FOLDER")
    return name, Path(folder)


def add_node_flags(verb: Parser) -> None:
    """Remote daemons, and the certificates that they ask for."""
    add_tls_flags(verb, "--node")
    verb.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="PLATFORM=ADDRESS",
        help="a buildkitd on another machine, for one platform: linux/arm64=tcp://HOST:PORT",
    )


def add_tls_flags(verb: Parser, flag: str) -> None:
    """The certificates that the daemons of a flag ask for."""
    for name, what in (
        ("ca", "the authority that signed theirs"),
        ("cert", "the client's cert"),
        ("key", "the client's key"),
    ):
        verb.add_argument(f"--tls-{name}", metavar="FILE", help=f"PEM file for {flag}: {what}")


def idle_certificates(args: argparse.Namespace) -> str | None:
    """A complaint: certificates are given, and no daemon on another machine that could ask for them."""
    given = [f"--tls-{name}" for name in ("ca", "cert", "key") if getattr(args, f"tls_{name}", None)]
    flag = "node" if hasattr(args, "node") else "daemon"
    if not given or getattr(args, flag):
        return None
    return f"{given[0]} is for daemons on other machines: name one with --{flag}, or leave it out"


def tls_of(args: argparse.Namespace) -> Tls:
    """The certificates given. InputError: one cannot be read, or stands without its key."""
    from sim.real.daemon import Tls

    tls = Tls(*(Path(one) if one else None for one in (args.tls_ca, args.tls_cert, args.tls_key)))
    tls.check()
    return tls


def cores(text: str) -> float:
    """0.5cpu."""
    from sim.units import parse_cores

    try:
        return parse_cores(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number") from None


def share(text: str) -> float:
    """A share for argparse: `5%` or 0.05."""
    from sim.units import parse_share

    try:
        return parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count_of(text: str) -> int:
    """A number of things."""
    number = whole(text)
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:40]} is not between 1 and 1000000")
    return number


def seed(text: str) -> int:
    """A seed."""
    number = whole(text)
    if not 0 <= number < 2**63:  # a trace keeps it as a 64-bit number
        raise argparse.ArgumentTypeError(f"{text[:40]} is not between 0 and 2^63")
    return number


def interval_s(text: str) -> float:
    """A duration above a millisecond, in seconds."""
    from sim.units import parse_duration_s

    try:
        interval_s = parse_duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if interval_s < 1e-3:
        raise argparse.ArgumentTypeError(f"{text[:40]} is shorter than 1ms")
    return interval_s
