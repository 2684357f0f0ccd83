"""Recipes built by real BuildKit: they do what the scenario's own steps would, and cost what they should."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sim import tools
from sim.graph import TargetSpec
from sim.real.daemon import Daemon
from sim.real.recipe import Checkout, Control, Key, Recipe
from sim.workload.request import Content

FORK_JOIN = """FROM alpine AS left
COPY left/ /l/
RUN make left
FROM alpine AS right
COPY right/ /r/
RUN make right
FROM alpine
COPY --from=left /out/l /l
COPY --from=right /out/r /r
RUN make all
"""
FILES = {"Dockerfile": FORK_JOIN, "left/a": "1", "right/b": "2"}
Outcome = tuple[str, str]


def built(daemon: Daemon, recipe: Recipe, key: Key, checkout: Checkout) -> set[Outcome]:
    """Build once: what became of each of the scenario's own steps, by its true name."""
    command = [str(tools.ensure("buildctl", print)), *daemon.flags, "build", "--progress=rawjson"]
    command += recipe.builds[key].buildctl(checkout.root)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return outcomes(done.stderr, recipe, key)


def outcomes(progress: str, recipe: Recipe, key: Key) -> set[Outcome]:
    found: dict[str, str] = {}
    for line in progress.splitlines():
        for vertex in (json.loads(line).get("vertexes") or []) if line.startswith("{") else []:
            true = recipe.original(key, vertex["name"])
            if true is not None and vertex.get("completed"):
                name = true[1].partition("] ")[2] or true[1]
                found[name] = "failed" if vertex.get("error") else "cached" if vertex.get("cached") else "executed"
    return {(name, outcome) for name, outcome in found.items() if name.startswith(("RUN", "COPY"))}


@pytest.fixture
def daemon(a_daemon: Callable[..., Daemon]) -> Daemon:
    return a_daemon("a")


def executed(found: set[Outcome]) -> set[str]:
    return {name for name, outcome in found if outcome == "executed"}


def test_fork_join_runs_once_hits_and_is_cut_off_early(daemon, make, tmp_path):
    """`left` changes its input and its output, `right` only its input: what copies from `right` hits."""
    with Control() as control:
        recipe, graphs = make(
            FILES,
            {"step": "*make right*", "same_output": True},
            {"step": "*make*", "write": "1MB"},
            control=control.address,
        )
        ((key, graph),) = graphs.items()
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        first, left, right = Content(), Content((("left/", 1),)), Content((("left/", 1), ("right/b", 2)))

        checkout.apply(first)
        everything = {step.name.partition("] ")[2] for step in graph.steps if step.kind in ("exec", "copy")}
        assert executed(built(daemon, recipe, key, checkout)) == everything
        assert {run.key for run in control.runs} == set(recipe.keys(key, first).values())

        assert executed(built(daemon, recipe, key, checkout)) == set()
        assert len(control.runs) == 3

        checkout.apply(left)
        assert executed(built(daemon, recipe, key, checkout)) == {
            "COPY left/ /l/",
            "RUN make left",
            "COPY --from=left /out/l /l",
            "COPY --from=right /out/r /r",
            "RUN make all",
        }
        assert {run.key for run in control.runs[3:]} <= set(recipe.keys(key, left).values())

        checkout.apply(right)
        found = built(daemon, recipe, key, checkout)
        assert executed(found) == {"COPY right/ /r/", "RUN make right"}
        assert ("RUN make all", "cached") in found
        assert control.runs[-1].key in recipe.keys(key, right).values()

        checkout.apply(first)
        assert executed(built(daemon, recipe, key, checkout)) == set()


def test_control_makes_one_commit_fail(daemon, make, tmp_path):
    """By its key the step of the failing commit is told from the same step of another."""
    failing: set[str] = set()
    with Control(lambda op, key: (1.0, int(key in failing))) as control:
        recipe, graphs = make(FILES, control=control.address)
        ((key, graph),) = graphs.items()
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        good, bad = Content(), Content((("left/a", 1),))
        index = next(at for at, step in enumerate(graph.steps) if "make all" in step.name)
        failing.add(recipe.keys(key, bad)[index])
        checkout.apply(bad)
        assert ("RUN make all", "failed") in built(daemon, recipe, key, checkout)
        checkout.apply(good)
        assert ("RUN make all", "executed") in built(daemon, recipe, key, checkout)


def test_second_platform_has_steps_of_its_own_and_shares_what_has_none(daemon, make, tmp_path):
    text = "FROM alpine\nCOPY a /a\nRUN make\nFROM scratch\nCOPY --from=0 /out /\nCOPY a /b"
    platforms = ("linux/amd64", "linux/386")
    with Control() as control:
        recipe, graphs = make(
            {"Dockerfile": text, "a": "1"}, targets={"app": TargetSpec(platforms=platforms)}, control=control.address
        )
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        checkout.apply(Content())
        keys = {graph.platforms: key for key, graph in graphs.items()}
        assert ("RUN make", "executed") in built(daemon, recipe, keys["linux/amd64",], checkout)
        assert ("RUN make", "executed") in built(daemon, recipe, keys["linux/386",], checkout)
        assert {run.key for run in control.runs} == {
            found for platform in platforms for found in recipe.keys(keys[platform,], Content()).values()
        }
        assert executed(built(daemon, recipe, keys[platforms], checkout)) == set()
        assert len(control.runs) == 2


def test_costs_are_felt(daemon, make, tmp_path):
    """Latency, download, CPU time, bytes in the layer: each is there."""
    cost = {"step": "*make*", "latency": "3s", "cpu": "2s", "download": "200MB", "write": "500MB", "memory": "500MB"}
    with Control() as control:
        recipe, graphs = make({"Dockerfile": "FROM alpine\nRUN make"}, cost, scale=0.1, control=control.address)
        (key,) = graphs
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        checkout.apply(Content())
        before = daemon.usage()
        assert executed(built(daemon, recipe, key, checkout)) == {"RUN make"}
        after = daemon.usage()
    assert after.cpu_s - before.cpu_s > 0.2
    assert after.charged_peak_bytes > 100e6  # what is held, and the page cache of what is written meanwhile
    assert any(50e6 < record.size_bytes < 51e6 for record in daemon.disk())


def test_bake_links_targets(daemon, make, tmp_path):
    """buildx runs in the checkout; the base executes once, as a part of both."""
    files = {
        "bake.hcl": 'group "default" { targets = ["app", "db"] }\n'
        'target "base" { dockerfile = "Dockerfile.base" }\n'
        'target "app" {\n dockerfile = "Dockerfile.app"\n contexts = { base = "target:base" }\n}\n'
        'target "db" {\n dockerfile = "Dockerfile.db"\n contexts = { base = "target:base" }\n}\n',
        "Dockerfile.base": "FROM alpine\nCOPY lib /lib/\nRUN make base",
        "Dockerfile.app": "FROM base\nRUN make app",
        "Dockerfile.db": "FROM alpine\nCOPY --from=base /lib/x /x\nRUN make db",
        "lib/x": "1",
    }
    with Control() as control:
        groups = {"default": ("app", "db")}
        recipe, graphs = make(files, bake="bake.hcl", groups=groups, control=control.address)
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        checkout.apply(Content())
        settings = {**os.environ, "BUILDX_CONFIG": str(tmp_path / "x"), "BUILDX_BAKE_ENTITLEMENTS_FS": "0"}
        buildx = str(tools.ensure("buildx", print))
        command = [buildx, "create", "--name", "b", "--driver", "remote", daemon.address]
        subprocess.run(command, env=settings, check=True, capture_output=True, timeout=30)
        command = [buildx, "--builder", "b", "bake", "-f", str(recipe.bakes[(), False]), "--progress=rawjson"]
        command += ["--set=*.output=type=cacheonly", "--provenance=false", "default"]
        done = subprocess.run(
            command, env=settings, cwd=checkout.root, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    expected = {found for key in graphs for found in recipe.keys(key, Content()).values()}
    assert sorted(run.key for run in control.runs) == sorted(expected)
    assert len(expected) == 3
    named = outcomes(done.stderr, recipe, next(key for key in graphs if key[0] == "app"))
    assert {"RUN make base", "RUN make app"} <= executed(named)


def test_base_of_another_project_comes_as_an_oci_layout(daemon, make, tmp_path):
    files = {
        "bake.hcl": 'target "base" { dockerfile = "Dockerfile.base" }\n'
        'target "app" {\n dockerfile = "Dockerfile.app"\n contexts = { base = "target:base" }\n}\n',
        "Dockerfile.base": "FROM alpine\nRUN make base",
        "Dockerfile.app": "FROM base\nRUN make app",
    }
    with Control() as control:
        recipe, graphs = make(files, bake="bake.hcl", control=control.address)
        keys = {key[0]: key for key in graphs}
        checkout = Checkout(recipe.contexts, tmp_path / "checkout")
        checkout.apply(Content())
        layout = tmp_path / "base"
        start = [str(tools.ensure("buildctl", print)), *daemon.flags, "build", "--progress=rawjson"]
        export = ["--output", f"type=oci,tar=false,dest={layout}"]
        command = [*start, *recipe.builds[keys["base"]].buildctl(checkout.root), *export]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        words = recipe.builds[keys["app"]].buildctl(checkout.root, {"base": (layout, digest)})
        done = subprocess.run([*start, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert executed(outcomes(done.stderr, recipe, keys["app"])) >= {"RUN make app"}
    assert {run.key for run in control.runs} == set(recipe.keys(keys["app"], Content()).values())


def test_checkout_of_a_subfolder_sends_only_that(daemon, make, tmp_path):
    files = {"web/Dockerfile": "FROM scratch\nCOPY . /", "web/a": "x" * 1000, "other/b": "y"}
    recipe, graphs = make(files, targets={"app": TargetSpec(context="web")})
    (key,) = graphs
    checkout = Checkout(recipe.contexts, tmp_path / "checkout")
    checkout.apply(Content())
    assert executed(built(daemon, recipe, key, checkout)) == {"COPY . /"}
    assert {path.name for path in Path(checkout.root, "files", "web").iterdir()} == {"Dockerfile", "a"}
