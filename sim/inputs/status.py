"""What BuildKit says of one build while it runs (SolveStatus), merged into its steps.

In: events as decoded JSON (client/graph.go of v0.34.2), from a client's rawjson, a daemon's history or a bundle. Out: one
`Seen` a step. No files, no clock. The rules are measured: buildkit-semantics 1, 12 and 13.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from sim.inputs.names import CLIENT, is_alone, kind_of, text_of, under_any_target

NS_PER_S = 1_000_000_000
# A pull is reported in pieces (manifest, layers, each extraction) a few ms apart; pieces further apart are another errand.
_PIECES_NS = 100_000_000
# What merges into another execution after it had started is cancelled within a millisecond or two (corpus, mixed-bake-*).
_AT_ONCE_NS = 20_000_000
CANCELLED = re.compile(r"context cancell?ed|Cancell?ed")
_LAST_NS = 2**63  # the year 2262
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_MOVED = re.compile(r"transferring|copying|sha256:")

Event = Mapping[str, object]


@dataclass(slots=True)
class Span:
    """One start and end that a vertex reported; `completed_ns` is None while it runs."""

    started_ns: int
    completed_ns: int | None = None
    is_cached: bool = False
    error: str = ""


@dataclass(slots=True)
class Vertex:
    """A vertex: its spans in order of start. One that is new in the daemon is announced before it starts."""

    digest: str
    name: str
    inputs: tuple[str, ...]
    is_announced: bool
    spans: dict[int, Span] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of step, by its name."""
        return kind_of(self.name, bool(self.inputs))


@dataclass(frozen=True, slots=True)
class Seen:
    """A step as its build saw it. Times are ns since 1970; None is unknown.

    `ready_ns`: its inputs were done and it was asked for; a source is, when it is first heard of. `digest` is that of the
    execution, which `is_joined` marks as possibly another build's. `moved_bytes`: what was transferred for it.
    """

    name: str
    digest: str
    kind: str
    inputs: tuple[str, ...]
    ready_ns: int | None
    started_ns: int
    completed_ns: int | None
    is_cached: bool
    error: str
    is_joined: bool
    moved_bytes: float | None


class Transfers:
    """Bytes by vertex: contexts, pulled layers, copied files. Targets of one log share it: it knows no target."""

    def __init__(self) -> None:
        self._bytes: dict[str, dict[str, int]] = {}

    def feed(self, status: Mapping[str, object]) -> None:
        """One `statuses` entry."""
        named, current = str(status.get("id", "")), status.get("current", 0)
        if _MOVED.match(named) and isinstance(current, int):
            of_vertex = self._bytes.setdefault(str(status.get("vertex", "")), {})
            of_vertex[named] = max(current, of_vertex.get(named, 0))

    def of(self, digest: str) -> float | None:
        """What this vertex moved; None: it says nothing of bytes."""
        return float(sum(self._bytes[digest].values())) if digest in self._bytes else None


class Vertices:
    """All vertexes of one build, fed event by event.

    `shift_ns` is added to every time that is given out: clients move the times of a build (13.1), see `sharing.align`.
    """

    def __init__(self, transfers: Transfers | None = None) -> None:
        self.transfers = transfers or Transfers()
        self.by_digest: dict[str, Vertex] = {}
        self.shift_ns = 0
        self._end_ns = 0

    def feed(self, event: Event) -> None:
        """One SolveStatus. ValueError: it is none."""
        for vertex in entries(event, "vertexes"):
            self.vertex(vertex)
        for status in entries(event, "statuses"):
            self.transfers.feed(status)
            self.sign_of_life(status)
        for line in entries(event, "logs"):
            self.sign_of_life(line)

    def vertex(self, given: Mapping[str, object]) -> None:
        """One `vertexes` entry. ValueError: it is none."""
        digest = given.get("digest")
        if not isinstance(digest, str) or not digest:
            raise ValueError("a vertex has no digest")
        started_ns = as_ns(given.get("started"))
        known = self.by_digest.get(digest)
        if known is None:
            inputs = given.get("inputs") or ()
            if not isinstance(inputs, Sequence) or isinstance(inputs, str):
                raise ValueError("the inputs of a vertex are no list")
            # JSON can spell half a surrogate pair, which no file takes.
            name = str(given.get("name", "")).encode(errors="replace").decode()
            known = Vertex(digest, name, tuple(map(str, inputs)), started_ns is None)
            self.by_digest[digest] = known
        if started_ns is None:
            return
        span = known.spans.setdefault(started_ns, Span(started_ns))
        completed_ns = as_ns(given.get("completed"))
        if completed_ns is not None:
            span.completed_ns = max(completed_ns, started_ns)
        span.is_cached = bool(given.get("cached")) or span.is_cached
        span.error = str(given.get("error") or "") or span.error
        self._end_ns = max(self._end_ns, started_ns, completed_ns or 0)

    def sign_of_life(self, given: Mapping[str, object]) -> None:
        """An entry with a `timestamp`: the build was alive then."""
        at_ns = as_ns(given.get("timestamp"))
        if at_ns is not None and at_ns > self._end_ns:
            self._end_ns = at_ns

    def __bool__(self) -> bool:
        """Whether any step began: a client's own doings are none."""
        return any(vertex.spans and vertex.kind != CLIENT for vertex in self.by_digest.values())

    @property
    def has_graph(self) -> bool:
        """Whether the definition was loaded and its steps are known."""
        return any(vertex.inputs for vertex in self.by_digest.values())

    @property
    def started_ns(self) -> int | None:
        """The build's first own sign of life; None: it shows none."""
        own = [min(one.spans) for one in self.by_digest.values() if one.spans and not self._is_joined(one)]
        return min(own) + self.shift_ns if own else None

    @property
    def ended_ns(self) -> int | None:
        """The last sign of life; None: there is none."""
        return self._end_ns + self.shift_ns if self._end_ns else None

    def is_unfinished(self) -> bool:
        """Whether the log ends before the build does: a step runs, or nothing of its result was ever reached."""
        steps = self.steps()
        if any(step.error for step in steps):
            return False  # that ended it
        if any(step.completed_ns is None for step in steps):
            return True
        results = self._results()
        seen = {text_of(vertex.name) for vertex in self.by_digest.values() if vertex.spans}
        return bool(results) and not any(text_of(one.name) in seen for one in results)

    def cached_digests(self) -> int:
        """How many vertexes were cached, counted as the daemon does (`numCachedSteps` of its history)."""
        return sum(any(span.is_cached for span in one.spans.values()) for one in self.by_digest.values())

    def steps(self) -> list[Seen]:
        """One `Seen` for each step that began or hit, in order of first mention.

        A step that another build executes shows twice: its own vertex, announced and never run (or started and given up),
        and the other's with the whole history (semantics 1). The second counts.
        """
        joined: dict[str, list[Vertex]] = {}
        for vertex in self.by_digest.values():
            if vertex.spans and self._is_joined(vertex):
                joined.setdefault(vertex.name, []).append(vertex)
        merged: dict[str, Vertex] = {}  # digest of the execution -> the build's own vertex
        for vertex in self.by_digest.values():
            if vertex.is_announced and joined.get(vertex.name):
                merged[joined[vertex.name].pop(0).digest] = vertex
        executed_as = {own.digest: digest for digest, own in merged.items()} | self._given_up()
        done_ns = self._done(merged, executed_as)
        return [
            self._seen(vertex, merged.get(vertex.digest), executed_as, done_ns)
            for vertex in self.by_digest.values()
            if vertex.spans and vertex.digest not in executed_as
        ]

    def _given_up(self) -> dict[str, str]:
        """Digests of executions that were merged into one of the same step of a linked target as soon as they had started.

        A dependent loads the steps of its base under its own target's name; all who wait for them see both (semantics 1, 13.1).
        """
        gone_on: dict[str, list[tuple[int, str]]] = {}
        given_up: list[tuple[str, Vertex, Span]] = []
        for vertex in self.by_digest.values():
            if not vertex.spans or vertex.kind not in ("exec", "copy", "merge"):
                continue
            _, last = _interval(vertex)
            if last.completed_ns is None:
                continue
            name = under_any_target(vertex.name)
            if not last.error:
                gone_on.setdefault(name, []).append((last.completed_ns, vertex.digest))
            elif CANCELLED.search(last.error) and last.completed_ns - last.started_ns < _AT_ONCE_NS:
                given_up.append((name, vertex, last))
        found: dict[str, str] = {}
        for name, vertex, last in given_up:
            after = [(end_ns, digest) for end_ns, digest in gone_on.get(name, ()) if end_ns > last.started_ns]
            if after:
                found[vertex.digest] = min(after)[1]
        return found

    def _is_joined(self, vertex: Vertex) -> bool:
        """It was there before this build asked for it. A log without its head announces nothing: then nobody knows."""
        return not vertex.is_announced and not is_alone(vertex.name, vertex.kind) and self._announces()

    def _announces(self) -> bool:
        return any(vertex.is_announced for vertex in self.by_digest.values())

    def _results(self) -> list[Vertex]:
        """The graph's steps that no other step takes."""
        taken = {given for vertex in self.by_digest.values() for given in vertex.inputs}
        return [one for one in self.by_digest.values() if one.inputs and one.is_announced and one.digest not in taken]

    def _done(self, merged: Mapping[str, Vertex], executed_as: Mapping[str, str]) -> dict[str, int]:
        """When each executed vertex was at this build's hand: done, asked for, and so were its inputs."""
        found: dict[str, int] = {}
        for digest in _inputs_first(self.by_digest, executed_as):
            vertex = self.by_digest[digest]
            own = merged.get(digest)
            _, last = _interval(vertex) if vertex.spans else (0, None)
            if last is not None and last.completed_ns is not None:
                before = (found.get(executed_as.get(one, one), 0) for one in (own or vertex).inputs)
                found[digest] = max(last.completed_ns, _asked_ns(vertex, own), *before)
        return found

    def _seen(
        self, vertex: Vertex, own: Vertex | None, executed_as: Mapping[str, str], done_ns: Mapping[str, int]
    ) -> Seen:
        started_ns, last = _interval(vertex)
        kind, is_joined = vertex.kind, self._is_joined(vertex)
        inputs = [executed_as.get(one, one) for one in (own or vertex).inputs]
        known = [done_ns[one] for one in inputs if one in done_ns]
        ready_ns = max(known, default=None)
        if last.is_cached or (not inputs and kind not in ("exec", "copy", "merge")):
            ready_ns = _asked_ns(vertex, own)
        if ready_ns is not None and not is_joined and not last.is_cached:
            ready_ns = min(ready_ns, started_ns)
        return Seen(
            name=vertex.name,
            digest=vertex.digest,
            kind=kind,
            inputs=tuple(one.name for one in self._results()) if kind == "export" else self._names(own or vertex),
            ready_ns=None if ready_ns is None else ready_ns + self.shift_ns,
            started_ns=started_ns + self.shift_ns,
            completed_ns=None if last.completed_ns is None else last.completed_ns + self.shift_ns,
            is_cached=last.is_cached,
            error=last.error,
            is_joined=is_joined,
            moved_bytes=self.transfers.of(vertex.digest),
        )

    def _names(self, vertex: Vertex) -> tuple[str, ...]:
        """Names of the inputs; an execution of another build has inputs that this log need not know."""
        found = (self.by_digest.get(digest) for digest in vertex.inputs)
        return tuple(one.name for one in found if one is not None)


def entries(event: Event, of: str) -> Iterator[Mapping[str, object]]:
    """The entries of one list of an event. ValueError: it is no list of objects."""
    found = event.get(of) or ()
    if not isinstance(found, list | tuple):
        raise ValueError(f"'{of}' is no list")
    for one in found:
        if not isinstance(one, Mapping):
            raise ValueError(f"'{of}' holds something else than objects")
        yield one


def as_ns(value: object) -> int | None:
    """RFC 3339 (or ns already) as ns since 1970; None for nothing, as Go's time zero is. ValueError: no time."""
    if value is None:
        return None
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is not None:  # Go prints as many digits as needed
        at_ns = _second_ns(found[1], found[3]) + int((found[2] or "0").ljust(9, "0"))
    elif isinstance(value, int):
        at_ns = value
    else:
        raise ValueError(f"not a time: {str(value)[:40]!r}")
    if at_ns >= _LAST_NS:
        raise ValueError(f"not a time of our days: {str(value)[:40]!r}")
    return at_ns if at_ns > 0 else None


@lru_cache(maxsize=4096)
def _second_ns(second: str, zone: str) -> int:
    return int(datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone)).timestamp()) * NS_PER_S


def _asked_ns(vertex: Vertex, own: Vertex | None) -> int:
    """The first sign that the build wanted it; of what it only joined, the first sign there is.

    Its own vertex may be marked as cached when the execution that it waited for is done: that is the end of the wait.
    """
    begun = [start_ns for start_ns, span in own.spans.items() if not span.is_cached] if own is not None else []
    return min(begun or vertex.spans)


def _inputs_first(vertexes: Mapping[str, Vertex], executed_as: Mapping[str, str]) -> list[str]:
    """Digests in an order in which inputs stand before what takes them; a broken log may hold circles."""
    order: list[str] = []
    begun: set[str] = set()
    for first in vertexes:
        stack = [(first, False)]
        while stack:
            digest, is_left = stack.pop()
            if is_left:
                order.append(digest)
            elif digest not in begun and digest in vertexes:
                begun.add(digest)
                stack.append((digest, True))
                stack += [(executed_as.get(one, one), False) for one in vertexes[digest].inputs]
    return order


def _interval(vertex: Vertex) -> tuple[int, Span]:
    """When the execution began, and its last span.

    The last start and end count (12): the first pair of a source is its look-up, which holds no slot. An export adds its
    pairs up, as it pushes in the second (13.7); a pull goes on from piece to piece.
    """
    spans = sorted(vertex.spans.values(), key=lambda span: span.started_ns)
    if vertex.kind == "export":
        return spans[0].started_ns, spans[-1]
    started_ns = spans[-1].started_ns
    if vertex.kind == "source":
        for span in reversed(spans[1:-1]):
            if span.completed_ns is None or started_ns - span.completed_ns > _PIECES_NS:
                break
            started_ns = span.started_ns
    return started_ns, spans[-1]
