"""Mistakes in the user's files are told with file and line by BuildKit's own frontend; big contexts are kept small."""

from __future__ import annotations

import pytest

from sim.errors import InputError
from sim.graph import TargetSpec
from sim.graph.freeze import compact


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM alpine\nRUM echo", "Dockerfile:2: dockerfile parse error on line 2: unknown instruction: RUM"),
        ("FROM alpine\nRUN x\nCOPY src /src", 'Dockerfile:3: "/src": not found in the build context'),
        (
            "FROM alpine\nRUN --mount=type=bind,source=a/b,target=/b x",
            'Dockerfile:2: "/a/b": not found in the build context',
        ),
        ("FROM alpine\nRUN --mount=type=cachee,target=/b x", "Dockerfile:2: "),
        ("FROM alpine\nCOPY --from=later /x /\nFROM alpine AS later", ""),
        ("FROM scratch", "Dockerfile: target 'app' builds nothing"),
    ],
)
def test_mistake_in_a_dockerfile(make, dockerfile, said):
    if not said:  # BuildKit takes an unknown stage for an image
        assert make({"Dockerfile": dockerfile}).graph("app").steps
        return
    with pytest.raises(InputError) as caught:
        make({"Dockerfile": dockerfile})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_stage(make):
    with pytest.raises(InputError, match=r"Dockerfile: target stage .nope. could not be found"):
        make({"Dockerfile": "FROM alpine AS a"}, targets={"app": TargetSpec(target="nope")})


def test_wildcard_that_matches_nothing_is_no_mistake(make):
    assert make({"Dockerfile": "FROM alpine\nCOPY *.nothing /x/"}).graph("app").steps


def test_ignored_file_is_not_found(make):
    with pytest.raises(InputError, match="not found in the build context"):
        make({"Dockerfile": "FROM alpine\nCOPY secret /", "secret": "", ".dockerignore": "secret"})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (TargetSpec(dockerfile="other/Dockerfile"), "there is no 'other/Dockerfile'"),
        (TargetSpec(context="nowhere", dockerfile="Dockerfile"), "its context 'nowhere' is no folder"),
        (TargetSpec(context="https://github.com/a/b.git"), "remote context"),
    ],
)
def test_missing_folder_or_dockerfile(make, target, said):
    with pytest.raises(InputError, match=said):
        make({"Dockerfile": "FROM alpine\nRUN x"}, targets={"app": target})


def test_unknown_name_gets_the_nearest(make):
    with pytest.raises(InputError, match="did you mean 'app'"):
        make({"Dockerfile": "FROM alpine\nRUN x"}, targets={"app": TargetSpec()}, asked=("ap",))


def test_a_big_context_is_kept_as_folders():
    files = {f"src/{a}/{b}.c": 10 for a in range(10) for b in range(100)} | {"README": 1}
    kept = compact(files, limit=50)
    assert kept == {"README": 1, **{f"src/{a}/": 1000 for a in sorted(range(10), key=str)}}
    assert compact({f"{a}.c": 1 for a in range(9)}, limit=3) == {"./": 9}
    assert compact(files, limit=5000) == files
