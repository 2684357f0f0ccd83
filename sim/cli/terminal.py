"""What goes to the terminal: data on stdout, messages and progress on stderr.

In: texts, JSON-able values, counts of what is done. Out: lines. Colour only where a terminal reads (NO_COLOR, FORCE_COLOR).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from math import isfinite
from types import TracebackType
from typing import TextIO

from sim.trace import Json

JSON_SCHEMA = 1
QUIET_S = 2.0  # issue 4, item 11: progress for anything over 2 s
_BAR = 30
_TICK_S = 0.2


def json_text(fields: Mapping[str, Json]) -> str:
    """One JSON object with `schema_version` first; what is not finite is null."""
    return json.dumps({"schema_version": JSON_SCHEMA} | _finite(dict(fields)), indent=1, allow_nan=False)


def _finite(value: object) -> dict[str, Json]:
    cleaned: dict[str, Json] = _clean(value)  # type: ignore[assignment]
    return cleaned


def _clean(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, bool | int | str) or value is None else str(value)


def has_colour(stream: TextIO) -> bool:
    """no-color.org: NO_COLOR wins, then FORCE_COLOR, then whether a terminal reads."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def bold(text: str) -> str:
    """Bold on a terminal, plain elsewhere."""
    return f"\x1b[1m{text}\x1b[0m" if has_colour(sys.stdout) else text


class Progress:
    """Messages, and how far a long job is: a bar on a terminal, else a line for every 10 %; nothing in the first 2 s.

    A thread draws, so that one long simulation, which reports nothing while it runs, is seen to be alive too.
    """

    def __init__(self, what: str, *, quiet: bool, stream: TextIO | None = None) -> None:
        self._what, self._quiet = what, quiet
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._begun_s = time.monotonic()
        self._done, self._total = 0, 0
        self._told, self._is_drawn = -1, False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._wipe()

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._done, self._total = done, total
        if not self._is_terminal and not self._quiet and time.monotonic() - self._begun_s > QUIET_S:
            with self._lock:
                self._line()

    def say(self, text: str) -> None:
        """A message of its own line."""
        if not self._quiet:
            with self._lock:
                self._wipe()
                print(text, file=self._stream, flush=True)

    def _watch(self) -> None:
        if self._over.wait(QUIET_S):
            return
        with self._lock:
            self._draw() if self._is_terminal else self._line()
        while self._is_terminal and not self._over.wait(_TICK_S):
            with self._lock:
                self._draw()

    def _share(self) -> float:
        return self._done / self._total if self._total else 0.0

    def _line(self) -> None:
        tenth = int(10 * self._share())
        if tenth > self._told:
            self._told = tenth
            of = f"{self._done} of {self._total} ({10 * tenth} %)" if self._total else "under way"
            self._print(f"{self._what}: {of}\n")

    def _draw(self) -> None:
        elapsed_s = time.monotonic() - self._begun_s
        if self._total:
            filled = int(_BAR * self._share())
            shown = f"[{'#' * filled}{'.' * (_BAR - filled)}] {self._done}/{self._total}"
            if self._done:
                shown += f", {elapsed_s / self._done * (self._total - self._done):.0f} s left"
        else:
            shown = f"{elapsed_s:.0f} s"
        self._print(f"\r\x1b[K{self._what}: {shown}")
        self._is_drawn = True

    def _wipe(self) -> None:
        if self._is_drawn:
            self._print("\r\x1b[K")
            self._is_drawn = False

    def _print(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._quiet = True  # no one reads
