"""A runner's share of this machine as control groups of the kernel, version 1 or 2 (buildkit-semantics 10).

In: a name, cores, bytes. Out: `Group`, which is /buildcast/NAME with `daemon` (buildkitd) and `steps` (the containers of RUN)
below it: the limits stand on NAME, so daemon and steps share them. Usage is read, processes are killed, folders removed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

from sim.errors import EnvironmentMissing

PARENT = "buildcast"
_PERIOD_US = 100_000  # buildkit-semantics 10: quota over 100 ms
_LEAST_QUOTA_US = 1_000  # the kernel refuses less than 1 ms (Documentation/scheduler/sched-bwc)
_POLL_S = 0.02
_HINT = "local daemons need root on a Linux with control groups (in a container: --privileged --cgroupns=host)"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group used. `cpu_s` is of daemon and steps, `steps_cpu_s` of the steps alone, both since it was made.

    `memory_bytes` has no page cache in it; `memory_peak_bytes` is the largest of it at any reading, for the kernel keeps
    no such mark; `charged_peak_bytes` is the kernel's mark, page cache included (nan: an old kernel).
    """

    cpu_s: float
    steps_cpu_s: float
    memory_bytes: float
    memory_peak_bytes: float
    charged_peak_bytes: float


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where control groups are mounted. `v1`: the mount of each controller; `v2`: the unified one; `others`: more mounts."""

    v1: Mapping[str, Path]
    v2: Path | None
    others: tuple[Path, ...] = ()

    @property
    def is_v2(self) -> bool:
        """Memory is controlled by version 2; runc decides alike for all machines that are not set up by hand."""
        return "memory" not in self.v1 and self.v2 is not None

    def mounts(self) -> list[Path]:
        """Every mount once: runc makes a container's group in all of them."""
        found = [*self.v1.values(), *([self.v2] if self.v2 else []), *self.others]
        return list(dict.fromkeys(found))


def hierarchies(mountinfo: str | None = None) -> Hierarchies:
    """Read /proc/self/mountinfo (proc(5)), or the text given. Without any control group: EnvironmentMissing."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    v1: dict[str, Path] = {}
    others: list[Path] = []
    v2: Path | None = None
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        mount = Path(before.split()[4])
        if kind == "cgroup2":
            v2 = v2 or mount
        elif kind == "cgroup":
            names = [one for one in options.split(",") if one.replace("_", "").isalpha() and one not in _NO_CONTROLLER]
            v1.update({name: mount for name in names if name not in v1})
            others += [] if names else [mount]
    if not v1 and v2 is None:
        raise EnvironmentMissing("this system has no control groups", hint=_HINT)
    return Hierarchies(v1, v2, tuple(others))


def groups(tree: Hierarchies | None = None) -> list[str]:
    """Names of all groups of buildcast, of this process or of another, alive or left over."""
    found: set[str] = set()
    for mount in (tree or hierarchies()).mounts():
        with contextlib.suppress(OSError):
            found |= {one.name for one in (mount / PARENT).iterdir() if one.is_dir()}
    return sorted(found)


class Group:
    """The control group of one runner. Making one writes nothing yet; `create` does."""

    def __init__(self, name: str, tree: Hierarchies | None = None) -> None:
        self.name = name
        self._tree = tree or hierarchies()
        self._peak_bytes = 0.0

    @property
    def steps_path(self) -> str:
        """For buildkitd's `defaultCgroupParent`: from the root of every hierarchy."""
        return f"/{PARENT}/{self.name}/steps"

    def create(self, cpus: float = 0.0, memory_bytes: float = inf, cores: Sequence[int] = ()) -> None:
        """Make the folders and set the limits. `cpus` 0: no limit; with `cores` those alone are used, and no quota.

        Raises EnvironmentMissing when the kernel refuses.
        """
        try:
            if self._tree.is_v2:
                self._create_v2(cpus, memory_bytes, cores)
            else:
                self._create_v1(cpus, memory_bytes, cores)
        except OSError as error:
            self.remove()
            raise EnvironmentMissing(
                f"the control group cannot be set up: {error.strerror or error}", where=str(error.filename), hint=_HINT
            ) from error
        except BaseException:
            self.remove()
            raise

    def entrances(self) -> list[Path]:
        """The files to which the daemon writes its own process number before it starts."""
        mounts = [self._tree.v2] if self._tree.is_v2 else [self._tree.v1.get(name) for name in (*_NEEDED, "cpuset")]
        places = [mount / PARENT / self.name / "daemon" for mount in dict.fromkeys(mounts) if mount is not None]
        return [place / "cgroup.procs" for place in places if place.is_dir()]

    def usage(self) -> Usage:
        """What was used so far. Raises EnvironmentMissing when the group is gone."""
        try:
            cpu_s, steps_cpu_s, memory_bytes, charged_bytes = self._usage_v2() if self._tree.is_v2 else self._usage_v1()
        except OSError as error:
            raise EnvironmentMissing("the runner's control group is gone", where=str(error.filename)) from error
        self._peak_bytes = max(self._peak_bytes, memory_bytes)
        return Usage(cpu_s, steps_cpu_s, memory_bytes, self._peak_bytes, charged_bytes)

    def pids(self) -> set[int]:
        """All processes of the daemon and of its steps."""
        found: set[int] = set()
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found |= {int(word) for word in (folder / "cgroup.procs").read_text().split()}
        return found - {0}

    def kill(self, timeout_s: float = 10.0) -> None:
        """End every process in it. EnvironmentMissing when one cannot be ended in time (it hangs in the kernel)."""
        until_s = time.monotonic() + timeout_s
        while left := self.pids():
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until_s:
                raise EnvironmentMissing(
                    f"processes do not end: {', '.join(map(str, sorted(left)))}",
                    where=f"{PARENT}/{self.name}",
                    hint="look at them with ps; they may wait for a disk",
                )
            time.sleep(_POLL_S)

    def remove(self, timeout_s: float = 5.0) -> None:
        """Remove its folders in every hierarchy, and the parent when it is the last. Try again while the kernel is busy."""
        until_s = time.monotonic() + timeout_s
        while left := list(self._folders()):
            for folder in left:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if time.monotonic() > until_s:
                raise EnvironmentMissing(
                    "the control group cannot be removed: it is still in use",
                    where=str(left[0]),
                    hint="`buildcast fleet down` tries again",
                )
            if any(folder.exists() for folder in left):
                time.sleep(_POLL_S)
        for mount in self._tree.mounts():
            with contextlib.suppress(OSError):
                (mount / PARENT).rmdir()

    def _folders(self) -> Iterator[Path]:
        """Deepest first, in all hierarchies: runc's own folders too."""
        for mount in self._tree.mounts():
            for folder, _, _ in os.walk(mount / PARENT / self.name, topdown=False):
                yield Path(folder)

    def _create_v1(self, cpus: float, memory_bytes: float, cores: Sequence[int]) -> None:
        missing = [name for name in _NEEDED if name not in self._tree.v1]
        if missing:
            raise EnvironmentMissing(f"this kernel has no control group for {', '.join(missing)}", hint=_HINT)
        for name in _NEEDED:
            _make(self._tree.v1[name] / PARENT / self.name)
        if memory_bytes < inf:
            memory = self._tree.v1["memory"] / PARENT / self.name
            with contextlib.suppress(OSError):  # always on, and fixed, since Linux 5.11
                _write(memory / "memory.use_hierarchy", "1")
            _write(memory / "memory.limit_in_bytes", str(int(memory_bytes)))
            if (memory / "memory.memsw.limit_in_bytes").exists():  # no swap either
                _write(memory / "memory.memsw.limit_in_bytes", str(int(memory_bytes)))
        if cpus and not cores:
            cpu = self._tree.v1["cpu"] / PARENT / self.name
            _write(cpu / "cpu.cfs_period_us", str(_PERIOD_US))
            _write(cpu / "cpu.cfs_quota_us", str(_quota_us(cpus)))
        if cores:
            self._pin_v1(cores)
        for name in _NEEDED:
            _make(self._tree.v1[name] / PARENT / self.name / "daemon")
            _make(self._tree.v1[name] / PARENT / self.name / "steps")

    def _pin_v1(self, cores: Sequence[int]) -> None:
        """A new group of `cpuset` has no core and no memory node until it is told, on every level."""
        if "cpuset" not in self._tree.v1:
            raise EnvironmentMissing("this kernel has no control group for cpuset", hint="leave the cores out")
        top = self._tree.v1["cpuset"]
        nodes, all_cores = (top / "cpuset.mems").read_text().strip(), (top / "cpuset.cpus").read_text().strip()
        chosen = ",".join(map(str, cores))
        parent = top / PARENT
        for folder, wanted in [
            (parent, all_cores),
            (parent / self.name, chosen),
            (parent / self.name / "daemon", chosen),
            (parent / self.name / "steps", chosen),
        ]:
            _make(folder)
            _write(folder / "cpuset.cpus", wanted)
            _write(folder / "cpuset.mems", nodes)

    def _create_v2(self, cpus: float, memory_bytes: float, cores: Sequence[int]) -> None:
        assert self._tree.v2 is not None
        runner = self._tree.v2 / PARENT / self.name
        wanted = ["cpu", "memory", *(["cpuset"] if cores else [])]
        there = (self._tree.v2 / "cgroup.controllers").read_text().split()
        if missing := [name for name in wanted if name not in there]:
            raise EnvironmentMissing(f"this kernel has no control group for {', '.join(missing)}", hint=_HINT)
        _make(runner)
        for folder in (self._tree.v2, runner.parent, runner):
            _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in wanted))
        if cpus and not cores:
            _write(runner / "cpu.max", f"{_quota_us(cpus)} {_PERIOD_US}")
        if cores:
            _write(runner / "cpuset.cpus", ",".join(map(str, cores)))
        if memory_bytes < inf:
            _write(runner / "memory.max", str(int(memory_bytes)))
            if (runner / "memory.swap.max").exists():  # not there without swap accounting
                _write(runner / "memory.swap.max", "0")
        _make(runner / "daemon")
        _make(runner / "steps")

    def _usage_v1(self) -> tuple[float, float, float, float]:
        cpu = self._tree.v1["cpuacct"] / PARENT / self.name
        memory = self._tree.v1["memory"] / PARENT / self.name
        told = _numbers(memory / "memory.stat")
        return (
            int((cpu / "cpuacct.usage").read_text()) / 1e9,
            int((cpu / "steps" / "cpuacct.usage").read_text()) / 1e9,
            told["total_rss"] + told.get("total_shmem", 0.0),
            float((memory / "memory.max_usage_in_bytes").read_text()),
        )

    def _usage_v2(self) -> tuple[float, float, float, float]:
        assert self._tree.v2 is not None
        runner = self._tree.v2 / PARENT / self.name
        told = _numbers(runner / "memory.stat")
        peak = runner / "memory.peak"  # Linux 5.19
        return (
            _numbers(runner / "cpu.stat")["usage_usec"] / 1e6,
            _numbers(runner / "steps" / "cpu.stat")["usage_usec"] / 1e6,
            told["anon"] + told["shmem"],
            float(peak.read_text()) if peak.exists() else nan,
        )


_NEEDED = ("cpu", "cpuacct", "memory")
# Other words among the options of a mount of version 1 (cgroups(7)).
_NO_CONTROLLER = ("rw", "ro", "xattr", "noprefix", "clone_children", "all", "none")


def _quota_us(cpus: float) -> int:
    return max(_LEAST_QUOTA_US, round(cpus * _PERIOD_US))


def _make(folder: Path) -> None:
    """With its parents. The parent may go in between, when another runner that was its last is removed."""
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, text: str) -> None:
    """One write, as the kernel wants it; its refusal names the file."""
    try:
        path.write_text(text)
    except OSError as error:
        raise OSError(error.errno, f"writing '{text}': {error.strerror}", str(path)) from error


def _numbers(path: Path) -> dict[str, float]:
    """`name number` a line."""
    return {name: float(number) for name, number in (line.split() for line in path.read_text().splitlines())}
