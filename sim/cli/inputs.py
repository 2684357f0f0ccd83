"""`buildcast import`: logs and histories of real builds become a measured trace.

In: parsed arguments. Out: a summary of the trace or JSON on stdout, the trace where asked, notes on stderr.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from sim.cli.folder import check_folder
from sim.cli.terminal import Progress, bold, json_text
from sim.cli.verbs.flags import tls_of
from sim.errors import InputError, InputErrors
from sim.inputs import Recorded, assemble, read_daemon, read_log
from sim.metrics import summarise
from sim.report.summary import summary_lines
from sim.trace import Json, Trace
from sim.units import DAY_S


def import_logs(args: argparse.Namespace) -> int:
    """Read everything, write the trace, print what it says."""
    if not args.logs and not args.daemon:
        raise InputError("nothing to import", hint="give a log (- is stdin), or --daemon ADDRESS")
    if args.since is not None and not args.daemon:
        raise InputError("--since asks a daemon", hint="add --daemon ADDRESS")
    if args.logs.count("-") > 1:
        raise InputError("- stands for stdin, which can be read once", hint="give it once")
    check_folder(args.out)
    with Progress("importing", quiet=args.quiet) as progress:
        found = _read(args, progress)
        for one in found:
            one.args = {**one.args, **_hidden(args.hide)}
        trace, notes = assemble(found, _name(args.logs, args.daemon))
        for note in notes:
            progress.say(f"note: {note}")
        if args.out:
            progress.say(f"wrote {trace.write(args.out, args.format)}")
    with np.errstate(invalid="ignore"):  # logs do not say when a runner was ready
        summary = summarise(trace)[0]
    if args.json:
        fields: dict[str, Json] = {
            "name": trace.meta.name,
            "builds": len(trace.builds),
            "steps": len(trace.steps),
            "notes": list(notes),
            "summary": summary.to_json(),
        }
        print(json_text(fields))
    else:
        lines = summary_lines(trace, summary, _start_s(trace))
        print("\n".join([bold(lines[0]), *lines[1:]]))
    return 0


def _read(args: argparse.Namespace, progress: Progress) -> list[Recorded]:
    """All logs, or the problems of all of them at once."""
    found: list[Recorded] = []
    problems: list[InputError] = []
    sources = [*args.logs, *args.daemon]
    flags = tls_of(args).flags() if args.daemon else ()
    for done, source in enumerate(sources):
        progress(done, len(sources))
        try:
            if done < len(args.logs):
                found += read_log(source)
            else:
                found += read_daemon(source, flags=flags, since_s=args.since, say=progress.say)
        except InputError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else InputErrors(problems)
    return found


def _hidden(names: Sequence[str]) -> dict[str, str]:
    """Values that must not show in names of steps, from the environment: a command line is seen by all."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise InputError(f"--hide {missing[0]}: no such variable in the environment", hint="export it, or leave it out")
    return {name: os.environ[name] for name in names}


def _name(logs: Sequence[str], daemons: Sequence[str]) -> str:
    """What the trace is called: the first source, and how many there are beside it."""
    first = (Path(logs[0]).name if logs[0] != "-" else "stdin") if logs else daemons[0]
    others = len(logs) + len(daemons) - 1
    return f"{first} and {others} more" if others else first


def _start_s(trace: Trace) -> float:
    """The run's start in seconds of its week, UTC, as a scenario's `start`."""
    began = datetime.fromisoformat(str(trace.meta.scenario["started"]))
    return began.weekday() * DAY_S + began.hour * 3600.0 + began.minute * 60 + began.second
