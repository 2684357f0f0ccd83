"""`buildcast replay`: the requests of a scenario on real BuildKit daemons.

In: parsed arguments. Out: a summary or JSON on stdout; the measured trace, clients' logs and `summary.json` where asked. What
ended a replay early is told after what was measured is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sim.cli.folder import check_folder
from sim.cli.terminal import Progress, bold, json_text
from sim.cli.verbs.flags import tls_of
from sim.errors import InputError, replacing
from sim.metrics import summarise
from sim.real.replay import Replayed, Settings
from sim.report.summary import summary_lines
from sim.runs import Case, prepare, replay_case
from sim.scenario import load
from sim.trace import Json


def replay(args: argparse.Namespace) -> int:
    """Replay, print, write; then raise what ended it early."""
    check_folder(args.out)
    settings = _settings(args)
    with Progress("replaying", quiet=args.quiet) as progress:
        case = prepare(load(args.scenario, args.sets), say=progress.say)
        done = replay_case(case, seed=args.seed, settings=settings, say=progress.say, progress=progress)
        for note in done.notes:
            progress.say(f"note: {note}" if not note.startswith("warning") else note)
        if args.out:
            done.trace.write(args.out, args.format)
        fields, lines = _told(case, done, args)
        if args.out:
            with replacing(Path(args.out) / "summary.json") as file:
                file.write(json_text(fields) + "\n")
            progress.say(f"wrote {Path(args.out) / 'trace'} and {Path(args.out) / 'summary.json'}")
    if len(done.trace.builds):
        print(json_text(fields) if args.json else "\n".join(lines))
    if done.stopped is not None:
        raise done.stopped
    return 0


def _told(case: Case, done: Replayed, args: argparse.Namespace) -> tuple[dict[str, Json], list[str]]:
    """The summary as JSON and as lines."""
    trace = done.trace
    fields: dict[str, Json] = {
        "scenario": case.label,
        "file": str(case.scenario.path),
        "settings": list(args.sets),
        "seed": args.seed,
        "stopped": None if done.stopped is None else str(done.stopped) or type(done.stopped).__name__,
        "busy": bool(trace.meta.machine.get("busy")),
        "notes": list(done.notes),
        "load": trace.meta.machine.get("load"),
    }
    if not len(trace.builds):
        return fields, []
    summary = summarise(trace)[0]
    lines = summary_lines(trace, summary, case.scenario.start)
    lines[0] = bold(lines[0])
    return fields | {"summary": summary.to_json()}, lines


def _settings(args: argparse.Namespace) -> Settings:
    if args.scale <= 0:
        raise InputError("--scale must be above 0", hint="0.1 makes everything ten times as short")
    if args.base and not args.as_is:
        raise InputError("--base is for --as-is", hint="synthetic steps need no images")
    tls = tls_of(args)
    return Settings(
        scale=args.scale,
        as_is=args.as_is,
        bases=dict(args.base),
        folder=Path(args.folder) if args.folder else None,
        nodes=_nodes(args.node),
        tls=tls,
        registry=args.registry or "",
        samples_s=args.samples,
        raw=Path(args.out) / "raw" if args.out else None,
    )


def _nodes(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        platform, _, address = one.partition("=")
        if not platform or not address:
            raise InputError(f"--node {one}: is not linux/arm64=tcp://HOST:PORT")
        found[platform] = address
    return found
