"""The daemon's status stream as its history keeps it: protobuf messages, each behind its length.

In: bytes of media type `application/vnd.buildkit.status.v0` (llbsolver/history/buildhistory.go, ImportStatus, of v0.34.2).
Out: events as `sim.inputs.status` takes them. The fields are those of `StatusResponse` in
api/services/control/control.proto; unknown ones are passed over, as protobuf wants.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from sim.inputs.status import NS_PER_S, Event

# Field number -> name; `*` repeats, `#` is a number, `@` a google.protobuf.Timestamp.
_VERTEX = {1: "digest", 2: "inputs*", 3: "name", 4: "cached#", 5: "started@", 6: "completed@", 7: "error"}
_STATUS = {1: "id", 2: "vertex", 3: "name", 4: "current#", 5: "total#", 6: "timestamp@", 7: "started@", 8: "completed@"}
_LOG = {1: "vertex", 2: "timestamp@"}
_RESPONSE = {1: ("vertexes", _VERTEX), 2: ("statuses", _STATUS), 3: ("logs", _LOG)}


def read_stream(stream: bytes) -> Iterator[Event]:
    """The events of a whole stream. ValueError: it is broken; what stands before is given first."""
    at = 0
    while at < len(stream):
        if at + 4 > len(stream):
            raise ValueError("the status stream ends within a length")
        (length,) = struct.unpack_from("<I", stream, at)
        at += 4
        if at + length > len(stream):
            raise ValueError("the status stream ends within a message")
        yield _response(stream[at : at + length])
        at += length


def _response(message: bytes) -> Event:
    found: dict[str, list[object]] = {}
    for number, value in _fields(message):
        if number in _RESPONSE and isinstance(value, bytes):
            name, shape = _RESPONSE[number]
            found.setdefault(name, []).append(_object(value, shape))
    return found


def _object(message: bytes, shape: Mapping[int, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for number, value in _fields(message):
        name = shape.get(number, "")
        if name.endswith("#") and isinstance(value, int):
            found[name[:-1]] = value
        elif name.endswith("@") and isinstance(value, bytes):
            found[name[:-1]] = _timestamp(value)
        elif name.endswith("*") and isinstance(value, bytes):
            values = found.setdefault(name[:-1], [])
            assert isinstance(values, list)
            values.append(value.decode(errors="replace"))
        elif name and isinstance(value, bytes):
            found[name] = value.decode(errors="replace")
    return found


def _timestamp(message: bytes) -> int:
    parts = dict(_fields(message))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise ValueError("a time of the status stream is broken")
    return seconds * NS_PER_S + nanos


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field (protobuf.dev, Encoding): varints as int, everything with a length as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError("the status stream holds an unknown wire type")
        length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + length > len(message):
            raise ValueError("the status stream ends within a field")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("the status stream ends within a number")
