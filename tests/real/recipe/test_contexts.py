"""Made-up files: a function of path and version, brought from content to content."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.graph import Context, Graph, Input, Step
from sim.real.recipe import Checkout, Contexts
from sim.workload.request import Content

FILES = {"app/a.txt": 100, "app/src/b.txt": 5000, "app/src/c.txt": 0, "big/": 40000}


@pytest.fixture
def contexts() -> Contexts:
    source = Step("d", "o", "[internal] load build context", "context", "", source="local://context")
    copy = Step("e", "p", "COPY", "copy", "", (Input(0, True, ("/app/src/", "/big/one", "/app/*.md")),))
    context = Context(".", FILES, ("*.log",))
    return Contexts.of([Graph("t", ("",), (source, copy), (1,), contexts={"local://context": context})], scale=0.5)


def state(root: Path) -> dict[str, tuple[bytes, int]]:
    files = root / "files"
    return {
        str(path.relative_to(files)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files.rglob("*")
        if path.is_file()
    }


def changed(before: dict[str, tuple[bytes, int]], after: dict[str, tuple[bytes, int]]) -> set[str]:
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name, (b"",))[0] != after.get(name, (b"",))[0]}


def test_sizes_are_scaled_and_what_is_taken_exists(contexts, tmp_path):
    Checkout(contexts, tmp_path).apply(Content())
    sizes = {name: len(content) for name, (content, _) in state(tmp_path).items()}
    # 16 bytes tell a file from others; a folder that is not listed is one file; what a COPY names is there.
    assert sizes == {
        "app/a.txt": 50,
        "app/src/b.txt": 2500,
        "app/src/c.txt": 16,
        "big/.rest": 20000,
        "big/one": 16,
        ".dockerignore": len("*.log\n.dockerignore\n"),
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app/a.txt", {"app/a.txt"}),
        ("app/src/", {"app/src/b.txt", "app/src/c.txt"}),
        ("big/other", {"big/.rest"}),
        ("app/new.txt", {"app/new.txt"}),
        ("nowhere/", set()),
    ],
)
def test_a_change_reaches_what_it_names(contexts, tmp_path, path, expected):
    checkout = Checkout(contexts, tmp_path)
    checkout.apply(Content())
    before = state(tmp_path)
    checkout.apply(Content(((path, 7),)))
    after = state(tmp_path)
    assert changed(before, after) == expected
    # Files that did not change keep their times: a client that kept them sends nothing.
    assert {name for name in before if before[name][1] != after.get(name, (b"", 0))[1]} == expected - {"app/new.txt"}
    checkout.apply(Content())
    assert not changed(before, state(tmp_path))


def test_equal_versions_are_equal_bytes_in_any_checkout(contexts, tmp_path):
    one, two = Content((("app/", 3),)), Content((("app/", 3), ("app/a.txt", 4)))
    first, second = Checkout(contexts, tmp_path / "1"), Checkout(contexts, tmp_path / "2")
    first.apply(one)
    second.apply(two)
    assert changed(state(first.root), state(second.root)) == {"app/a.txt"}
    second.apply(one)
    assert not changed(state(first.root), state(second.root))


def test_heads_are_the_first_bytes(contexts, tmp_path):
    content = Content((("app/a.txt", 1), ("app/new.txt", 2)))
    Checkout(contexts, tmp_path).apply(content)
    written = {name: found[:16] for name, (found, _) in state(tmp_path).items() if name != ".dockerignore"}
    assert contexts.heads(content) == written


def test_touch_changes_times_only_and_once(contexts, tmp_path):
    checkout = Checkout(contexts, tmp_path)
    checkout.apply(Content())
    before = state(tmp_path)
    assert checkout.apply(Content(), (("app/src/b.txt", -1),)) == 1
    after = state(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"app/src/b.txt"}
    assert not changed(before, after)
    assert checkout.apply(Content(), (("app/src/b.txt", -1),)) == 0


def test_fresh_checkout_has_new_times_throughout(contexts, tmp_path):
    checkout = Checkout(contexts, tmp_path)
    checkout.apply(Content())
    before = state(tmp_path)
    checkout.apply(Content(), is_fresh=True)
    after = state(tmp_path)
    assert {name for name in before if before[name][1] == after[name][1]} == {".dockerignore"}
    assert not changed(before, after)
