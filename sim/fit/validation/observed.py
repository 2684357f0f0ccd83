"""A run as a comparison sees it: when each build arrived and ended, how, and what became of its steps.

In: a trace, simulated or measured; or `truth.json` of a recorded case (README of the semantic cases). Out: `Observed`. Builds of
both sides meet by request, target and platforms; steps by their name without the numbers that BuildKit puts into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from sim.errors import InputError
from sim.trace import Trace, read_trace

_NUMBERS = re.compile(r"^(\[(?:[^\]]* )?)\d+/\d+\]")
# What BuildKit does for itself: its preambles, bases and exports are no steps of a Dockerfile.
_INTERNAL = re.compile(
    r"^\[(\S+ )?(internal|context|auth)\b|\bFROM |^(exporting|merging|importing|resolve|pushing|sending) "
)
_WORST = ("ok", "cancelled", "timed_out", "failed")


class BuildId(NamedTuple):
    """What a build is called on both sides: its request, its target, the platforms that one runner builds."""

    request: int
    target: str
    platforms: tuple[str, ...]

    @property
    def label(self) -> str:
        """`3 app linux/amd64`."""
        return " ".join([str(self.request), *([self.target] if self.target else []), *self.platforms])


@dataclass(frozen=True, slots=True)
class Seen:
    """One build; `ended_s` is inf where nobody saw its end. `steps`: the outcomes of each name, one for each row."""

    arrived_s: float
    ended_s: float
    outcome: str
    steps: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Observed:
    """A run's builds."""

    builds: Mapping[BuildId, Seen]

    @property
    def makespan_s(self) -> float:
        """From the first arrival to the last end."""
        if not self.builds:
            return 0.0
        return max(one.ended_s for one in self.builds.values()) - min(one.arrived_s for one in self.builds.values())

    def duration_s(self, build: BuildId) -> float:
        """From its arrival to its end."""
        return self.builds[build].ended_s - self.builds[build].arrived_s

    def by_request(self) -> Observed:
        """The builds of each request as one, which ends with the last of them and is as bad as the worst."""
        together: dict[BuildId, list[Seen]] = {}
        for build, one in self.builds.items():
            together.setdefault(BuildId(build.request, "", ()), []).append(one)
        return Observed({build: _joined(parts) for build, parts in together.items()})


def observe(trace: Trace, names: Mapping[str, str] | None = None) -> Observed:
    """A trace's builds. `names`: what the steps of a rewritten Dockerfile are called in the scenario's own."""
    steps: dict[int, dict[str, list[str]]] = {}
    table = trace.steps
    for build, name, outcome in zip(table.numbers("build").tolist(), table["step"], table["outcome"], strict=True):
        if outcome is not None and not _INTERNAL.search(name):
            own = name if names is None else names.get(name, name)
            steps.setdefault(int(build), {}).setdefault(own, []).append(outcome)
    builds = trace.builds
    found: dict[BuildId, Seen] = {}
    numbers = [builds.numbers(name).tolist() for name in ("build", "request", "arrived_s", "completed_s")]
    texts = [builds[name] for name in ("target", "platforms", "outcome")]
    for build, request, arrived_s, ended_s, target, platforms, outcome in zip(*numbers, *texts, strict=True):
        place = BuildId(int(request), target or "", tuple(platforms or ()))
        seen = {name: tuple(outcomes) for name, outcomes in steps.get(int(build), {}).items()}
        one = Seen(arrived_s, ended_s if ended_s == ended_s else inf, outcome or "ok", seen)
        found[place] = one if place not in found else _joined([found[place], one])
    return Observed(found)


def measured_runs(folder: Path) -> list[Observed]:
    """What was recorded of the scenario in a folder: its `truth.json`, or the traces in `measured/`; [] when nothing was."""
    truth = folder / "truth.json"
    if truth.is_file():
        return read_truth(truth)
    return [observe(read_trace(path)) for path in sorted((folder / "measured").glob("*")) if path.is_dir()]


def read_truth(path: Path) -> list[Observed]:
    """The runs of a `truth.json`. A bake's builds are one command there, so all its builds are seen as requests."""
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        observed = [_recorded(run) for run in runs]
    except OSError as error:
        raise InputError(f"cannot read the recording: {error.strerror}", where=str(path)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"is no recording: {error}", where=str(path), hint="see tests/semantics/README.md") from error
    if not observed:
        raise InputError("holds no run", where=str(path))
    return observed


def _recorded(run: Sequence[Mapping[str, Any]]) -> Observed:
    found: dict[BuildId, Seen] = {}
    for build in run:
        steps = {
            name: (_outcome(step["outcome"], build["outcome"]),)
            for name, step in build["steps"].items()
            if not _INTERNAL.search(name)
        }
        place = BuildId(int(build["request"]), build["target"], tuple(build["platforms"]))
        one = Seen(float(build["started_s"]), float(build["completed_s"]), build["outcome"], steps)
        found[place] = one if place not in found else _joined([found[place], one])
    return Observed(found)


def _outcome(step: str, build: str) -> str:
    """A step merged into another's just after it had started shows as cancelled at once (buildkit-semantics 1)."""
    return "shared" if step == "cancelled" and build == "ok" else step


def shown_name(name: str) -> str:
    """A vertex name without its place in the stage: a base given as a named context is not numbered."""
    return _NUMBERS.sub(r"\1#]", name)


def _joined(parts: Sequence[Seen]) -> Seen:
    steps: dict[str, tuple[str, ...]] = {}
    for one in parts:
        for name, outcomes in one.steps.items():
            steps[name] = (*steps.get(name, ()), *outcomes)
    return Seen(
        arrived_s=min(one.arrived_s for one in parts),
        ended_s=max(one.ended_s for one in parts),
        outcome=max((one.outcome for one in parts), key=_WORST.index),
        steps=steps,
    )
