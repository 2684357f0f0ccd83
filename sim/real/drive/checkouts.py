"""Folders with the files of clients, brought to a request's content in time.

In: requests. Out: a checkout for each that nobody else uses meanwhile; a kept one is its client's own. Files are written
before the request arrives where its time is known: a checkout is no part of a build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from sim.real.drive.loop import Loop
from sim.real.files import ClientFiles
from sim.workload.request import Content, Request


class Checkouts:
    """All checkouts of a run."""

    def __init__(self, loop: Loop, make: Callable[[Path], ClientFiles], folder: Path) -> None:
        self._loop, self._make, self._folder = loop, make, folder
        self._free: list[ClientFiles] = []
        self._kept: dict[int, ClientFiles] = {}
        self._made = 0
        self._ready: dict[int, ClientFiles] = {}
        self._wanted: dict[int, Callable[[ClientFiles], None]] = {}
        self._begun: set[int] = set()

    def stock(self, requests: Iterable[Request], most: int = 8) -> None:
        """Before time begins: folders with all files, one a client that keeps its own, some for those who come afresh."""
        given = list(requests)
        for client in dict.fromkeys(request.client for request in given if request.client is not None):
            self._kept[client] = self._new()
            self._kept[client].apply(Content())
        fresh = sum(request.client is None for request in given)
        while len(self._free) < min(fresh, most):
            self._free.append(self._new())
            self._free[-1].apply(Content())

    def prepare(self, request: Request) -> None:
        """Begin to write the files of a request that comes afresh, if that has not begun."""
        if request.client is not None or request.index in self._begun:
            return
        self._begun.add(request.index)
        chosen = self._free.pop() if self._free else self._new()

        def write() -> ClientFiles:
            chosen.apply(request.content, request.touches, is_fresh=True)
            return chosen

        self._loop.spawn(write, lambda checkout: self._written(request, checkout))

    def take(self, request: Request, then: Callable[[ClientFiles], None]) -> None:
        """Call `then` with the checkout of a request, at once where it is ready."""
        if (
            request.client is not None
        ):  # what changed is written now: another request of this client may have come before
            kept = self._kept[request.client]
            kept.apply(request.content, request.touches, is_fresh=request.fresh_checkout)
            then(kept)
            return
        self.prepare(request)
        if request.index in self._ready:
            then(self._ready.pop(request.index))
        else:
            self._wanted[request.index] = then

    def give_back(self, request: Request, checkout: ClientFiles) -> None:
        """No client of the request reads it any more."""
        if request.client is None:
            self._free.append(checkout)

    def _written(self, request: Request, checkout: ClientFiles) -> None:
        then = self._wanted.pop(request.index, None)
        if then is None:
            self._ready[request.index] = checkout
        else:
            then(checkout)

    def _new(self) -> ClientFiles:
        self._made += 1
        return self._make(self._folder / f"checkout-{self._made}")
