"""The lock file: same graphs without Go, and one clear line when it is stale or broken."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sim import tools
from sim.errors import EnvironmentMissing, InputError
from sim.graph import Graphs, TargetSpec, load_graphs

FILES = {"Dockerfile": "FROM alpine\nARG N\nCOPY . /src\nRUN make $N", "f": "123"}


@pytest.fixture
def made(make) -> Graphs:
    return make(FILES)


@pytest.fixture
def no_go(monkeypatch):
    """Whoever asks the real tools fails."""

    def refuse(tool: str, say: object) -> None:
        raise EnvironmentMissing("no Go here")

    monkeypatch.setattr(tools, "ensure", refuse)


def quiet(_: str) -> None:
    """Nobody listens."""


def test_fresh_lock_needs_no_go_and_holds_all(made, no_go):
    again = load_graphs(made._spec, say=pytest.fail)
    assert again.graph("app") == made.graph("app")
    assert again.graph("app").contexts["local://context"].files == {"Dockerfile": 41, "f": 3}


def test_missing_lock_is_made_and_said(made):
    made._spec.lock_path.unlink()
    said: list[str] = []
    load_graphs(made._spec, say=said.append)
    assert "is missing: making it" in said[0]
    assert made._spec.lock_path.exists()


def test_lock_is_named_after_the_scenario_file(made):
    assert made._spec.lock_path.name == "graph.lock.json"
    assert replace(made._spec, file="night.yaml").lock_path.name == "night.lock.json"


def test_stale_lock_names_the_files_and_the_command(made, no_go):
    (made._spec.folder / "Dockerfile").write_text("FROM debian\nRUN make")
    (made._spec.folder / ".dockerignore").write_text("f")
    with pytest.raises(InputError) as caught:
        load_graphs(made._spec, say=quiet)
    assert "the lock file is stale: .dockerignore, Dockerfile have changed since; run: buildcast graph" in str(
        caught.value
    )


def test_changed_content_of_the_context_is_not_stale(made, no_go):
    (made._spec.folder / "f").write_text("changed")
    load_graphs(made._spec, say=pytest.fail)


def test_target_changed_in_the_scenario_is_stale(made, no_go):
    with pytest.raises(InputError, match=r"target 'app' in scenario.yaml has changed since"):
        load_graphs(replace(made._spec, targets={"app": TargetSpec(args={"N": "2"})}), say=quiet)
    with pytest.raises(InputError, match=r"scenario.yaml has b.hcl now"):
        load_graphs(replace(made._spec, bake="b.hcl"), say=quiet)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "the lock file is broken"),
        (lambda text: "", "the lock file is broken"),
        (lambda text: "[]", "has no schema version"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "has schema 7, this buildcast reads 1"),
        (lambda text: text.replace('"inputs":[0', '"inputs":[99', 1), "the lock file is broken"),
        (lambda text: json.dumps({**json.loads(text), "graphs": 3}), "the lock file is broken"),
        (lambda text: json.dumps({**json.loads(text), "steps": []}), "the lock file is broken"),
        (lambda text: "[" * 100_000, "the lock file"),
    ],
)
def test_broken_lock_is_one_line(made, no_go, spoil, said):
    path = made._spec.lock_path
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError) as caught:
        load_graphs(made._spec, say=quiet)
    assert said in str(caught.value)
    assert "--lock" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_new_arguments_are_added_and_old_ones_kept(made):
    said: list[str] = []
    one = load_graphs(replace(made._spec, args_variants=((("N", "1"),),)), say=said.append)
    assert "lacks the arguments N=1: adding it" in said[0]
    two = load_graphs(replace(made._spec, args_variants=((("N", "2"),),)), say=quiet)
    assert one.graph("app", (("N", "1"),)) == two.graph("app", (("N", "1"),))
    assert two.graph("app", (("N", "2"),)).steps[-1].name == "[3/3] RUN make 2"


def test_new_platforms_are_added(made):
    graphs = load_graphs(replace(made._spec, platforms=("linux/amd64", "linux/arm64")), say=quiet)
    assert graphs.platforms("app") == ("linux/amd64", "linux/arm64")


def test_steps_stand_once_in_the_file(make):
    targets = {name: TargetSpec(target=name) for name in ("a", "b")}
    files = {"Dockerfile": "FROM alpine AS base\nRUN make base\nFROM base AS a\nRUN a\nFROM base AS b\nRUN b"}
    graphs = make(files, targets=targets)
    text = graphs._spec.lock_path.read_text()
    assert text.count("RUN make base") == 1
    assert {len(graphs.graph(name).steps) for name in targets} == {3}


def test_unwritable_folder_goes_on_in_memory_unless_the_lock_was_asked_for(made, monkeypatch):
    made._spec.lock_path.unlink()
    monkeypatch.setattr("sim.graph.lock.write", lambda *_: (_ for _ in ()).throw(EnvironmentMissing("read-only")))
    said: list[str] = []
    assert load_graphs(made._spec, say=said.append).graph("app").steps
    assert "going on without a lock file" in said[-1]
    with pytest.raises(EnvironmentMissing):
        load_graphs(made._spec, refresh=True, say=quiet)
