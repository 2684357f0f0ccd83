"""What the files hold at each commit: lines of commits, a trunk and branches, and edits laid over them.

In: commits (which paths, on which branch) and the scenario's edits, in order of time. Out: a `Content` for any request.
The law: branch 0 is the trunk, one for all entries, as one repository has one. Each entry has its own further branches.
A branch starts from the trunk as it is at the branch's first push; then only its own commits build on it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sim.scenario.fields.scenario import Edit
from sim.workload.request import Content

TRUNK = 0
Touches = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class _Line:
    """For each path that changed: when, and the version written then. `states` keeps what was put together."""

    written: dict[str, tuple[float, int]] = field(default_factory=dict)
    states: dict[int, tuple[Content, Touches]] = field(default_factory=dict)


class History:
    """The lines of all entries. Versions: a commit's own number for what it wrote, -1, -2, ... for the edits."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        self._edits: Sequence[Edit] = sorted(edits, key=lambda edit: edit.at)
        self._edit_times_s = [edit.at for edit in self._edits]
        self._trunk = _Line()
        self._branches: dict[tuple[int, int], _Line] = {}
        self._seen_edits: dict[str, int] = {}

    def commit(self, entry: int, branch: int, paths: Iterable[str], version: int, time_s: float) -> None:
        """A commit writes `paths`; it is made at `time_s`, after all edits of that time."""
        line = self._line(entry, branch)
        changed = dict.fromkeys(paths, (time_s, version))
        if changed:
            line.written.update(changed)
            line.states.clear()

    def content(self, entry: int, branch: int, time_s: float) -> Content:
        """The files of a branch, with the edits made until `time_s`; of an edit and a commit the later one holds."""
        return self._state(entry, branch, time_s)[0]

    def touches(self, entry: int, branch: int, time_s: float) -> Touches:
        """The paths whose last edit until `time_s` was a `same`, and came after what is written there: (path, its number)."""
        return self._state(entry, branch, time_s)[1]

    def edited_since_last(self, targets: Iterable[str], time_s: float) -> list[str]:
        """The paths edited (`same` too) since one of these targets was last asked for; the next call starts here."""
        edited = self._edits_until(time_s)
        first = edited
        for target in targets:
            first = min(first, self._seen_edits.get(target, 0))
            self._seen_edits[target] = edited
        return [edit.path for edit in self._edits[first:edited]]

    def _state(self, entry: int, branch: int, time_s: float) -> tuple[Content, Touches]:
        line = self._line(entry, branch)
        edited = self._edits_until(time_s)
        if edited not in line.states:
            written = dict(line.written)
            touched: dict[str, int] = {}
            for number, edit in enumerate(self._edits[:edited], start=1):
                if edit.at <= written.get(edit.path, (float("-inf"), 0))[0]:
                    continue
                if edit.content == "new":
                    written[edit.path] = (edit.at, -number)
                    touched.pop(edit.path, None)
                else:
                    touched[edit.path] = -number
            content = Content(tuple(sorted((path, version) for path, (_, version) in written.items())))
            line.states[edited] = (content, tuple(sorted(touched.items())))
        return line.states[edited]

    def _edits_until(self, time_s: float) -> int:
        return bisect_right(self._edit_times_s, time_s)

    def _line(self, entry: int, branch: int) -> _Line:
        if branch == TRUNK:
            return self._trunk
        line = self._branches.get((entry, branch))
        if line is None:
            line = self._branches[entry, branch] = _Line(dict(self._trunk.written))
        return line
