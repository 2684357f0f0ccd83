"""Replays of many scenarios, interleaved, each beside a fixed piece of work that shows how fast the cores are at that time.

In: cases, how often, and how to replay. Out: a `Measured` for each: its traces in order, the burns, what makes them doubtful.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.fit.validation.invent import Traits, invent
from sim.fit.validation.search import Tried, search
from sim.runs import Case, Progress, Say, meta_of, prepare, replay_case
from sim.scenario import load
from sim.trace import Trace, read_trace
from sim.trace.meta import plain

_BLOCK = b"\x5a" * 1_000_000
_BLOCKS = 150  # 0.1 to 0.3 s of hashing on one core


@dataclass(slots=True)
class Measured:
    """One scenario's traces."""

    traces: list[Trace] = field(default_factory=list)

    def burns_s(self) -> tuple[float, ...]:
        """CPU time of a fixed piece of work before each: how slow the core was."""
        found = (trace.meta.machine.get("burn_cpu_s") for trace in self.traces)
        return tuple(one for one in found if isinstance(one, float))

    def doubts(self) -> tuple[str, ...]:
        """What a reader must know of these measurements."""
        busy = sum(trace.meta.machine.get("busy") is True for trace in self.traces)
        return (f"the machine was busy in {busy} of {len(self.traces)} replays",) if busy else ()


@dataclass(frozen=True, slots=True)
class Replays:
    """How to replay: how often, with which seed; `as_is`: the true Dockerfiles, on `bases` (those that a case needs).

    `keep`: a folder for the traces, DIR/NAME/1, ... What lies there of a scenario as it is now is read and not replayed again:
    an interrupted series goes on where it was.
    """

    times: int
    seed: int
    say: Say
    as_is: bool = False
    keep: Path | None = None
    bases: Mapping[str, Path] = field(default_factory=dict)

    def all(self, cases: Sequence[Case], progress: Progress | None = None) -> list[Measured]:
        """Every case once, then every case again: the machine's drift falls on all alike."""
        found = [Measured() for _ in cases]
        for number in range(self.times):
            for at, (case, into) in enumerate(zip(cases, found, strict=True)):
                self._add(case, number + 1, into)
                if progress is not None:
                    progress(number * len(cases) + at + 1, self.times * len(cases))
        return found

    def _add(self, case: Case, number: int, into: Measured) -> None:
        folder = None if self.keep is None else self.keep / case.label / str(number)
        if folder is not None and (folder / "trace" / "meta.json").is_file():
            kept = read_trace(folder)
            if _is_of(kept, case, self.seed):
                into.traces.append(kept)
                return
            self.say(f"{folder}: the scenario has changed since; replaying it again")
        cpu_s, wall_s = burn()
        trace = self.once(case)
        about = {**trace.meta.machine, "burn_cpu_s": cpu_s, "burn_wall_s": wall_s, "graphs_sha256": _graphs(case)}
        trace = replace(trace, meta=replace(trace.meta, machine=about))
        if folder is not None:
            trace.write(folder, "jsonl")
        into.traces.append(trace)

    def once(self, case: Case) -> Trace:
        """One replay. What ended it early is raised: half a run is no measurement."""
        from sim.real.as_is import familiar, images_of
        from sim.real.replay import Settings

        used = images_of(case.graphs.graph(target) for target in case.graphs.targets)
        bases = {name: place for name, place in self.bases.items() if familiar(name) in used}
        done = replay_case(case, seed=self.seed, settings=Settings(as_is=self.as_is, bases=bases))
        for note in done.notes:
            self.say(f"{case.label}: {note}")
        if done.stopped is not None:
            raise done.stopped
        return done.trace

    def search(
        self,
        budget: int,
        folder: Path,
        sets: Sequence[str] = (),
        fitted: Callable[[Case], Case] = lambda case: case,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Tried, Case]]:
        """Scenarios that are predicted badly by one replay each, worst first, written into `folder`. `sets`: as of --set.
        `fitted`: the case with the profile that predicts it.
        """
        from sim.fit.validate import mean_error

        made: dict[str, Case] = {}

        def evaluate(name: str, traits: Traits, seed: int) -> float:
            shutil.rmtree(folder / name, ignore_errors=True)  # of an earlier search
            case = made[name] = fitted(write(folder / name, name, traits, seed, sets))
            error = mean_error(case, [self.once(case)], self.seed)
            if progress is not None:
                progress(len(made), budget)
            return error

        for tried in search(evaluate, budget, self.seed):
            yield tried, made[tried.name]


def _is_of(trace: Trace, case: Case, seed: int) -> bool:
    """Whether a kept trace is one of this scenario and its Dockerfiles as they are now, its farm as it was varied."""
    own = json.loads(json.dumps(plain(meta_of(case, seed).scenario)))
    is_same = all(trace.meta.scenario.get(name) == own[name] for name in ("sha256", "farm"))
    return is_same and trace.meta.machine.get("graphs_sha256") == _graphs(case)


def _graphs(case: Case) -> str:
    """What is built: all steps, and the files of all contexts with their sizes."""
    digest = hashlib.sha256()
    for target in case.graphs.targets:
        graph = case.graphs.graph(target)
        files = sorted((name, sorted(context.files.items())) for name, context in graph.contexts.items())
        digest.update(repr(([step.digest for step in graph.steps], files)).encode())
    return digest.hexdigest()


def write(folder: Path, name: str, traits: Traits, seed: int, sets: Sequence[str] = ()) -> Case:
    """A random scenario as files, made ready."""
    for path, text in invent(name, traits, seed).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return prepare(load(folder, sets), say=lambda _: None)


def burn() -> tuple[float, float]:
    """Seconds of CPU and of the wall that a fixed piece of work takes on one core."""
    digest = hashlib.sha256()
    cpu_s, wall_s = time.thread_time(), time.monotonic()
    for _ in range(_BLOCKS):
        digest.update(_BLOCK)
    return time.thread_time() - cpu_s, time.monotonic() - wall_s
