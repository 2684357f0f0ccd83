"""Reading BuildKit's own graphs: what a step is, which inputs go by content, and what two platforms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.graph import Graph, Graphs, GraphSpec, Step, TargetSpec, cut, load_graphs
from sim.graph.read import read

FIXTURES = Path(__file__).parent / "fixtures"
BOTH = ("linux/amd64", "linux/arm64")


def step(graph: Graph, text: str) -> Step:
    found = [one for one in graph.steps if text in one.name]
    assert len(found) == 1, (text, [one.name for one in found])
    return found[0]


@pytest.fixture
def odd(make, folder) -> Graphs:
    files = {"Dockerfile": (FIXTURES / "Dockerfile.odd").read_text(), "package.json": "{}", "src/main.js": "1"}
    return make(files, targets={"app": TargetSpec(platforms=BOTH)})


def test_unused_stage_is_absent(odd):
    assert not [one for one in odd.graph("app").steps if "nobody-needs-this" in one.name]


def test_build_platform_stage_is_one_step_for_both_platforms(odd):
    graph = odd.graph("app")
    step(graph, "npm ci")
    assert step(graph, "ONBUILD RUN echo from the trigger").platform == "linux/amd64"
    bundles = [one.name for one in graph.steps if "RUN" in one.name and "<<BUILD" in one.name]
    assert [name.partition(" ")[0] for name in bundles] == ["[linux/amd64", "[linux/amd64->arm64"]
    assert len(graph.results) == 2


def test_native_graphs_have_no_platform_in_names_and_build_on_their_own(odd):
    graph = odd.graph("app", (), ("linux/arm64",))
    assert graph.platforms == ("linux/arm64",)
    assert step(graph, "npm ci").name.startswith("[modules 2/2] RUN")
    assert {one.platform for one in graph.steps} == {"linux/arm64"}


def test_copies_have_equal_operations_across_platforms_and_runs_have_not(odd):
    amd, arm = (odd.graph("app", (), (platform,)) for platform in BOTH)
    assert step(amd, "] COPY --from=helpers").op == step(arm, "] COPY --from=helpers").op
    assert step(amd, "npm ci").op != step(arm, "npm ci").op
    assert step(amd, "FROM docker.io/library/node:20").op != step(arm, "FROM docker.io/library/node:20").op


def test_what_goes_by_content(odd):
    graph = odd.graph("app", (), ("linux/amd64",))
    named = {one.name.partition("]")[2].strip().split(" --")[0]: one for one in graph.steps}
    paths = {at: [given.paths for given in named[at].inputs] for at in ("COPY . .", "WORKDIR /work")}
    assert paths == {"COPY . .": [(), ("/",)], "WORKDIR /work": [()]}
    assert [one.paths for one in step(graph, "npm ci").inputs] == [(), ("/package.json",)]
    linked = step(graph, "] COPY --from=bundle --link")
    assert [one.paths for one in linked.inputs] == [("/work/dist",)]
    assert step(graph, "LINK COPY").kind == "merge"
    # --chown looks names up in the base, which is also written onto: no look-up by content there.
    assert [one.paths for one in step(graph, "<<one.conf").inputs] == [(), ("/one.conf",), ("/two.conf",)]


def test_cache_mounts_have_buildkits_ids(odd):
    graph = odd.graph("app", (), ("linux/amd64",))
    assert [(one.id, one.sharing) for one in step(graph, "npm ci").mounts] == [("npm", "locked")]
    assert [(one.id, one.sharing) for one in step(graph, "<<BUILD").mounts] == [("/work/.cache", "shared")]


def test_steps_know_their_line_and_source(odd):
    graph = odd.graph("app", (), ("linux/amd64",))
    assert (step(graph, "npm ci").file, step(graph, "npm ci").line) == ("Dockerfile", 11)
    assert step(graph, "FROM docker.io/library/node:20").source == "docker-image://docker.io/library/node:20"
    assert graph.contexts["local://context"].files == {"Dockerfile": 963, "package.json": 2, "src/main.js": 1}


def test_copy_source_is_in_the_operation_by_its_last_part_only(make):
    graph = make(
        {"Dockerfile": "FROM scratch\nCOPY a/f /x/\nCOPY b/f /x/\nCOPY b/g /x/", "a/f": "", "b/f": "", "b/g": ""}
    ).graph("app")
    first, second, third = (one for one in graph.steps if one.kind == "copy")
    assert first.op != second.op  # the first is onto scratch
    assert second.op != third.op
    named = make({"Dockerfile": "FROM alpine\nCOPY a/f /x/\nCOPY b/f /x/"}).graph("app")
    first, second = (one for one in named.steps if one.kind == "copy")
    assert first.op == second.op
    assert first.digest != second.digest


def test_cache_mount_id_changes_the_graph_but_not_the_operation(make):
    """BuildKit leaves ids that are not the default out of the key (ops/exec.go)."""
    text = "FROM alpine\nRUN --mount=type=cache,target=/c,id={} make"
    one, two = (make({"Dockerfile": text.format(name)}).graph("app").steps[-1] for name in "ab")
    assert one.op == two.op
    assert one.digest != two.digest


def test_last_mount_of_an_input_decides_whether_it_goes_by_content(make):
    graph = make({"Dockerfile": "FROM alpine AS a\nRUN one\nFROM a\nRUN --mount=from=a,target=/m two"}).graph("app")
    (given,) = graph.steps[-1].inputs
    assert given.by_content
    assert given.paths == ("/",)


def test_writable_mount_of_a_folder_does_not_go_by_content():
    """A RUN could change what lies beside it: getMountDeps, the case of `sneaky.txt`."""
    mounts = [{"dest": "/"}, {"input": "1", "selector": "/d", "dest": "/m", "output": "1"}]
    source = {"source": {"identifier": "docker-image://x"}}
    ops = {"a": source, "b": {"source": {"identifier": "docker-image://y"}}}
    run = {"inputs": [{"digest": "a"}, {"digest": "b"}], "exec": {"meta": {"args": ["x"]}, "mounts": mounts}}
    converted = {"def": {**ops, "r": run, "end": {"inputs": [{"digest": "r"}]}}, "metadata": {}}
    graph = read(converted, target="t", platform="linux/amd64")
    assert [one.kind for one in graph.steps] == ["source", "source", "exec"]
    assert not any(one.by_content for one in graph.steps[-1].inputs)


def test_graph_of_a_daemon_without_its_folders_reads_too():
    """`buildctl --opt requestid=frontend.convertllb` says nothing of folders; session attributes never matter."""

    def converted(session: str) -> dict[str, object]:
        context = {
            "source": {"identifier": "local://context", "attrs": {"local.session": session, "local.unique": session}}
        }
        copy = {"copy": {"src": "/src", "dest": "/"}, "input": "-1"}
        op = {"inputs": [{"digest": session}], "file": {"actions": [copy]}}
        return {"def": {session: context, "f" + session: op}, "metadata": {}}

    one, two = (read(converted(name), target="t", platform="linux/amd64") for name in ("s1", "s2"))
    assert one.steps == two.steps
    assert [(one.kind, one.source) for one in one.steps] == [("context", "local://context"), ("copy", "")]


def test_linked_target_stands_in_the_graph_and_can_be_cut_off(make):
    files = {
        "bake.hcl": 'target "base" { dockerfile = "base/Dockerfile" }\n'
        'target "app" {\n dockerfile = "app/Dockerfile"\n contexts = { base = "target:base" }\n}\n',
        "base/Dockerfile": "FROM alpine\nRUN make base",
        "app/Dockerfile": "FROM alpine AS tool\nRUN make tool\nFROM base\nCOPY --from=tool /t /t\nRUN make app",
    }
    graphs = make(files, bake="bake.hcl")
    graph = graphs.graph("app")
    (link,) = graph.links
    assert (link.target, graph.steps[link.step].name) == ("base", "[2/2] RUN make base")
    assert graph.steps[link.step].digest == graphs.graph("base").steps[-1].digest
    apart = cut(graph, link, "base")
    assert not [one for one in apart.steps if "make base" in one.name]
    (imported,) = [one for one in apart.steps if one.source == "target:base"]
    assert (imported.kind, imported.name, imported.inputs) == ("source", "[context base] import base", ())
    assert [one.name for one in apart.steps if one.kind == "exec"] == [
        "[tool 2/2] RUN make tool",
        "[stage-1 2/3] RUN make app",
    ]
    assert apart.steps[apart.results[0]].digest == graph.steps[graph.results[0]].digest


def test_contexts_of_two_linked_folders_are_two_sources(make):
    files = {
        "bake.hcl": 'target "base" { context = "base" }\n'
        'target "app" {\n context = "app"\n contexts = { base = "target:base" }\n}\n',
        "base/Dockerfile": "FROM alpine\nCOPY f /",
        "base/f": "12345",
        "app/Dockerfile": "FROM base\nCOPY f /",
        "app/f": "1",
    }
    graph = make(files, bake="bake.hcl").graph("app")
    sizes = {source: context.files["f"] for source, context in graph.contexts.items()}
    assert sizes == {"local://context": 1, "local://base/context": 5}


def test_dockerignore_beside_the_dockerfile_wins(make):
    files = {
        "Dockerfile": "FROM alpine\nCOPY . /",
        ".dockerignore": "keep",
        "Dockerfile.dockerignore": "**/drop\n!sub/drop\n",
        "keep": "",
        "drop": "",
        "sub/drop": "",
    }
    (context,) = make(files).graph("app").contexts.values()
    assert set(context.files) == {"Dockerfile", ".dockerignore", "Dockerfile.dockerignore", "keep", "sub/drop"}


def test_the_same_folder_gives_the_same_digests(make):
    files = {"Dockerfile": "FROM alpine\nCOPY . /\nRUN make"}
    assert make(files).graph("app").steps == make(files).graph("app").steps
    again = load_graphs(GraphSpec(Path(make(files)._spec.folder), targets={"app": TargetSpec()}), say=pytest.fail)
    assert again.graph("app").steps == make(files).graph("app").steps
