"""Which requests come by themselves, which after others, and which take whose place.

In: all requests of a run; those that arrive and end. Out: what is cancelled, and what comes next in how many seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence

from sim.workload.request import Request


class Succession:
    """`timed`: the requests that come at a time of their own, in order of arrival."""

    __slots__ = ("_dropped", "_followers", "_older", "_waits", "timed")

    def __init__(self, requests: Sequence[Request]) -> None:
        self._waits = {request.index: set(request.needs) for request in requests if request.needs}
        self._followers: dict[int, list[Request]] = defaultdict(list)
        self._older: dict[int, list[int]] = defaultdict(list)
        self._dropped: set[int] = set()
        timed = []
        for request in requests:
            for needed in request.needs:
                self._followers[needed].append(request)
            if request.after is not None:
                self._followers[request.after].append(request)
            elif not request.needs:
                timed.append(request)
            if request.superseded_by is not None:
                self._older[request.superseded_by].append(request.index)
        self.timed = sorted(timed, key=lambda request: (request.arrived_s, request.index))

    def supersedes(self, request: Request, under_way: Container[int]) -> list[int]:
        """A request arrives: those under way whose place it takes. Those that have not come yet never will."""
        found = []
        for older in self._older.get(request.index, ()):
            if older in under_way:
                found.append(older)
            else:
                self._dropped.add(older)
        return found

    def is_dropped(self, request: Request) -> bool:
        """A newer one took its place before it came: it has ended, not well."""
        return request.index in self._dropped

    def after(self, ended: int, *, is_ok: bool) -> list[tuple[Request, float]]:
        """A request has ended: who comes next, in how many seconds.

        What needs it never runs if it is not ok, and ends so itself; a closed client goes on in any case.
        """
        coming: list[tuple[Request, float]] = []
        for request in self._followers.pop(ended, ()):
            if not request.needs:
                coming.append((request, request.think_s))
                continue
            waits = self._waits.get(request.index)
            if waits is None:
                continue
            if not is_ok:
                del self._waits[request.index]
                coming += self.after(request.index, is_ok=False)
                continue
            waits.discard(ended)
            if not waits:
                coming.append((request, request.after_s))
        return coming
