"""The suite on this machine: a daemon of its own, how long one takes to start, to be cloned, and what a CPU quota loses.

In: a folder, settings. Out: a `Suite` and the numbers that only a local daemon shows. Nothing is left behind.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sim.fit.suite.bench import Bench, load
from sim.fit.suite.measure import ROUNDS, Suite, measure
from sim.fit.suite.numbers import Seen, seen_of
from sim.real.daemon import Daemon, DaemonSpec, RemoteDaemon, Tls
from sim.real.fleet import Fleet
from sim.real.measured.memory import back

_BOOTS = 4
_QUOTA_CPU_S = 0.5
_QUOTAS = 3

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def measure_here(
    *, rounds: int = ROUNDS, say: Say, progress: Progress = lambda done, total: None, force: bool = False
) -> tuple[Suite, dict[str, Seen]]:
    """Start a daemon that may use the whole machine and run the suite on it. EnvironmentMissing: no root, no runc, busy."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bc-") as name, Fleet(Path(name) / "fleet", say) as fleet:
        folder = Path(name) / "bench"
        folder.mkdir()
        daemon = fleet.start(DaemonSpec("suite"))
        bench = Bench(daemon, folder, say, lambda: daemon.usage().cpu_s)
        suite = measure(bench, cpus=cores, rounds=rounds, say=say, progress=progress, force=force, ready=back)
        found = _boots(fleet) | _clone(fleet, daemon)
        fleet.stop(daemon)
        return suite, found | _quota(fleet, folder, say)


def measure_there(
    address: str, *, tls: Tls, cpus: float, rounds: int = ROUNDS, say: Say, progress: Progress, force: bool = False
) -> tuple[Suite, dict[str, Seen]]:
    """The suite on a daemon that is there already, of `cpus` cores; nothing else may use it."""
    node = RemoteDaemon("suite", address, tls, say=say)
    with tempfile.TemporaryDirectory(prefix="bc-") as name:
        bench = Bench(node, Path(name), say)
        return measure(bench, cpus=cpus, rounds=rounds, say=say, progress=progress, force=force), {}


def _boots(fleet: Fleet) -> dict[str, Seen]:
    took_s = []
    for at in range(_BOOTS):
        begun_s = time.monotonic()
        daemon = fleet.start(DaemonSpec(f"boot{at}"))
        took_s.append(time.monotonic() - begun_s)
        fleet.stop(daemon)
    return {"boot_s": seen_of(took_s, "an empty daemon, to its first answer")}


def _clone(fleet: Fleet, daemon: Daemon) -> dict[str, Seen]:
    """Copying a root costs by its files (buildkit-semantics 13.9)."""
    files = sum(len(names) for _, _, names in os.walk(daemon.root))
    begun_s = time.monotonic()
    clone = fleet.start(DaemonSpec("clone"), clone_of=daemon)
    took_s = time.monotonic() - begun_s
    fleet.stop(clone)
    return {
        "clone_s": seen_of([took_s], f"a copy of the suite's cache, {files} files, to its first answer"),
        "clone_file_s": seen_of([took_s / max(files, 1)], "the same by file"),
    }


def _quota(fleet: Fleet, folder: Path, say: Say) -> dict[str, Seen]:
    """What a CFS quota of one core makes of a step with two threads: 1 is nothing lost."""
    daemon = fleet.start(DaemonSpec("quota", cpus=1.0))
    place = folder / "quota"
    place.mkdir()
    bench = Bench(daemon, place, say)
    bench.run("warm", f"FROM base\n{load(cpu_s=0.01)}")
    lone, ratios = [], []
    for _ in range(_QUOTAS):
        lone += bench.run("lone", f"FROM base\n{load(cpu_s=0.01)}").took_s(" RUN ")
        ran = bench.run("quota", f"FROM base\n{load(cpu_s=_QUOTA_CPU_S, threads=2)}")
        ratios += [(one - lone[-1] + 0.01) / _QUOTA_CPU_S for one in ran.took_s(" RUN ")]
    fleet.stop(daemon)
    return {
        "quota_run_s": seen_of(lone, "a RUN of 10 ms alone under a quota of one core"),
        "quota_ratio": seen_of(ratios, "two threads under a quota of one core: seconds over core-seconds"),
    }
