"""Recorded semantic cases, replayed: the replay itself does what real BuildKit did when the cases were recorded.

Ends are compared with the recorded ones, so nothing runs beside a replay (`alone`), and daemons have the base image, as those
that were recorded had (README of the cases). On a machine that is busy all the same only outcomes are compared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sim.real.replay import Settings
from sim.runs import prepare, replay_case
from sim.scenario import load

CASES = Path(__file__).parents[1] / "semantics" / "cases"
sys.path.insert(0, str(CASES.parent))

from agreement import disagreements  # noqa: E402

pytestmark = [pytest.mark.usefixtures("machine"), pytest.mark.alone]

ALL = sorted(path.parent.name for path in CASES.glob("*/truth.json"))
# Two builds wait for the one slot and are ready within 10 ms of each other: only the first look at the image parts them.
RACES = ("cancel-frees-slot",)


@pytest.mark.parametrize("name", ALL)
def test_agrees_with_what_was_recorded(name, tmp_path):
    problems = differences(name, tmp_path / "f")
    assert not problems, "\n".join(problems)


def differences(name: str, folder: Path) -> list[str]:
    """What one replay has otherwise than each of the recorded runs: the fewest lines, and the times of its steps."""
    # The recording daemons shared two cores as well: clones and platforms together may have more than the machine.
    sets = ["farm.host={cpus: 2}", f"farm.cache={{start: {'cold' if name in RACES else 'images'}}}"]
    case = prepare(load(CASES / name / "scenario.yaml", sets), say=lambda _: None)
    done = replay_case(case, settings=Settings(folder=folder), say=lambda _: None)
    assert done.stopped is None
    is_busy = done.trace.meta.machine["busy"]
    runs = json.loads((CASES / name / "truth.json").read_text())["runs"]
    found = [disagreements(done.trace, run) for run in runs]
    if is_busy:
        found = [[problem for problem in problems if " ends at " not in problem] for problems in found]
    if not all(found):
        return []
    frame = done.trace.frame("steps")[["build", "step", "outcome", "started_s", "completed_s"]]
    return [*min(found, key=len), frame.to_string()]
