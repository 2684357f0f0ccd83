"""YAML text as a tree whose every value knows its line and column.

In: a scenario's text and `--set a.b=c` flags. Out: `Node`s, with YAML 1.2 scalars (`on` is text, `1e3` a number, `017`
is 17), `<<` merges applied, duplicate keys refused. Size, depth and the expansion of aliases are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from sim.errors import InputError, InputErrors

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

MAX_FILE_BYTES = 5_000_000  # issue 4: a 50 MB YAML is one clear line; 5 MB are 100 times the largest real scenario
MAX_VALUES = 500_000  # after aliases: bounds an alias bomb, and holds 100 000 arrival times
MAX_TEXT = 240  # a message stays one readable line, whatever was pasted into the file
MAX_DEPTH = 40  # the deepest field of design section 3 stands at depth 6

# The core schema of YAML 1.2.2, section 10.3.2.
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = {".nan", ".NaN", ".NAN"}
_TAG = "tag:yaml.org,2002:"
_TAGS = {"!", "str", "int", "float", "bool", "null", "map", "seq"}
_MAX_DIGITS = 400  # more than any float has; Python refuses to read very long integers

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `value` is a scalar, a list of nodes or a mapping; `text` a scalar as written.

    `source` is the file, or `--set a.b=c`; then line and column are 0. `key_at`: the place of each key of a mapping.
    """

    value: Scalar | list[Node] | dict[str, Node]
    source: str
    line: int = 0
    column: int = 0
    text: str = ""
    key_at: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    size: int = 1

    @property
    def where(self) -> str:
        """`scenario.yaml:14:5`, or `--set farm.size=large`."""
        return place(self.source, self.line, self.column)

    def where_key(self, key: str) -> str:
        """The place of a key of this mapping."""
        return place(*self.key_at[key]) if key in self.key_at else self.where

    def get(self, *path: str | int) -> Node | None:
        """The node below, or None where the tree has another shape."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            if isinstance(node.value, dict):
                node = node.value.get(str(part))
            elif isinstance(node.value, list) and isinstance(part, int) and 0 <= part < len(node.value):
                node = node.value[part]
            else:
                return None
        return node

    def given(self, *path: str | int) -> Node | None:
        """As `get`, but None for an empty value too: `profile:` is as if it were not there."""
        node = self.get(*path)
        return None if node is None or node.value is None else node

    def items(self) -> list[tuple[str, Node]]:
        """The entries of a mapping; of anything else none."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def entries(self) -> list[Node]:
        """The entries of a list; a lone value counts as a list of one, null as none."""
        if isinstance(self.value, list):
            return self.value
        return [] if self.value is None else [self]

    def plain(self, as_text: frozenset[str] = frozenset(), literal: bool = False) -> Plain:
        """Python values. Scalars below a key of `as_text` stay as written (`1.10` is no number in `args`)."""
        if isinstance(self.value, dict):
            return {key: node.plain(as_text, literal or key in as_text) for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain(as_text, literal) for node in self.value]
        return self.text if literal and self.value is not None else self.value


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut to a readable length."""
    flat = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return flat if len(flat) <= MAX_TEXT else flat[: MAX_TEXT - 3] + "..."


def place(source: str, line: int, column: int) -> str:
    """How a place is shown."""
    return f"{source}:{line}:{column}" if line else source


def read(path: Path, shown: str) -> tuple[Node, bytes]:
    """The tree of a YAML file and its bytes; `shown` names the file in messages. InputErrors with line and column."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"the file has {size / 1e6:.0f} MB; a scenario may have {MAX_FILE_BYTES / 1e6:.0f} MB",
                where=shown,
                hint="put long lists of arrivals into a csv",
            )
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=shown, hint="give a scenario file") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError("the file is not UTF-8 text", where=f"{shown}:{line}", hint="save it as UTF-8") from error
    return compose(text, shown), raw


def compose(text: str, source: str, *, marked: bool = True) -> Node:
    """The tree of a YAML text. `marked=False`: lines mean nothing to the reader (a flag's value)."""
    try:
        composer = _Composer(_events(text), source, marked)
        tree = composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = place(source, mark.line + 1, mark.column + 1) if mark and marked else source
        if "nesting depth" in str(error.problem):  # PyYAML >= 6.0.4 looks ahead and stops at a depth of its own
            raise _too_deep(where) from error
        hint = "indent with spaces, not tabs; close quotes and brackets"
        raise InputError(f"not valid YAML: {error.problem or error.context}", where=where, hint=hint) from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"not valid YAML: {reason}", where=source, hint="save it as plain UTF-8 text") from error
    if composer.problems:
        raise InputErrors(composer.problems)
    return tree


def apply_set(tree: Node, flag: str) -> Node:
    """The tree with one `a.b.0.c=value` written over it; the value is YAML. The given tree stays as it is."""
    source = one_line(f"--set {flag}")
    path, equals, text = flag.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise InputError("not of the form a.b=c", where=source, hint="write --set farm.size=large")
    return _written(tree, parts, compose(text, source, marked=False), source, "")


def _written(node: Node | None, parts: Sequence[str], value: Node, source: str, above: str) -> Node:
    """A copy of `node` along the path, so that aliases of it elsewhere keep their value."""
    if not parts:
        return value
    key, path = parts[0], f"{above}{parts[0]}"
    if node is not None and isinstance(node.value, list):
        if not key.isdecimal() or int(key) >= len(node.value):
            count = len(node.value)
            raise InputError(
                f"{path}: {above.rstrip('.')} is a list of {count}",
                where=source,
                hint=f"use a number from 0 to {count - 1}" if count else "the list is empty",
            )
        entries = list(node.value)
        entries[int(key)] = _written(entries[int(key)], parts[1:], value, source, path + ".")
        return replace(node, value=entries)
    if node is None or node.value in (None, "off", False):  # a section that is absent or switched off is created
        node = Node({}, source)
    if not isinstance(node.value, dict):
        raise InputError(
            f"{path}: {above.rstrip('.')} is the single value '{node.text}'",
            where=source,
            hint=f"set {above.rstrip('.')} as a whole",
        )
    entry = _written(node.value.get(key), parts[1:], value, source, path + ".")
    key_at = node.key_at if key in node.value else {**node.key_at, key: (source, 0, 0)}
    return replace(node, value={**node.value, key: entry}, key_at=key_at)


def _too_deep(where: str) -> InputError:
    return InputError(f"nested deeper than {MAX_DEPTH} levels", where=where, hint="a scenario needs 6")


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Composer:
    """Events to nodes. Problems that leave the rest readable (duplicate keys, odd tags) are collected."""

    def __init__(self, events: Iterator[yaml.Event], source: str, marked: bool) -> None:
        self.events, self.source, self.marked = events, source, marked
        self.anchors: dict[str, Node] = {}
        self.problems: list[InputError] = []

    def document(self) -> Node:
        next(self.events)  # stream start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return Node(None, self.source, 1 if self.marked else 0, 1)
        tree = self.node(next(self.events), 1)
        next(self.events)  # document end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise InputError("more than one YAML document", where=self.at(event), hint="keep one; remove the `---`")
        return tree

    def node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _too_deep(self.at(event))
        if isinstance(event, yaml.AliasEvent):
            node = self.anchors.get(event.anchor or "")
            if node is None:
                raise InputError(
                    f"alias *{event.anchor} has no complete anchor before it",
                    where=self.at(event),
                    hint="define it first",
                )
            return node
        assert isinstance(event, yaml.NodeEvent)
        tag = getattr(event, "tag", None) or "!"
        if tag.removeprefix(_TAG) not in _TAGS:
            self.problem(event, f"unknown tag {tag}", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if node.size > MAX_VALUES:
            raise InputError(
                f"more than {MAX_VALUES} values after expanding aliases",
                where=self.at(event),
                hint="use a csv for long lists",
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def scalar(self, event: yaml.ScalarEvent) -> Node:
        plain = event.implicit[0]
        value: Scalar = event.value
        tag = (event.tag or "").removeprefix(_TAG)
        if tag in {"int", "float", "bool", "null"} or (plain and not tag):
            value = _core_scalar(event.value)
        return self.made(event, value, text=event.value)

    def sequence(self, event: yaml.Event, depth: int) -> Node:
        entries: list[Node] = []
        size = 1
        while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
            entries.append(self.node(inner, depth + 1))
            size += entries[-1].size
        return self.made(event, entries, size=size)

    def mapping(self, event: yaml.Event, depth: int) -> Node:
        values: dict[str, Node] = {}
        key_at: dict[str, tuple[str, int, int]] = {}
        merged: list[Node] = []
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self.node(inner, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if isinstance(key.value, list | dict):
                self.problem(inner, "a key must be a word", "write key: value")
            elif key.text == "<<" and not key.key_at and _is_plain(inner):
                merged += self.to_merge(inner, value)
            elif key.text in values:
                first = place(*key_at[key.text])
                self.problem(inner, f"duplicate key '{key.text}', first written at {first}", "remove one of the two")
            else:
                values[key.text] = value
                key_at[key.text] = (self.source, *self.mark(inner))
        for base in merged:
            for name, node in base.items():
                if name not in values:
                    values[name], key_at[name] = node, base.key_at[name]
        return self.made(event, values, key_at=key_at, size=1 + sum(node.size for node in values.values()))

    def to_merge(self, event: yaml.Event, value: Node) -> list[Node]:
        """What `<<:` names: one mapping or a list of them, the first winning (yaml.org/type/merge)."""
        bases = value.entries()
        if not all(isinstance(base.value, dict) for base in bases):
            self.problem(event, "`<<` merges mappings only", "write <<: *anchor")
            return []
        return bases

    def made(
        self,
        event: yaml.Event,
        value: Scalar | list[Node] | dict[str, Node],
        *,
        text: str = "",
        key_at: dict[str, tuple[str, int, int]] | None = None,
        size: int = 1,
    ) -> Node:
        line, column = self.mark(event)
        return Node(value, self.source, line, column, text, key_at or {}, size)

    def mark(self, event: yaml.Event) -> tuple[int, int]:
        mark = event.start_mark
        return (mark.line + 1, mark.column + 1) if mark is not None and self.marked else (0, 0)

    def at(self, event: yaml.Event) -> str:
        return place(self.source, *self.mark(event))

    def problem(self, event: yaml.Event, what: str, hint: str) -> None:
        self.problems.append(InputError(one_line(what), where=self.at(event), hint=hint))


def _is_plain(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0]


def _core_scalar(text: str) -> Scalar:
    """A plain scalar by YAML 1.2's core schema; what matches nothing is text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OCT.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if found := _INF.fullmatch(text):
        return float(f"{found[1]}inf")
    return float("nan") if text in _NAN else text
