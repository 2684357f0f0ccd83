"""A process known by number and start time, whoever started it.

In: a process number. Out: whether it lives, its end. Numbers are reused, the pair is not (proc_pid_stat(5), field 22).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.005  # an idle daemon ends in 4 to 10 ms (buildkit-semantics 13.9)


@dataclass(frozen=True, slots=True)
class Process:
    """`started` is in clock ticks since the machine started; -1 is no process."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now."""
        fields = _stat(Path(f"/proc/{pid}"))
        return cls(pid, int(fields[19]) if fields else -1)

    def state(self) -> str:
        """One letter as in ps (R, S, D, T ...); empty when it is gone or a zombie."""
        fields = _stat(Path(f"/proc/{self.pid}"))
        is_same = bool(fields) and int(fields[19]) == self.started
        return fields[0] if is_same and fields[0] not in "ZX" else ""

    def is_alive(self) -> bool:
        """It runs, sleeps or is stopped."""
        return bool(self.state())

    def is_stopped(self) -> bool:
        """Every thread of it stands still, or it is gone. One that waits for a disk does so only when it has been served."""
        threads = Path(f"/proc/{self.pid}/task")
        try:
            states = [(_stat(thread) or ["X"])[0] for thread in threads.iterdir()] if self.is_alive() else []
        except OSError:
            return True
        return all(state in "TZX" for state in states)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it is gone."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended in time. A child stays a zombie until its parent asks."""
        until_s = time.monotonic() + timeout_s
        while self.is_alive():
            if time.monotonic() > until_s:
                return False
            time.sleep(_POLL_S)
        return True


def _stat(process: Path) -> list[str]:
    """The fields after the name, the state first; [] when there is no such process or thread."""
    try:
        text = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
