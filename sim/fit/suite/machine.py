"""The machine that is measured: what it is, how fast its cores compute, what else runs on it.

In: /proc. Out: a description, seconds of a fixed amount of work, cores that others keep busy.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from pathlib import Path

_BURN_BYTES = 48 << 20  # about 0.1 s of SHA-256 on one core
_PIECE = bytes(1 << 20)


def description() -> dict[str, str | int | float]:
    """What a profile says of the machine it holds for."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def burn_s() -> float:
    """Seconds of CPU time that a fixed amount of work takes: hashing, in this thread. Shorter is faster."""
    begun_s = time.thread_time()
    made = hashlib.sha256()
    for _ in range(_BURN_BYTES >> 20):
        made.update(_PIECE)
    return time.thread_time() - begun_s


class Load:
    """Cores that are busy on the whole machine since it was made, by /proc/stat; what a hypervisor takes counts too."""

    def __init__(self) -> None:
        self._busy_s, self._at_s = _busy_s(), time.monotonic()

    def busy_cores(self) -> float:
        """The mean since the start, or since the last question."""
        busy_s, at_s = _busy_s(), time.monotonic()
        cores = (busy_s - self._busy_s) / max(at_s - self._at_s, 1e-3)
        self._busy_s, self._at_s = busy_s, at_s
        return cores


def _busy_s() -> float:
    """proc(5): user nice system idle iowait irq softirq steal, in ticks."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / float(os.sysconf("SC_CLK_TCK"))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
