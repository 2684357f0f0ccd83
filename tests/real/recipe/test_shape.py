"""The synthetic Dockerfile read back by the graph tool: the same steps, inputs, mounts and platforms as the true one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InputError
from sim.graph import Graph, GraphSpec, Step, TargetSpec, load_graphs
from sim.real.recipe import Checkout, Key, Recipe, write
from sim.runs import prepare
from sim.scenario import load
from sim.workload.request import Content

ROOT = Path(__file__).parents[3]
ARM = {"linux/arm64": "linux/386"}
SCENARIOS = sorted(path.parent for path in (ROOT / "scenarios").glob("*/scenario.yaml"))
CASES = [
    ROOT / "tests" / "semantics" / "cases" / name
    for name in ("bake-chain-of-three", "bake-two-platforms", "copy-link-from-stage", "cutoff-by-arg", "locked-mount")
]


def assert_same_shape(recipe: Recipe, graphs: dict[Key, Graph]) -> None:
    """Each graph against what BuildKit's frontend makes of the recipe's bake file."""
    Checkout(recipe.contexts, recipe.folder).apply(Content())
    for (args, is_joint), bake in recipe.bakes.items():
        spec = GraphSpec(recipe.folder, file=f"{bake.stem}.yaml", bake=bake.name)
        synthetic = load_graphs(spec, refresh=True, say=lambda _: None)
        for key, graph in graphs.items():
            if key[1] == args and (len(key[2]) > 1) == is_joint:
                assert_isomorphic(recipe, key, graph, synthetic.graph(key[0], (), recipe.builds[key].platforms))


def assert_isomorphic(recipe: Recipe, key: Key, true: Graph, synthetic: Graph) -> None:
    found = [recipe.original(key, step.name) for step in synthetic.steps]
    assert None not in found, [step.name for step, one in zip(synthetic.steps, found, strict=True) if one is None]
    index = [one[0] for one in found if one is not None]
    # Texts of here-documents have one name; an image that a linked target also has is its session's own there.
    is_alike = [step.kind == "source" or not step.inputs for step in true.steps]
    missing = set(range(len(true.steps))) - set(index)
    assert all(is_alike[at] and true.steps[at].kind == "copy" for at in missing)
    assert all(index.count(at) == 1 or is_alike[at] for at in index)
    for at, step in zip(index, synthetic.steps, strict=True):
        assert shape(step, index, is_alike) == shape(true.steps[at], range(len(true.steps)), is_alike), step.name
    assert [index[result] for result in synthetic.results] == list(true.results)
    links = {(link.target, index[link.step]) for link in synthetic.links}
    assert links == {(link.target, link.step) for link in true.links}
    folders = {f"files/{context.folder}".removesuffix("/.") for context in true.contexts.values()}
    assert {context.folder for context in synthetic.contexts.values()} == folders


def shape(step: Step, index: list[int] | range, is_alike: list[bool]) -> object:
    inputs = [
        ("alike" if is_alike[index[given.step]] else index[given.step], given.by_content, bool(given.paths))
        for given in step.inputs
    ]
    is_of_platform = step.kind == "exec" or any(not given.by_content for given in step.inputs)
    return step.kind, is_of_platform and ARM.get(step.platform, step.platform), inputs, step.mounts


@pytest.mark.parametrize("folder", [*SCENARIOS, *CASES], ids=lambda folder: folder.name)
def test_recipe_has_the_shape_of_the_scenario(folder, tmp_path, programs):
    scenario = load(folder / "scenario.yaml")
    case = prepare(scenario, say=lambda _: None)
    jobs = [job for entry in scenario.workload for job in entry.jobs]
    variants = tuple(dict.fromkeys([(), *(tuple(sorted(job.args.items())) for job in jobs)]))
    graphs = {
        (target, args, some): case.graphs.graph(target, args, some)
        for target in case.graphs.targets
        for args in variants
        for some in sets(case.graphs.platforms(target))
    }
    recipe = write(graphs, case.profile.costs, tmp_path, programs=programs, scale=0.001, native=ARM)
    assert_same_shape(recipe, graphs)


def sets(platforms: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(platform,) for platform in platforms] + ([platforms] if len(platforms) > 1 else [])


EXOTIC = """
FROM busybox AS a
RUN --mount=type=bind,source=src,target=/s <<EOF
#!/bin/sh
echo hi > /x/y
EOF
FROM scratch AS tiny
COPY --from=a /bin/busybox /bin/
COPY src/ /q/
RUN ["/bin/busybox", "true"]
FROM scratch AS plain
COPY package.json src/main.js /in/
RUN ["/in/x"]
FROM a
COPY --from=tiny / /t/
COPY --from=plain /in/y /u
COPY --from=golang:1 /usr/local/go /go
ADD https://example.com/x.tgz /y/
RUN --mount=from=tiny,target=/m --mount=type=bind,from=a,source=/x,target=/n,rw make "a $B" 'c'
RUN --mount=type=bind,target=/whole,rw make2
WORKDIR /x/y
COPY --link=false *.json "src/main.js" ./
"""


@pytest.mark.parametrize("platforms", [("linux/amd64",), ("linux/amd64", "linux/386")])
@pytest.mark.parametrize("name", ["odd", "exotic"])
def test_odd_dockerfiles_keep_their_shape(make, name, platforms):
    fixture = ROOT / "tests" / "graph" / "fixtures" / "Dockerfile.odd"
    text = fixture.read_text() if name == "odd" else EXOTIC
    files = {"Dockerfile": text, "package.json": "{}", "src/main.js": "1", ".dockerignore": "*\n!src\n!package.json\n"}
    assert_same_shape(*make(files, targets={"app": TargetSpec(platforms=platforms)}))


def test_foreign_platform_without_a_stand_in_is_refused(make):
    with pytest.raises(InputError, match="built for linux/s390x, which does not run here"):
        make({"Dockerfile": "FROM alpine\nRUN make"}, targets={"app": TargetSpec(platforms=("linux/s390x",))})


def test_one_platform_cannot_stand_for_two(make):
    both = TargetSpec(platforms=("linux/arm64", "linux/386"))
    with pytest.raises(InputError, match="cannot stand for two"):
        make({"Dockerfile": "FROM alpine\nRUN make"}, targets={"app": both}, native=ARM)
