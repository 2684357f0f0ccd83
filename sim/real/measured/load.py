"""Who else used this machine while a replay ran: its CPUs' busy time less what the replay itself used.

In: /proc, the control groups of the run's daemons, our own children. Out: `Load`. A replay beside other work is marked.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sim.real.daemon import Daemon

BUSY_SHARE = 0.05  # of the machine; issue 6, item 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """Of a stretch of time: shares of the whole machine, and the load average at its end. `others`: neither we nor idle."""

    seconds: float
    others: float
    stolen: float
    average: float


class Watch:
    """Measures from its making on. `alive`: the daemons that run now, which ended ones' children time does not hold yet."""

    def __init__(self, alive: Iterable[Daemon] = ()) -> None:
        self._begun_s = time.monotonic()
        self._busy_s, self._stolen_s = _machine()
        self._own_s = _own()
        self._before_s = {id(daemon): daemon.usage().cpu_s for daemon in alive}

    def load(self, alive: Iterable[Daemon] = (), reaped: Iterable[Daemon] = ()) -> Load:
        """Up to now. `reaped`: daemons that have ended since; their CPU time is among that of our children."""
        seconds = max(time.monotonic() - self._begun_s, 1e-9)
        busy_s, stolen_s = _machine()
        ours_s = _own() - self._own_s
        ours_s += sum(daemon.usage().cpu_s - self._before_s.get(id(daemon), 0.0) for daemon in alive)
        ours_s -= sum(self._before_s.get(id(daemon), 0.0) for daemon in reaped)
        whole_s = seconds * (os.cpu_count() or 1)
        others_s = max(0.0, busy_s - self._busy_s - ours_s)
        return Load(seconds, others_s / whole_s, (stolen_s - self._stolen_s) / whole_s, os.getloadavg()[0])


def _machine() -> tuple[float, float]:
    """Busy and stolen CPU seconds since the start of the machine (proc_stat(5)); guests are in user already."""
    words = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) / _TICKS_PER_S for word in words[:8])
    return user + nice + system + irq + softirq, steal


def _own() -> float:
    """CPU seconds of this process and of its children that have ended: clients, copies, stopped daemons with their steps."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
