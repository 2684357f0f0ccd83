"""Which files a COPY takes: BuildKit's patterns, folders, new files, contexts below the scenario's folder."""

import pytest

from sim.graph import Context
from sim.workload.selection import changed_files, selected, touches

APP = Context("app", {"a.json": 1, "src/x.txt": 10, "src/deep/y.txt": 100, "source.txt": 1000, "docs/z.md": 5})
TOP = Context(".", {"app/a.json": 1, "lib/b.json": 2})


@pytest.mark.parametrize(
    ("context", "paths", "changed", "answer"),
    [
        (APP, ("/src",), "app/src/x.txt", True),
        (APP, ("/src",), "app/src/", True),
        (APP, ("/src/",), "app/src/deep/", True),
        (APP, ("/src",), "app/source.txt", False),
        (APP, ("/src",), "app/docs/", False),
        (APP, ("/src",), "app/src/new.txt", True),  # not listed: a new file
        (APP, ("/*.json",), "app/a.json", True),
        (APP, ("/*.json",), "app/new.json", True),
        (APP, ("/*.json",), "app/src/new.json", False),  # * does not cross a /
        (APP, ("/src/*/y.txt",), "app/src/deep/y.txt", True),
        (APP, ("/[a-c].json",), "app/a.json", True),
        (APP, ("/[^a-c].json",), "app/a.json", False),
        (APP, ("/",), "app/docs/z.md", True),
        (APP, (), "app/docs/z.md", True),
        (APP, ("/docs", "/src"), "app/src/x.txt", True),
        (APP, ("/",), "lib/b.json", False),
        (APP, ("/",), "application/a.json", False),
        (APP, ("/",), "app/ignored/", False),  # a folder of which .dockerignore leaves nothing
        (APP, ("/src",), "app/", True),  # the whole context
        (APP, ("/other",), "app/", False),
        (TOP, ("/app",), "app/", True),
        (TOP, ("/lib",), "app/", False),
        (TOP, ("/app",), "./", True),
        (TOP, ("/app/a.json",), "./app/a.json", True),
        (APP, ("/etc/passwd",), "app/src/", False),
    ],
)
def test_touches(context, paths, changed, answer):
    assert touches(context, paths, changed) is answer


def test_a_context_listed_by_folders_errs_on_the_side_of_change():
    large = Context(".", {"src/": 100, "package.json": 1, "lib/": 50})
    assert touches(large, ("/src",), "src/deep/")
    assert touches(large, ("/src/deep/a.txt",), "src/")
    assert not touches(large, ("/lib",), "src/deep/")
    assert selected(large, ("/src",)) == (1, 100)


@pytest.mark.parametrize(
    ("paths", "counted"),
    [
        (("/",), (5, 1116)),
        ((), (5, 1116)),
        (("/src",), (2, 110)),
        (("/src", "/src/x.txt"), (2, 110)),
        (("/no",), (0, 0)),
    ],
)
def test_selected_counts_each_file_once(paths, counted):
    assert selected(APP, paths) == counted


def test_a_file_that_dockerignore_hides_reaches_nothing_even_when_it_is_new():
    context = Context(".", {"main.txt": 1}, ("*.log", "!keep.log", "build"))
    reached = [path for path in ("debug.log", "keep.log", "build/x", "new.txt") if touches(context, ("/",), path)]
    assert reached == ["keep.log", "new.txt"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ("app/src/x.txt", ["src/x.txt"]),
        ("app/src/", ["src/x.txt", "src/deep/y.txt"]),
        ("app", ["a.json", "src/x.txt", "src/deep/y.txt", "source.txt", "docs/z.md"]),
        ("./", ["a.json", "src/x.txt", "src/deep/y.txt", "source.txt", "docs/z.md"]),
        ("app/src/new.txt", []),
        ("lib/b.json", []),
    ],
)
def test_the_files_that_a_change_writes(changed, found):
    assert list(changed_files(APP, changed)) == found


def test_of_a_context_listed_by_folders_a_change_writes_the_folder_around_it():
    listed = Context("app", {"src/deep/": 100, "src/deeper/": 10, "src/x.txt": 1})
    assert list(changed_files(listed, "app/src/deep/y/z.txt")) == ["src/deep/"]
    assert list(changed_files(listed, "app/src/deep/y/")) == ["src/deep/"]
    assert list(changed_files(listed, "app/src/new.txt")) == []
    assert list(changed_files(Context(".", {"./": 7}), "any/file")) == ["./"]
