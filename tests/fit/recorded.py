"""Measured traces: the recorded mixed cases, with their farms (`traces`), and such as are written by hand (`a_trace`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sim.trace import BUILDS, RUNNERS, SAMPLES, STEPS, Meta, Trace


def traces(case, truth: Path) -> list[Trace]:
    """`case` is the prepared scenario, for its farm."""
    return [_trace(case, run) for run in json.loads(truth.read_text())["runs"]]


def _trace(case, run) -> Trace:
    builds, steps, runners = [], [], {}
    for at, build in enumerate(run):
        # Both platforms of a farm have a runner 0: they are told apart here.
        platform = build["platforms"][0]
        runner = runners.setdefault((build["runner"], platform), len(runners))
        common = {"build": at, "runner": runner}
        builds.append(
            common
            | {
                "request": build["request"],
                "target": build["target"],
                "platforms": tuple(build["platforms"]),
                "arrived_s": build["started_s"],
                "started_s": build["started_s"],
                "completed_s": build["completed_s"],
                "outcome": build["outcome"],
            }
        )
        for name, step in build["steps"].items():
            kind = "copy" if "COPY" in name else "source" if " FROM " in name else "exec"
            steps.append(common | {"step": name, "kind": kind, "inputs": ()} | step)
    rows = {
        "builds": [tuple(one.get(name) for name in BUILDS) for one in builds],
        "steps": [tuple(one.get(name) for name in STEPS) for one in steps],
        "runners": [
            tuple({"runner": at, "platform": platform, "cpus": case.farm.runner.cpus}.get(name) for name in RUNNERS)
            for (_, platform), at in runners.items()
        ],
    }
    return Trace.from_rows(rows, Meta("measured", name=case.label, scenario={"farm": asdict(case.farm)}))


def a_trace(rows, *, cpus=2.0, source="measured", builds=None, platform="linux/amd64", samples=()):
    """Steps as dicts; one build unless told."""
    builds = builds or [{"build": 0, "request": 0, "outcome": "ok"}]
    steps = [{"build": 0, "kind": "exec", "outcome": "executed", "runner": 0, "inputs": ()} | row for row in rows]
    runners = [{"runner": 0, "platform": platform, "cpus": cpus}]
    tables = {
        "builds": (BUILDS, builds),
        "steps": (STEPS, steps),
        "runners": (RUNNERS, runners),
        "samples": (SAMPLES, samples),
    }
    return Trace.from_rows(
        {kind: [tuple(row.get(name) for name in names) for row in some] for kind, (names, some) in tables.items()},
        Meta(source, name="made by hand"),
    )
