"""Logs of builds in whatever format they come: the format is found by looking.

In: paths (`-` is stdin), plain or compressed with gzip. Out: `Recorded` builds. Text is read line by line: memory does not
grow with a log's output.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

from sim.errors import InputError
from sim.inputs.formats.bundle import read_bundle
from sim.inputs.formats.history import read_histories
from sim.inputs.formats.lines import clean
from sim.inputs.formats.plain import read_plain
from sim.inputs.formats.rawjson import read_rawjson
from sim.inputs.recorded import Recorded

STDIN = "-"
_HINT = (
    "give a log of --progress=rawjson or plain, a .dockerbuild bundle, or what `buildctl debug histories --format "
    "'{{json .}}'` lists"
)
_GZIP, _TAR_AT, _TAR = b"\x1f\x8b", 257, b"ustar"
_HEAD_BYTES = 512
_LOOK = 2000  # lines: a CI log says other things first
_LONGEST = 1 << 28  # bytes of one line; a build's whole history can be one
_PLAIN = re.compile(r"#\d{1,6} \S")

Format = Literal["rawjson", "histories", "plain"]


def read_log(path: str) -> list[Recorded]:
    """The builds of one file. InputError: unreadable, of no known format, or broken."""
    where = "stdin" if path == STDIN else path
    try:
        if path == STDIN:
            return _read(cast(BinaryIO, sys.stdin.buffer), where, None)
        with open(path, "rb") as file:
            return _read(file, where, Path(path).parent)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read: {reason}", where=where, hint=_HINT) from error


def _read(raw: BinaryIO, where: str, folder: Path | None) -> list[Recorded]:
    file = _peekable(raw)
    for _ in range(2):  # a bundle is compressed by itself
        if file.peek(2)[:2] == _GZIP:
            file = _peekable(cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")))
    if _starts(file)[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return read_bundle(cast(BinaryIO, file), where)
    lines = _lines(file, where)
    head = list(islice(lines, _LOOK))
    format = next((named for line in head if (named := _format(line))), None)
    whole = chain(head, lines)
    if format is None:
        raise InputError("no build progress in it", where=where, hint=_HINT)
    if format == "histories":
        return read_histories(whole, where, folder)
    found = read_plain(whole, where) if format == "plain" else read_rawjson(whole, where)
    if not found:
        raise InputError("no build in it: no step ever began", where=where, hint=_HINT)
    return found


def _peekable(raw: BinaryIO) -> io.BufferedReader:
    return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw), 1 << 16)


def _starts(file: io.BufferedReader) -> bytes:
    """The first bytes, without taking them; a pipe may give fewer at once."""
    return file.peek(_HEAD_BYTES)[:_HEAD_BYTES]


def _lines(file: Iterable[bytes], where: str) -> Iterator[str]:
    reader = cast(io.BufferedReader, file)
    while line := reader.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise InputError("a line of more than 256 MiB", where=where, hint=_HINT)
        yield line.decode(errors="replace")


def _format(line: str) -> Format | None:
    text, _ = clean(line)
    if _PLAIN.match(text):
        return "plain"
    if not text.startswith("{"):
        return None
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        # A log may be one broken line; its reader says where.
        return "rawjson" if re.match(r'\{"(vertexes|statuses|logs|warnings)"', text) else None
    if not isinstance(event, Mapping):
        return None
    if "record" in event:
        return "histories"
    return "rawjson" if any(name in event for name in ("vertexes", "statuses", "logs", "warnings")) else None
