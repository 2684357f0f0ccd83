"""Small worlds for tests of replays: a scenario in a folder, replayed, and its rows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.real.node.left import leftovers
from sim.real.replay import Replayed, Settings
from sim.runs import prepare, replay_case
from sim.scenario import load
from sim.trace import COLUMNS, Trace

HEAD = "schema: 1\nname: small\nfarm:\n  runner: {cpus: 2, memory: 8GiB}\n  host: {cpus: 2}\n"


@dataclass
class World:
    """`files` lie beside the scenario; `fleet` is short, for sockets lie below it."""

    folder: Path
    fleet: Path
    done: Replayed = field(init=False)

    def write(self, scenario: str, files: dict[str, str]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"scenario.yaml": scenario, **files}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        return self.folder / "scenario.yaml"

    def replay(self, scenario: str, files: dict[str, str], sets: Sequence[str] = (), **settings: object) -> Trace:
        path = self.write(scenario, files)
        case = prepare(load(path, sets), say=lambda _: None)
        self.done = replay_case(
            case,
            settings=Settings(folder=self.fleet, **settings),
            say=lambda _: None,  # type: ignore[arg-type]
        )
        if self.done.stopped is not None:
            raise self.done.stopped
        assert leftovers(self.fleet) == []
        assert not self.fleet.exists()
        return self.done.trace


def rows(trace: Trace, kind: str) -> list[dict[str, object]]:
    return [dict(zip(COLUMNS[kind], row, strict=True)) for row in trace.table(kind).rows()]  # type: ignore[index,arg-type]


def outcomes(trace: Trace, text: str) -> dict[int, str]:
    """By build, the outcome of the step whose name holds a text."""
    return {row["build"]: row["outcome"] for row in rows(trace, "steps") if text in str(row["step"])}  # type: ignore[misc]


def workload(*jobs: str) -> str:
    return "workload:\n" + "".join(f"- {{{job}}}\n" for job in jobs)


def costs(**latency_by_word: str) -> str:
    return "costs:\n" + "".join(
        f'- {{step: "*{word}*", latency: {latency}, spread: 0}}\n' for word, latency in latency_by_word.items()
    )
