"""What stands in a recipe's files: costs as specs, bytes where others take them, and no secret."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from sim.graph import TargetSpec
from sim.real.recipe import Recipe


def specs(recipe: Recipe) -> list[dict[str, list[str]]]:
    """The specs of all Dockerfiles, in order."""
    found = []
    for path in sorted((recipe.folder / "dockerfiles").iterdir()):
        for text in re.findall(r'"--spec", "([^"]*)"', path.read_text()):
            parts: dict[str, list[str]] = {}
            for part in text.split(","):
                parts.setdefault(part.partition("=")[0], []).append(part.partition("=")[2])
            found.append(parts)
    return found


def everything(folder: Path) -> bytes:
    return b"".join(
        str(path.relative_to(folder)).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )


def test_times_and_bytes_are_scaled_and_threads_are_not(make):
    cost = {"step": "*make*", "latency": "10s", "cpu": "20s", "threads": 4, "serial": "10%", "write": "1000MB"}
    recipe, _ = make({"Dockerfile": "FROM alpine\nRUN make"}, {**cost, "download": "100MB"}, scale=0.01)
    (spec,) = specs(recipe)
    assert (spec["latency"], spec["cpu"], spec["serial"]) == (["0.100000s"], ["0.200000s"], ["0.1"])
    assert spec["download"] == ["1000000"]
    assert spec["threads"] == ["1"]  # of one core: the default runner's
    assert sum(int(out.split(":")[1]) for out in spec["out"]) == 10_000_000


@pytest.mark.parametrize(
    ("threads", "cpus", "expected"), [("all", 2.0, "2"), ("all", 1.5, "2"), (4, 2.0, "2"), (1, 16.0, "1")]
)
def test_threads_are_whole_and_never_more_than_the_runner_has(make, threads, cpus, expected):
    cost = {"step": "*make*", "cpu": "1s", "threads": threads}
    recipe, _ = make({"Dockerfile": "FROM alpine\nRUN make"}, cost, cpus=lambda target, platform: cpus, scale=0.001)
    assert specs(recipe)[0]["threads"] == [expected]


def test_bytes_lie_where_a_copy_takes_them_and_the_rest_beside(make):
    text = "FROM alpine AS a\nRUN make\nFROM alpine\nCOPY --from=a /dist/app /app\nCOPY --from=a /etc/x /etc/y"
    recipe, _ = make(
        {"Dockerfile": text}, {"step": "*make*", "write": "100MB"}, {"step": "*/dist/app*", "write": "60MB"}
    )
    sizes = {out.split(":")[0].rpartition("/")[2]: int(out.split(":")[1]) for out in specs(recipe)[0]["out"]}
    assert sizes.pop("app") == 60_000_000
    assert sizes.pop("x") == 0
    assert list(sizes.values()) == [40_000_000]


def test_bytes_divide_between_layer_mount_and_nothing(make):
    """A filled mount saves 1 - warm of what is written; the layer is what the rule says; the rest was temporary."""
    cost = {"step": "*make*", "write": "100MB", "layer": "20MB", "warm": "30%"}
    recipe, _ = make({"Dockerfile": "FROM alpine\nRUN --mount=type=cache,target=/c make"}, cost)
    (spec,) = specs(recipe)
    assert (spec["cached"], spec["scratch"], spec["mount"]) == (["70000000"], ["10000000"], ["/c"])
    assert spec["out"][0].split(":")[1] == "20000000"


def test_equal_steps_are_equal_in_all_targets(make):
    """They stand on other lines of other files, and under other stage names."""
    files = {
        "one": "FROM alpine AS x\nRUN make lib\nFROM x\nRUN make one",
        "two": "# a comment\nFROM alpine AS y\nRUN make lib\nRUN make two",
    }
    targets = {name: TargetSpec(dockerfile=name) for name in files}
    recipe, _ = make(files, {"step": "*make*", "cpu": "1s", "same_output": True}, targets=targets)
    first, second = ((recipe.folder / "dockerfiles" / f"Dockerfile.{name}").read_text() for name in files)
    common = [line for line in first.splitlines() if line.startswith("RUN") and line in second.splitlines()]
    assert len(common) == 1


def test_no_argument_no_secret_and_no_command_gets_into_the_files(make):
    text = (
        "FROM alpine\nARG TOKEN\nARG V\nARG P=/srv\nRUN --mount=type=secret,id=key fetch $TOKEN -v $V v10\nCOPY a $P/"
    )
    target = {"app": TargetSpec(args={"P": "/s3cret-path"})}
    args = ((("TOKEN", "hunter2"), ("V", "1")),)
    recipe, graphs = make({"Dockerfile": text, "a": ""}, targets=target, args_variants=args)
    assert any("hunter2" in step.name for graph in graphs.values() for step in graph.steps)
    found = everything(recipe.folder)
    assert b"RUN" in found
    assert not [word for word in (b"hunter2", b"s3cret", b"-v 1", b"fetch") if word in found]


def test_layout_is_valid_and_images_differ(make):
    text = "FROM alpine AS a\nFROM debian\nCOPY --from=a /x /y\nRUN make"
    platforms = ("linux/amd64", "linux/386")
    recipe, _ = make({"Dockerfile": text}, targets={"app": TargetSpec(platforms=platforms)})
    layout = recipe.folder / "images"
    for blob in (layout / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    listed = json.loads((layout / "index.json").read_text())["manifests"]
    assert len({one["digest"] for one in listed}) == 4
    used = {digest for build in recipe.builds.values() for digest in build.images.values()}
    assert used == {one["digest"] for one in listed}


def test_pulled_images_weigh_what_their_cost_writes(make):
    recipe, _ = make({"Dockerfile": "FROM alpine\nRUN make"}, {"step": "*FROM*", "write": "8MB"}, pull=True)
    sizes = [path.stat().st_size for path in (recipe.folder / "images" / "blobs" / "sha256").iterdir()]
    assert sum(sizes) == pytest.approx(8e6, rel=0.01)
