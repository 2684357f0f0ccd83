"""`--progress=rawjson` of buildctl and buildx, `--trace` of buildctl, `buildctl debug logs`: a SolveStatus a line.

In: lines. Out: one `Recorded` a build: a bake log is split by target, a file that was appended to by build. Lines of other
programs are passed over; a line that was cut off at the end of the file is too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sim.errors import InputError
from sim.inputs.formats.lines import clean
from sim.inputs.names import declared_target, target_of, text_of
from sim.inputs.recorded import Recorded
from sim.inputs.status import Event, Transfers, Vertices, entries

_LISTS = ("vertexes", "statuses", "logs", "warnings")
_ONLY_LOGS = '{"logs":['


def read_rawjson(lines: Iterable[str], where: str, *, is_client: bool = True) -> list[Recorded]:
    """All builds of a log. InputError: a line is broken that is not the last one.

    `is_client`: a client wrote it, who moves times (13.1); false for what a daemon's history says.
    """
    log = _Log(where, is_client)
    broken: InputError | None = None
    for number, line in enumerate(lines, 1):
        text, _ = clean(line)
        if not text.startswith("{"):
            continue
        if broken is not None:
            raise broken
        try:
            log.line(text)
        except (ValueError, RecursionError) as error:
            what = "not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
            hint = "cut the line out, or record the build again with --progress=rawjson"
            broken = InputError(f"broken: {what}", where=f"{where}:{number}", hint=hint)
    return log.recorded()


class _Log:
    """One file: the builds begun so far, each with its targets (None: the log has no targets)."""

    def __init__(self, where: str, is_client: bool) -> None:
        self._where, self._is_client = where, is_client
        self._builds: list[dict[str | None, Vertices]] = [{}]
        self._transfers = Transfers()
        self._waiting = ""  # lines that hold but output: the last of a run is enough, for its time

    def line(self, text: str) -> None:
        """One line. ValueError: it is broken."""
        if text.startswith(_ONLY_LOGS) and '"vertexes":' not in text and '"statuses":' not in text:
            self._waiting = text
            return
        event = json.loads(text)
        if not isinstance(event, Mapping) or not any(name in event for name in _LISTS):
            return  # another program's
        self._catch_up()
        self._feed(event)

    def recorded(self) -> list[Recorded]:
        """What was found; targets of one command are one request."""
        self._catch_up()
        found = []
        for number, targets in enumerate(self._builds):
            split = {target: one for target, one in targets.items() if one and (target or len(targets) == 1)}
            found += [
                Recorded(
                    where=self._where,
                    request=f"{self._where}#{number}",
                    vertices=one,
                    target=target,
                    is_client=self._is_client,
                    is_cut=True,
                )
                for target, one in split.items()
            ]
        return found

    def _catch_up(self) -> None:
        text, self._waiting = self._waiting, ""
        try:
            event = json.loads(text) if text else {}
        except ValueError:  # a line of output, cut off with the log
            return
        if isinstance(event, Mapping):
            self._feed(event)

    def _feed(self, event: Event) -> None:
        for vertex in entries(event, "vertexes"):
            self._of(vertex).vertex(vertex)
        for status in entries(event, "statuses"):
            self._transfers.feed(status)
        for line in entries(event, "logs"):
            self._alive(line)

    def _alive(self, line: Mapping[str, object]) -> None:
        """Output is a sign of life of those who know the step."""
        for one in self._builds[-1].values():
            if line.get("vertex") in one.by_digest:
                one.sign_of_life(line)

    def _of(self, vertex: Mapping[str, object]) -> Vertices:
        """The build that a vertex belongs to; one that begins anew opens the next."""
        name, digest = str(vertex.get("name", "")), vertex.get("digest")
        declared = declared_target(name)
        if self._begins(name, digest, declared):
            self._builds.append({})
            self._transfers = Transfers()
        targets = self._builds[-1]
        target = declared or target_of(name, [one for one in targets if one is not None])
        if target not in targets:
            targets[target] = Vertices(self._transfers)
        return targets[target]

    def _begins(self, name: str, digest: object, declared: str | None) -> bool:
        """A definition loads that nobody knew, after the graph of the former one: `--trace` appends, scripts do."""
        text = text_of(name)
        if text.startswith("load local bake definitions"):
            return any(digest not in one.by_digest for one in self._builds[-1].values())
        known = self._builds[-1].get(declared)
        is_definition = text.startswith("load build definition") and known is not None and known.has_graph
        return is_definition and known is not None and digest not in known.by_digest
