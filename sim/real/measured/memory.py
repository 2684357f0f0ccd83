"""Memory that is there before something is measured: a virtual machine's host may give it page by page, on first touch.

In: this machine's free memory, and what our control group leaves of it. Out: how long it took to be given. Firecracker, and
any balloon with free page reporting (Linux, mm/page_reporting.c), takes free memory back; what is written next waits for its
pages, in the writer's CPU time: 2.5 core-s/GB, where memory that was used and freed a moment ago takes 0.18 (by hand, files of
50 MB: 125 and 9 ms). What is freed here stays given for a while, so that a step's writes cost what they cost, and not what
others wrote or freed before.
"""

from __future__ import annotations

import mmap
import time
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

from sim.real.cgroups import hierarchies

BACKED_BYTES = 768 << 20  # mixed-scale-1 writes 600 MB; a host may wait for 1 GiB before it takes memory back
_SHARE = 0.25  # of what is free, at most
_FILES_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
_FILES_V2 = ("memory.max", "memory.current")


@dataclass(frozen=True, slots=True)
class Backed:
    """`first_s`: to touch all of it; `again_s`: to touch as much once more. They differ where memory had to be given."""

    bytes: int
    first_s: float
    again_s: float


def back() -> Backed:
    """Touch free memory and let it go, twice; takes 0.4 s a GiB and time where it is there, 2.5 s where it is not."""
    wanted_bytes = min(BACKED_BYTES, int(_SHARE * max(0.0, min(_available_bytes(), _left_bytes()))))
    return Backed(wanted_bytes, _touch(wanted_bytes), _touch(wanted_bytes))


def _touch(wanted_bytes: int) -> float:
    begun_s = time.monotonic()
    if wanted_bytes:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE  # mmap(2): populated before it returns
        mmap.mmap(-1, wanted_bytes, flags=flags).close()
    return time.monotonic() - begun_s


def _available_bytes() -> int:
    """proc_meminfo(5): MemAvailable, of the machine."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _left_bytes() -> float:
    """The least that a control group of ours leaves, page cache counted as used (cgroups(7)); inf: none limits memory."""
    tree = hierarchies()
    mount = tree.v2 if tree.is_v2 else tree.v1.get("memory")
    if mount is None:
        return inf
    limit, used = _FILES_V2 if tree.is_v2 else _FILES_V1
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines())
    ours = next((path for _, names, path in lines if names == ("" if tree.is_v2 else "memory")), "/")
    group, left_bytes = mount / ours.lstrip("/"), inf
    while True:
        with suppress(OSError, ValueError):  # "max"; a group above what a container is shown
            left_bytes = min(left_bytes, int((group / limit).read_text()) - int((group / used).read_text()))
        if group == mount:
            return left_bytes
        group = group.parent
