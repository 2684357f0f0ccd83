"""The clock of a replay: everything is decided in one thread, as in the simulation; what takes long runs in others.

In: calls at times, blocking work. Out: the calls, one after the other, in the thread that runs the loop. An error in any work
ends the loop there.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
Call = Callable[[], None]

_LONGEST_WAIT_S = 1.0


class Loop:
    """Timers and finished work in order. Only `post` may be called from another thread."""

    def __init__(self) -> None:
        self._posted: SimpleQueue[Call] = SimpleQueue()
        self._timers: list[tuple[float, int, Call]] = []
        self._count = itertools.count()
        self._works: set[threading.Thread] = set()
        self.begin()

    def begin(self) -> None:
        """Time is zero now."""
        self._zero_s, self.origin_ns = time.monotonic(), time.time_ns()

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._zero_s

    def after(self, delay_s: float, call: Call) -> None:
        """Call it in so many seconds; not before what is due now."""
        heapq.heappush(self._timers, (self.now_s + max(0.0, delay_s), next(self._count), call))

    def at(self, time_s: float, call: Call) -> None:
        """Call it at a time, at once if that has passed."""
        heapq.heappush(self._timers, (time_s, next(self._count), call))

    def post(self, call: Call) -> None:
        """From any thread: call it in the loop's."""
        self._posted.put(call)

    def spawn(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do the work in a thread of its own, then call `then` with its result in the loop's."""

        def do() -> None:
            try:
                result = work()
            except BaseException as error:
                self.post(lambda error=error: _throw(error))  # type: ignore[misc]
            else:
                self.post(lambda: then(result))
            finally:
                self._works.discard(thread)

        thread = threading.Thread(target=do, daemon=True)
        self._works.add(thread)
        thread.start()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Until `is_over()`, asked after every call."""
        while not is_over():
            self._next()()

    def settle(self, timeout_s: float) -> bool:
        """Wait until no work runs any more, without calling what it leads to; False when it takes longer."""
        until_s = time.monotonic() + timeout_s
        for thread in list(self._works):
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in list(self._works))

    def _next(self) -> Call:
        while True:
            wait_s = self._timers[0][0] - self.now_s if self._timers else _LONGEST_WAIT_S
            if wait_s <= 0:
                return heapq.heappop(self._timers)[2]
            try:
                return self._posted.get(timeout=min(wait_s, _LONGEST_WAIT_S))
            except Empty:
                continue


def _throw(error: BaseException) -> None:
    raise error
