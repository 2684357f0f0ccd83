"""Showing a graph: tree, longest path, width, dot and JSON."""

from __future__ import annotations

import json

import pytest

from sim.graph import Context, Graph, Input, Step
from sim.graph.show import critical_path, to_dot, to_json, tree, width


def a_step(name: str, *inputs: int, kind: str = "exec", copies: tuple[int, ...] = ()) -> Step:
    given = tuple(Input(at) for at in inputs) + tuple(Input(at, by_content=True, paths=("/x",)) for at in copies)
    return Step(name, name, name, kind, "linux/amd64", given)  # type: ignore[arg-type]


@pytest.fixture
def fan() -> Graph:
    steps = (
        a_step("FROM", kind="source"),
        a_step("front", 0),
        a_step("back", 0),
        a_step("copy front", 0, kind="copy", copies=(1,)),
        a_step("copy back", 3, kind="copy", copies=(2,)),
    )
    return Graph("app", ("linux/amd64",), steps, (4,), contexts={"local://context": Context(".", {"a": 3, "b": 4})})


def test_tree_names_each_step_once_and_marks_shared_ones(fan):
    assert tree(fan, shared={"back"}).splitlines() == [
        "app for linux/amd64",
        "* FROM",
        "│   FROM (above)",
        "│   front",
        "  copy front",
        "│   FROM (above)",
        "│ + back",
        "  copy back",
    ]


def test_critical_path(fan):
    cost_s = {"FROM": 1.0, "front": 5.0, "back": 2.0, "copy front": 0.5, "copy back": 0.5}
    assert critical_path(fan, lambda step: cost_s[step.name]) == (7.0, (0, 1, 3, 4))
    assert critical_path(Graph("t", (), (), ()), lambda step: 1.0) == (0.0, ())


def test_width(fan):
    assert width(fan) == 2
    assert width(Graph("t", (), (), ())) == 0


def test_dot_escapes_and_dashes():
    graph = Graph("a", ("linux/amd64",), (a_step('say "hi"\n'), a_step("b", copies=(0,))), (1,))
    text = to_dot(graph)
    assert r'label="say \"hi\"\n"' in text
    assert 's0 -> s1 [style=dashed, label="/x"]' in text


def test_json_is_plain(fan):
    shown = json.loads(json.dumps(to_json(fan)))
    assert shown["contexts"]["local://context"] == {"folder": ".", "files": 2, "bytes": 7}
    assert shown["steps"][3]["inputs"][1] == {"step": 1, "by_content": True, "paths": ["/x"]}
