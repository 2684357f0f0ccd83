"""Asking for graphs: names, groups, links, and which combinations there are."""

from __future__ import annotations

import pytest

from sim.errors import InputError
from sim.graph import Graphs

HCL = """
group "default" { targets = ["all", "tool"] }
group "all" { targets = ["app", "db"] }
target "base" {}
target "app" { contexts = { base = "target:base" } }
target "db" { contexts = { base = "target:base" } }
target "tool" { platforms = ["linux/arm64", "linux/amd64", "linux/s390x"] }
"""


@pytest.fixture
def graphs(make) -> Graphs:
    return make({"bake.hcl": HCL, "Dockerfile": "FROM alpine\nARG TARGETARCH\nRUN make $TARGETARCH"}, bake="bake.hcl")


def test_closure_expands_groups_and_adds_links(graphs):
    assert graphs.closure(["default"]) == ("app", "base", "db", "tool")
    assert graphs.closure(["db"]) == ("base", "db")
    assert graphs.links("app") == ("base",)
    assert graphs.bake


def test_unknown_name(graphs):
    with pytest.raises(InputError, match="no target or group is named 'ap'; did you mean 'app'"):
        graphs.closure(["ap"])
    with pytest.raises(InputError, match="there are: all, app"):
        graphs.asked("zzzzz")
    with pytest.raises(InputError, match="'all' is a group"):
        graphs.graph("all")


def test_same_question_same_object(graphs):
    assert graphs.graph("tool") is graphs.graph("tool")
    assert graphs.graph("tool", (), ("linux/amd64",)) is graphs.graph("tool", (), ("linux/amd64",))
    some = ("linux/arm64", "linux/s390x")
    assert graphs.graph("tool", (), some) is graphs.graph("tool", (), some)


def test_some_of_the_platforms(graphs):
    graph = graphs.graph("tool", (), ("linux/arm64", "linux/s390x"))
    assert [graph.steps[result].platform for result in graph.results] == ["linux/arm64", "linux/s390x"]
    assert {step.platform for step in graph.steps} == {"linux/arm64", "linux/s390x"}


def test_combination_that_is_not_there(graphs):
    with pytest.raises(InputError, match=r"no graph of 'app' for linux/amd64 N=1; .*--lock"):
        graphs.graph("app", (("N", "1"),))
    with pytest.raises(InputError, match="no graph of 'app' for linux/mips"):
        graphs.graph("app", (), ("linux/mips",))
