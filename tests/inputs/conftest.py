"""What the recorded logs become: `imported("pair-a.jsonl", "pair-b.jsonl")` is the trace of both."""

from pathlib import Path

import pytest

from sim.inputs import assemble, read_log
from sim.trace import BUILDS, STEPS

RECORDED = Path(__file__).parent / "recorded"


class Imported:
    """A trace as dicts: builds, and of each build its steps by name."""

    def __init__(self, trace, notes):
        self.trace, self.notes = trace, notes
        self.builds = [dict(zip(BUILDS, row, strict=True)) for row in trace.builds.rows()]
        self.steps = [{} for _ in self.builds]
        for row in trace.steps.rows():
            step = dict(zip(STEPS, row, strict=True))
            self.steps[step["build"]][step["step"]] = step

    def outcomes(self, build):
        """Of the Dockerfile's own steps, by their command without numbers and stage."""
        return {
            name.partition("] ")[2]: step["outcome"]
            for name, step in self.steps[build].items()
            if step["kind"] in ("exec", "copy")
        }

    def step(self, build, words):
        (found,) = (step for name, step in self.steps[build].items() if words in name)
        return found


@pytest.fixture(scope="session")
def imported():
    def of(*names, folder=RECORDED):
        return Imported(*assemble([one for name in names for one in read_log(str(folder / name))], "test"))

    return of


@pytest.fixture(scope="session")
def recorded():
    return RECORDED
