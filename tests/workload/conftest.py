"""A small world: an app on two platforms and a test image, as hand-made graphs behind the real `Graphs`."""

from pathlib import Path

import pytest

from sim.graph import Context, Graph, Graphs, GraphSpec, Input, Step
from sim.graph.freeze import Frozen, Target
from sim.scenario.fields.scenario import Scenario

AMD, ARM = "linux/amd64", "linux/arm64"
FILES = {"package.json": 200, "package-lock.json": 9000, "src/main.ts": 1000, "src/lib/a.ts": 500, "README.md": 100}


def a_graph(target: str, platform: str) -> Graph:
    """FROM node; COPY package*.json; RUN npm ci; COPY src; RUN npm run build; beside it RUN apk add from the base."""

    def step(name: str, kind: str, *inputs: Input, source: str = "") -> Step:
        own = "" if kind == "context" else f"@{platform}"
        return Step(f"{target}:{name}{own}", name, f"[{target}] {name}", kind, platform, inputs, source=source)

    steps = (
        step("FROM node", "source", source="docker-image://docker.io/library/node:20-alpine"),
        step("load build context", "context", source="local://context"),
        step("RUN apk add git", "exec", Input(0)),
        step("COPY package*.json ./", "copy", Input(0), Input(1, True, ("/package*.json",))),
        step("RUN npm ci", "exec", Input(3)),
        step("COPY src src", "copy", Input(4), Input(1, True, ("/src",))),
        step("RUN npm run build", "exec", Input(5)),
        step("COPY --from=tools /git /git", "copy", Input(6), Input(2, True, ("/git",))),
    )
    return Graph(target, (platform,), steps, (7,), contexts={"local://context": Context("app", FILES)})


def make_graphs() -> Graphs:
    platforms = {"app": (AMD, ARM), "test": (AMD,)}
    targets = {name: Target("Dockerfile", "app", platforms=found) for name, found in platforms.items()}
    drawn = {
        (name, args, (platform,)): a_graph(name, platform)
        for name, found in platforms.items()
        for platform in found
        for args in ((), (("V", "1"),))
    }
    frozen = Frozen(targets, {"default": ("app", "test")}, drawn, {}, ((), (("V", "1"),)), (AMD,))
    return Graphs(GraphSpec(Path(".")), frozen)


def make_scenario(*entries: dict[str, object], folder: Path | None = None, **top: object) -> Scenario:
    """`make_scenario(entry, entry, horizon="1h")`: entries as in YAML; the rest has defaults."""
    written = {"targets": {"app": {}, "test": {}}, "farm": {"runner": {"cpus": 4}}, "workload": list(entries)}
    scenario = Scenario.model_validate(written | top)
    if folder is not None:
        scenario._path = folder / "scenario.yaml"
    return scenario


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    return make_graphs()


@pytest.fixture(scope="session")
def a_scenario():
    return make_scenario
