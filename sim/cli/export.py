"""`buildcast trace export`: a trace for ui.perfetto.dev.

In: parsed arguments. Out: a file in Chrome's trace event format, or the same on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sim.cli.terminal import Progress, json_text
from sim.report.chrome import to_chrome, write_chrome
from sim.trace import read_trace


def export(args: argparse.Namespace) -> int:
    """Write the file and say how to open it."""
    with Progress("exporting", quiet=args.quiet) as progress:
        trace = read_trace(args.trace)
        if args.out == "-":
            json.dump(to_chrome(trace), sys.stdout, separators=(",", ":"), allow_nan=False)
            print()
            return 0
        out = Path(args.out) if args.out else _beside(Path(args.trace))
        write_chrome(trace, out)
        progress.say(f"wrote {out}: open https://ui.perfetto.dev, then drop the file on the page")
    if args.json:
        print(json_text({"file": str(out), "builds": len(trace.builds), "steps": len(trace.steps)}))
    return 0


def _beside(trace: Path) -> Path:
    folder = trace.resolve() if trace.name in ("", "..") else trace
    return folder.with_name(f"{folder.name}.perfetto.json")
