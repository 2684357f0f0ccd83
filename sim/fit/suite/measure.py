"""The suite: rounds of small builds that each show something, interleaved with burns, on a daemon that nobody else uses.

In: a `Node`, a folder, a number of rounds. Out: `Suite`: the builds by round with what is known of their costs, exports by size,
the speed of the cores, how busy the machine was beside. A round takes about 12 s on two cores.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.errors import EnvironmentMissing
from sim.fit.constants_fit import Known
from sim.fit.measured.executions import Execution, observe
from sim.fit.measured.schedule import Schedule
from sim.fit.suite.bench import Bench, Ran, load
from sim.fit.suite.machine import Load, burn_s
from sim.inputs import assemble
from sim.profile.constants import DAEMON
from sim.profile.cost import Cost

ROUNDS = 5
FILES, FILE_BYTES = 2000, 1024
BIG_BYTES = 48_000_000
SHARING_CPU_S = 0.8  # of one thread
CROWD = 8
SHORT_CPU_S = 0.01  # more than the load program needs to start: so that its own start is part of what is known
_BUSY_SHARE = 0.25  # of the cores, kept busy by others: then nothing is measured
_NOTED_SHARE = 0.05
_SPEC = re.compile(r'"--spec","([^"]*)"')
_PATH = re.compile(r"COPY (?:--from=\S+ )?(\S+) ")


@dataclass(slots=True)
class Suite:
    """What a suite has seen. `burns_s`: core-seconds of a fixed amount of work, one a round and one before; `foreign_cores`: the
    mean that others kept busy before and after. `rounds`: the builds of each round.
    """

    rounds: list[list[Ran]] = field(default_factory=list)
    burns_s: list[float] = field(default_factory=list)
    foreign_cores: list[float] = field(default_factory=list)
    cpus: float = 1.0

    @property
    def is_busy(self) -> bool:
        """Others kept more than a twentieth of the machine busy."""
        return bool(self.foreign_cores) and max(self.foreign_cores) > _NOTED_SHARE * self.cpus

    def known(self) -> list[Known]:
        """Each round as a schedule whose steps cost what was asked for: only the daemon's constants are to be found."""
        return [_known(ran, f"round {at + 1}", self.cpus) for at, ran in enumerate(self.rounds)]

    def of(self, label: str) -> list[Ran]:
        """All builds of a kind."""
        return [ran for one in self.rounds for ran in one if ran.label == label]


def measure(
    bench: Bench,
    *,
    cpus: float,
    rounds: int = ROUNDS,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    force: bool = False,
    ready: Callable[[], object] = lambda: None,
) -> Suite:
    """Run the suite. EnvironmentMissing: a build fails, or others use the machine (unless `force`).

    `ready` is called before each round.
    """
    suite = Suite(cpus=cpus)
    _look_around(suite, force, say)
    bench.run("warm", f"FROM base\n{load(cpu_s=SHORT_CPU_S)}")
    bench.ran.clear()
    suite.burns_s.append(burn_s())
    for number in range(rounds):
        ready()
        for at, part in enumerate(_PARTS):
            part(bench)
            progress(number * len(_PARTS) + at + 1, rounds * len(_PARTS))
        suite.rounds.append(list(bench.ran))
        bench.ran.clear()
        suite.burns_s.append(burn_s())
    _look_around(suite, True, say)
    return suite


def _look_around(suite: Suite, force: bool, say: Callable[[str], None]) -> None:
    import time

    load_now = Load()
    time.sleep(1.0)
    busy = load_now.busy_cores()
    suite.foreign_cores.append(busy)
    if busy > _BUSY_SHARE * suite.cpus and not force:
        what = f"the machine is busy: others keep {busy:.1f} of {suite.cpus:g} cores busy"
        raise EnvironmentMissing(what, hint="wait until it is quiet, or --force a measurement that says so")
    if busy > _NOTED_SHARE * suite.cpus:
        say(f"others keep {busy:.2f} cores busy: the measurement is marked as such")


def _lone(bench: Bench) -> None:
    """RUNs one after the other, COPYs of next to nothing, and the same build again, cached; then with a context of one file."""
    text = "FROM base AS a\n" + "".join(load(cpu_s=SHORT_CPU_S) for _ in range(4))
    text += load(cpu_s=SHORT_CPU_S, out="/tiny", size_bytes=100)
    text += "FROM base\n" + "".join(f"COPY --from=a /tiny /tiny{at}\n" for at in range(3))
    bench.run("lone", text)
    for _ in range(3):
        bench.run("cached", text)
    folder = _context(bench.folder / "tiny")
    (folder / "sent").write_bytes(secrets.token_bytes(50))
    for label in ("context", *["cached context"] * 3):
        bench.run(label, f"{text}COPY sent /sent\n", context=folder, files={"sent": 1}, sent_files=1)


def _crowd(bench: Bench) -> None:
    """RUNs side by side: the work of their overhead, not its length."""
    text, copies = "", ""
    for at in range(CROWD):
        text += f"FROM base AS s{at}\n" + load(cpu_s=SHORT_CPU_S)
        text += load(cpu_s=SHORT_CPU_S, out="/tiny", size_bytes=100)
        copies += f"COPY --from=s{at} /tiny /tiny{at}\n"
    bench.run("crowd", text + "FROM base\n" + copies)


def _files(bench: Bench) -> None:
    """A context of many small files, fresh; then unchanged, with another build around it."""
    folder = _context(bench.folder / "files")
    for at in range(FILES):
        place = folder / f"d{at // 200}"
        place.mkdir(exist_ok=True)
        (place / f"f{at}").write_bytes(secrets.token_bytes(16) * (FILE_BYTES // 16))
    text = "FROM base\nCOPY . /all\n"
    for label in ("files", "files again"):
        bench.run(label, text, context=folder, files={".": FILES}, sent_files=FILES)
        text += load(cpu_s=SHORT_CPU_S)


def _bytes(bench: Bench) -> None:
    """One large file: sent, copied, copied on from stage to stage."""
    folder = _context(bench.folder / "bytes")
    (folder / "big").write_bytes(os.urandom(BIG_BYTES))
    text = f"FROM base AS a\nCOPY big /big{BIG_BYTES}\nFROM base\nCOPY --from=a /big{BIG_BYTES} /b\n"
    bench.run("bytes", text, context=folder, files={"big": 1}, sent_files=1)


def _writes(bench: Bench) -> None:
    """A RUN that writes, and the copy of what it wrote."""
    text = "FROM base AS a\n" + load(cpu_s=SHORT_CPU_S, out=f"/big{2 * BIG_BYTES}", size_bytes=2 * BIG_BYTES)
    bench.run("writes", f"{text}FROM base\nCOPY --from=a /big{2 * BIG_BYTES} /b\n")


def _exports(bench: Bench) -> None:
    """An image of a small and of a large layer; the large one again, whose blob is there; and as a plain archive."""
    for label, size_bytes in (("export small", 1000), ("export large", BIG_BYTES)):
        text = "FROM base\n" + load(cpu_s=SHORT_CPU_S, out="/layer", size_bytes=size_bytes)
        bench.run(label, text, output=f"type=image,name=suite/{label.split()[1]}")
    bench.run("export again", text, output="type=image,name=suite/again")
    bench.run("stream large", text, output=f"type=tar,dest={os.devnull}")


def _sharing(bench: Bench) -> None:
    """One thread beside four: does each step get its share of the cores?"""
    text = f"FROM base AS a\n{load(cpu_s=SHARING_CPU_S, threads=1, out='/a', size_bytes=100)}"
    text += f"FROM base AS b\n{load(cpu_s=2 * SHARING_CPU_S, threads=4, out='/b', size_bytes=100)}"
    bench.run("sharing", f"{text}FROM base\nCOPY --from=a /a /a\nCOPY --from=b /b /b\n")


_PARTS = (_lone, _crowd, _files, _bytes, _writes, _exports, _sharing)


def _context(folder: Path) -> Path:
    """A fresh folder beside the old one, which is not removed: creating after removing is slow (buildkit-semantics 13.6)."""
    number = 0
    while (place := folder.with_name(f"{folder.name}{number}")).exists():
        number += 1
    place.mkdir(parents=True)
    return place


def _known(ran: Sequence[Ran], name: str, cpus: float) -> Known:
    trace, _ = assemble([one.recorded for one in ran], name)
    # Builds are numbered in order of their start, which is the order in which they were run.
    farm = {"runner": {"cpus": cpus}}
    schedule = Schedule(observe(trace, where=name, cpus=cpus, farm=farm))
    costs, files = [], []
    for one in schedule.executions:
        about = ran[one.build]
        path = _PATH.match(one.command)
        count = about.sent_files if one.kind == "context" else about.files.get(path[1], 1) if path else 0
        costs.append(_cost(one, count))
        files.append(count)
    return Known(schedule, tuple(costs), tuple(files))


def _cost(one: Execution, files: int) -> Cost:
    """What a vertex of the suite costs, by its name."""
    if one.kind == "exec":
        spec = (
            dict(part.split("=", 1) for part in _SPEC.findall(one.name)[0].split(",")) if _SPEC.search(one.name) else {}
        )
        size = spec.get("out", "::").split(":")[1]
        return Cost(
            cpu_s=float(spec.get("cpu", "0s").rstrip("s")),
            threads=float(spec.get("threads", 1)),
            write_bytes=float(size or 0),
        )
    if one.kind == "copy":
        sizes = re.findall(r"/big(\d+)", one.name)
        size_bytes = float(sizes[0]) if sizes else files * FILE_BYTES if files > 1 else 100.0
        cpu_s = DAEMON.copy_cpu_s + files * DAEMON.copy_file_cpu_s
        return Cost(cpu_s=cpu_s, threads=DAEMON.copy_cores, write_bytes=size_bytes)
    if one.kind == "context":
        return Cost(cpu_s=DAEMON.context_cpu_s + files * DAEMON.context_file_cpu_s)
    return Cost(cpu_s=DAEMON.merge_cpu_s) if one.kind == "merge" else Cost(cpu_s=one.took_s)
