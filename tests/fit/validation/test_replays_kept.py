"""A kept replay counts as long as it is one of the scenario as it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim.fit.validation.invent import Traits
from sim.fit.validation.replays import Replays, write
from sim.runs import prepare, simulate_case
from sim.scenario import load


@pytest.fixture
def case(tmp_path: Path):
    return write(tmp_path / "tiny", "tiny", Traits(images=1, stages=2, depth=1, builds=2), 1)


def test_a_kept_replay_is_used_until_the_farm_or_the_file_changes(case, tmp_path, monkeypatch):
    calls = []

    def once(_: Replays, asked):
        calls.append(asked.label)
        return simulate_case(asked)

    monkeypatch.setattr(Replays, "once", once)
    replays = Replays(1, 1, lambda _: None, keep=tmp_path / "kept")
    (first,) = replays.all([case])
    (again,) = replays.all([case])
    assert len(calls) == 1
    assert first.burns_s() == again.burns_s() != ()
    replays.all([replace(case, farm=replace(case.farm, max_parallelism=1))])
    assert len(calls) == 2
    replays.all([replace(case, scenario=case.scenario.model_copy(update={"text_sha256": "another"}))])
    assert len(calls) == 3


def test_a_kept_replay_of_another_dockerfile_is_replayed_again(case, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Replays, "once", lambda _, asked: calls.append(asked.label) or simulate_case(asked))
    replays = Replays(1, 1, lambda _: None, keep=tmp_path / "kept")
    replays.all([case])
    folder = case.scenario.path.parent
    dockerfile = next(folder.glob("Dockerfile*"))
    dockerfile.write_text(dockerfile.read_text().replace("RUN ", "RUN echo other && ", 1))
    (folder / "graph.lock.json").unlink()
    replays.all([prepare(load(folder), say=lambda _: None)])
    assert len(calls) == 2
