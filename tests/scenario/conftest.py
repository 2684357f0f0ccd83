from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim import scenario

PLAIN = """\
schema: 1
name: small
targets:
  app: {dockerfile: Dockerfile, context: .}
  db: {dockerfile: Dockerfile, context: .}
farm:
  runner: {cpus: 2, memory: 8GiB}
workload:
- build: [app]
  arrivals: {times: [0s, 60s]}
"""

Write = Callable[..., Path]
Load = Callable[..., scenario.Scenario]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a scenario with a Dockerfile beside it; `swap` replaces parts of the plain one."""

    def write_scenario(text: str = PLAIN, **swap: str) -> Path:
        (tmp_path / "Dockerfile").write_text("FROM scratch\n")
        for part, by in swap.items():
            start = text.index(f"{part}:")
            end = next((at for at in range(text.index("\n", start) + 1, len(text)) if _top(text, at)), len(text))
            text = text[:start] + (f"{part}: {by}\n" if by else "") + text[end:]
        file = tmp_path / "scenario.yaml"
        file.write_text(text)
        return file

    return write_scenario


def _top(text: str, at: int) -> bool:
    return text[at - 1] == "\n" and text[at] not in " -#\n"


@pytest.fixture
def load(write: Write) -> Load:
    def load_scenario(*sets: str, text: str = PLAIN, **swap: str) -> scenario.Scenario:
        return scenario.load(write(text, **swap), sets)

    return load_scenario
