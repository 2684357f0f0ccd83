"""Which files of a context a COPY, an ADD or a bind mount selects, and whether a changed path falls among them.

In: a context (its files, or folders of files, without what .dockerignore hides), an input's selectors, a changed path.
Out: yes or no; or the number and the bytes of the files. Patterns are Go's `filepath.Match`, as BuildKit's are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from sim.graph.types import Context

if TYPE_CHECKING:
    from docker.utils.build import PatternMatcher

EVERYTHING = ("/",)


def touches(context: Context, paths: tuple[str, ...], changed: str) -> bool:
    """Does a change of `changed` (relative to the scenario's folder; a folder ends in `/`) reach the selected `paths`?

    A file that the context does not list counts as a new one, unless .dockerignore hides it. A folder reaches what the
    context lists below it.
    """
    inside = _inside(context.folder, changed)
    if inside is None:
        return False
    selectors = [_selector(written) for written in paths or EVERYTHING]
    if inside and not changed.endswith("/"):
        return not _is_hidden(context, inside) and any(selector.takes(inside) for selector in selectors)
    below = f"{inside}/" if inside else ""
    for name in context.files:
        is_below = name.startswith(below)
        if (is_below or (name.endswith("/") and below.startswith(name))) and any(
            selector.may_take(name if is_below else below) for selector in selectors
        ):
            return True
    return False


def changed_files(context: Context, changed: str) -> Iterator[str]:
    """The listed files that a change of `changed` writes: the file, or all below a folder.

    Where the list has only the folder around it, that folder counts: nobody knows a smaller part. A new file is in no list.
    """
    inside = _inside(context.folder, changed)
    if inside is None:
        return
    below = f"{inside}/" if inside else ""
    is_folder = changed.endswith("/") or not inside
    for name in context.files:
        holds_it = name.endswith("/") and (name == "./" or below.startswith(name))
        if name == inside or holds_it or (is_folder and name.startswith(below)):
            yield name


def selected_files(context: Context, paths: tuple[str, ...]) -> Iterator[str]:
    """The listed files that the selectors take (no selector: all), each once, in the context's order."""
    selectors = [_selector(written) for written in paths or EVERYTHING]
    return (name for name in context.files if any(selector.takes(name) for selector in selectors))


def selected(context: Context, paths: tuple[str, ...]) -> tuple[int, int]:
    """How many listed files the selectors take, and their bytes."""
    names = list(selected_files(context, paths))
    return len(names), sum(context.files[name] for name in names)


def _is_hidden(context: Context, name: str) -> bool:
    if not context.exclude or name in context.files:
        return False
    return bool(_patterns(context.exclude).matches(name))


@lru_cache(maxsize=64)
def _patterns(exclude: tuple[str, ...]) -> PatternMatcher:
    from docker.utils.build import PatternMatcher

    return PatternMatcher(list(exclude))


def _inside(folder: str, changed: str) -> str | None:
    """`changed` seen from the context's folder: "" for all of it, None when it lies elsewhere."""
    root, path = _normal(folder), _normal(changed)
    if not root:
        return path
    if path.startswith(f"{root}/"):
        return path[len(root) + 1 :]
    holds_the_context = changed.endswith("/") and (not path or root.startswith(f"{path}/"))
    return "" if path == root or holds_the_context else None


def _normal(path: str) -> str:
    clean = posixpath.normpath(path.strip("/") or ".")
    return "" if clean == "." else clean


class _Selector:
    """Takes a file when its parts match the file's first parts: a selected folder takes all below it."""

    __slots__ = ("_parts", "_plain")

    def __init__(self, written: str) -> None:
        path = _normal(written)
        self._plain = path if not re.search(r"[*?\[\\]", path) else None
        self._parts = [re.compile(_component(part), re.DOTALL) for part in path.split("/") if part]

    def takes(self, name: str) -> bool:
        """The file, or all of the folder."""
        if self._plain is not None:
            return not self._plain or name == self._plain or name.startswith(f"{self._plain}/")
        parts = name.rstrip("/").split("/")
        return len(self._parts) <= len(parts) and self._agrees(parts)

    def may_take(self, name: str) -> bool:
        """The file, or for a folder (a large context is listed by folders) at least a part of it."""
        if not name.endswith("/"):
            return self.takes(name)
        return self._agrees([part for part in _normal(name).split("/") if part])

    def _agrees(self, parts: list[str]) -> bool:
        return all(mine.fullmatch(part) is not None for mine, part in zip(self._parts, parts, strict=False))


@lru_cache(maxsize=4096)
def _selector(written: str) -> _Selector:
    return _Selector(written)


_TOKEN = re.compile(
    r"\\(?P<escaped>.)|\[(?P<negated>\^?)(?P<set>(?:\\.|[^\]\\])+)\]|(?P<star>\*+)|(?P<one>\?)|(?P<plain>.)", re.DOTALL
)


def _component(pattern: str) -> str:
    """Go's `filepath.Match` of one part of a path, as a regular expression; `*` never meets a `/` here."""
    found = []
    for token in _TOKEN.finditer(pattern):
        if token["star"]:
            found.append(".*")
        elif token["one"]:
            found.append(".")
        elif token["set"]:
            members = re.sub(r"([\[&~|^])", r"\\\1", token["set"])
            found.append(f"[{token['negated']}{members}]")
        else:
            found.append(re.escape(token["escaped"] or token["plain"]))
    return "".join(found)
