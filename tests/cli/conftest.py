from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.cli import main

SCENARIOS = Path(__file__).parents[2] / "scenarios"


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def complaints(self) -> list[str]:
        """Lines on stderr but progress, which shows when the machine is slow: `simulating: 3 of 4 (75 %)`."""
        return [line for line in self.err.splitlines() if not re.fullmatch(r".*: \d+ of \d+ \(\d+ %\)", line)]


Buildcast = Callable[..., Said]


@pytest.fixture
def buildcast(capsys: pytest.CaptureFixture[str]) -> Buildcast:
    """Runs a command in this process."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A copy of the scenario with two images one minute apart, to be spoiled."""
    return Path(shutil.copytree(SCENARIOS / "dedup-pair", tmp_path / "pair"))


@pytest.fixture
def scenarios() -> Path:
    return SCENARIOS
