"""All daemons of a farm on this machine: started, found again by another process, taken down; one fleet at a time.

In: specs of runners. Out: `Fleet`, a context manager that leaves nothing; `leftovers` and `clean` for what a killed run
left. A file in the folder says which daemons there are; the lock is the machine's, for two fleets spoil each other's times.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform as machine
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import TracebackType

from sim.errors import EnvironmentMissing, InputError, replacing
from sim.real.daemon import Daemon, DaemonSpec, RemoteDaemon, is_root, remove_tree, require_root
from sim.real.node import Process, Tls, left
from sim.scenario.farm import Farm
from sim.tools import cache_folder, sheltered

__all__ = [
    "Fleet",
    "Runner",
    "Standing",
    "clean",
    "default_folder",
    "leftovers",
    "local_runners",
    "native_platforms",
    "runners_of",
    "standing",
]

Say = Callable[[str], None]
_STATE = "buildcast-fleet.json"
_SCHEMA = 1
# What runs here without emulation (buildkit-semantics 13.11: linux/386 beside linux/amd64).
_NATIVE = {"x86_64": ("linux/amd64", "linux/386"), "aarch64": ("linux/arm64",)}


@dataclass(frozen=True, slots=True)
class Runner:
    """One runner of a farm: whose it is, what it builds, and the daemon that plays it."""

    project: str
    platform: str
    spec: DaemonSpec


@dataclass(frozen=True, slots=True)
class Standing:
    """A fleet as its state file has it. `is_kept`: it was meant to stay up; `owner` is the process that made it."""

    is_kept: bool
    owner: Process
    daemons: tuple[Daemon, ...]
    remotes: tuple[RemoteDaemon, ...]


def default_folder() -> Path:
    """`$BUILDCAST_FLEET` (its disk is the runners' disk), else `fleet` in the cache folder of the tools."""
    chosen = os.environ.get("BUILDCAST_FLEET")
    return Path(chosen) if chosen else cache_folder() / "fleet"


def native_platforms() -> tuple[str, ...]:
    """What this machine builds without emulation."""
    return _NATIVE.get(machine.machine(), ())


def runners_of(farm: Farm) -> list[Runner]:
    """One runner a project and native platform, as large as the farm's. Clones come later, when leases ask for them."""
    found = []
    for project in dict.fromkeys(farm.projects.values()):
        for platform, slowdown in farm.platforms.items():
            if slowdown != 1.0:  # emulated: on the first platform's runner
                continue
            runner = farm.runner_for(project, platform)
            spec = DaemonSpec(
                name=f"{project}-{platform.removeprefix('linux/')}",
                cpus=runner.cpus,
                memory_bytes=runner.memory_bytes,
                platforms=(platform,),
                max_parallelism=farm.max_parallelism,
                cache=farm.cache,
            )
            found.append(Runner(project, platform, spec))
    return found


def local_runners(farm: Farm, nodes: Mapping[str, str]) -> list[Runner]:
    """The runners that are to stand here; `nodes` are the addresses of platforms that run elsewhere.

    Raises InputError for what cannot be: clones of a remote daemon, a foreign platform here, more cores than there are.
    """
    for platform, address in nodes.items():
        if farm.platforms.get(platform) != 1.0:
            known = ", ".join(one for one, slowdown in farm.platforms.items() if slowdown == 1.0)
            raise InputError(f"no native platform '{platform}' in the scenario", where="--node", hint=f"it has {known}")
        if farm.autoscaling is not None:
            raise _no_clone(address)
    here = [runner for runner in runners_of(farm) if runner.platform not in nodes]
    for runner in here:
        if runner.platform not in native_platforms():
            raise InputError(
                f"{runner.platform} does not run on this machine natively",
                where="farm.platforms",
                hint=f"name a machine that does: --node {runner.platform}=tcp://HOST:PORT",
            )
    wanted, cores = sum(runner.spec.cpus for runner in here), len(os.sched_getaffinity(0))
    if wanted > cores:
        fitting = max(0.1, int(10 * cores / len(here)) / 10)
        raise InputError(
            f"the runners want {wanted:g} cpus, and this machine has {cores}",
            where="farm.runner.cpus",
            hint=f"make them smaller: --set farm.runner.cpus={fitting:g}",
        )
    return here


def _no_clone(address: str) -> InputError:
    return InputError(
        "a remote daemon cannot be cloned",
        where=address,
        hint="switch auto-scaling off (--set farm.autoscaling=off), or let this platform run on this machine",
    )


class Fleet:
    """The daemons of one run. Enter it: nothing else may stand on this machine; leave it: nothing stands, unless `keep`.

    Calls from several threads are fine as long as each daemon is started and stopped by one.
    """

    def __init__(self, folder: Path | None = None, say: Say = lambda _: None) -> None:
        self.folder = (folder or default_folder()).absolute()
        self.daemons: list[Daemon] = []
        self.remotes: list[RemoteDaemon] = []
        self._say = say
        self._is_kept = False
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Fleet:
        self._open.enter_context(left.alone(self.folder))
        try:
            if is_root():  # another user's fleet can have remote daemons only
                _refuse_others(self.folder)
            _make_folder(self.folder)
            self._note()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if not self._is_kept or error is not None:
                self.down()
        finally:
            self._open.close()

    def start(
        self,
        spec: DaemonSpec,
        clone_of: Daemon | RemoteDaemon | None = None,
        *,
        base: Path | None = None,
        timeout_s: float = 30.0,
    ) -> Daemon:
        """Start a daemon: empty, on a copy of another's cache (`clone_of`, which may run builds meanwhile), or on `base`, a root
        that `stop(keep_root=True)` kept and that is moved to it. InputError: a remote daemon cannot be cloned.
        """
        if isinstance(clone_of, RemoteDaemon):
            raise _no_clone(clone_of.address)
        if any(one.name == spec.name for one in self.daemons):
            raise InputError(f"two daemons have the name '{spec.name}'", hint="give each its own")
        daemon = Daemon(spec, self._place(spec.name), say=self._say)
        self.daemons.append(daemon)
        try:
            self._note()  # before the start: a kill in between leaves a trace
            if clone_of is None:
                daemon.start(timeout_s=timeout_s, base=base)
            else:
                daemon.start(clone_of.root, timeout_s, hold=clone_of.held if clone_of.is_alive() else None)
        except BaseException:
            self.daemons.remove(daemon)
            raise
        self._note()
        return daemon

    def add(self, remote: RemoteDaemon, platform: str | None = None) -> None:
        """Use a daemon of another machine. It must answer and build the platform."""
        remote.check(platform)
        self.remotes.append(remote)
        self._note()

    def stop(self, daemon: Daemon, keep_root: bool = False, *, drain: bool = False) -> None:
        """Stop one that runs no build (EnvironmentMissing when it does, unless `drain`). Its root goes, unless it is kept."""
        daemon.stop(drain=drain, keep_root=keep_root)
        self.daemons.remove(daemon)
        if not keep_root:
            remove_tree(daemon.folder)
        self._note()

    def keep(self) -> None:
        """The daemons stay up after this process: `standing` finds them, `clean` takes them down."""
        self._is_kept = True
        self._note()

    def down(self) -> None:
        """End all, builds too, and remove all. What cannot be ended does not spare the rest."""
        with sheltered():
            problems = []
            for daemon in list(self.daemons):
                try:
                    daemon.kill(keep_root=False)
                except EnvironmentMissing as error:
                    problems.append(error)
                self.daemons.remove(daemon)
            _remove(self.folder)
            if problems:
                raise problems[0]

    def _place(self, name: str) -> Path:
        """A folder of its own for a name: letters that a path or a group does not like are replaced."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "runner"
        used = {daemon.folder.name for daemon in self.daemons}
        return self.folder / next(
            one for one in (plain, *(f"{plain}-{at}" for at in range(2, 10_000))) if one not in used
        )

    def _note(self) -> None:
        """Write the state file."""
        owner = Process.of(os.getpid())
        fields = {
            "schema_version": _SCHEMA,
            "kept": self._is_kept,
            "owner": [owner.pid, owner.started],
            "daemons": [_daemon_json(one) for one in list(self.daemons)],
            "remotes": [
                {
                    "name": one.name,
                    "address": one.address,
                    "tls": [str(path) if path else None for path in one.tls.files()],
                }
                for one in self.remotes
            ],
        }
        with replacing(self.folder / _STATE) as file:
            file.write(json.dumps(fields, indent=1) + "\n")


def standing(folder: Path | None = None) -> Standing | None:
    """The fleet that the state file tells of, alive or dead; None: there is none. No lock is taken."""
    folder = (folder or default_folder()).absolute()
    try:
        fields = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        daemons = tuple(_daemon(folder, one) for one in fields["daemons"])
        remotes = tuple(
            RemoteDaemon(one["name"], one["address"], Tls(*(Path(path) if path else None for path in one["tls"])))
            for one in fields["remotes"]
        )
        return Standing(bool(fields["kept"]), Process(*fields["owner"]), daemons, remotes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentMissing(
            f"the fleet's state cannot be read: {error}",
            where=str(folder / _STATE),
            hint="`buildcast fleet down` removes it",
        ) from error


def leftovers(folder: Path | None = None) -> list[str]:
    """What stands of the fleet in a folder, a line each: processes, containers, mounts, control groups, sockets, caches."""
    return left.leftovers((folder or default_folder()).absolute())


def clean(folder: Path | None = None) -> list[str]:
    """End and remove all of it; returns what there was. EnvironmentMissing while a living run uses the fleet."""
    folder = (folder or default_folder()).absolute()
    if not is_root() and (left.groups_of(folder) or (folder.exists() and not os.access(folder, os.W_OK))):
        require_root()
    with left.alone(folder):
        found = left.leftovers(folder)
        _remove(folder)
        return found


def _remove(folder: Path) -> None:
    with sheltered():
        left.remove(folder)
        (folder / _STATE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: it is not all ours
            folder.rmdir()


def _refuse_others(folder: Path) -> None:
    """A fleet that was kept up, or what a killed run left, in this folder or in another."""
    state = standing(folder)
    if state is not None and state.is_kept and any(one.is_alive() for one in state.daemons):
        raise EnvironmentMissing("a fleet is up", where=str(folder), hint="take it down: buildcast fleet down")
    if leftovers(folder):
        raise EnvironmentMissing(
            "a killed run has left daemons, mounts or caches", where=str(folder), hint="clean up: buildcast fleet down"
        )
    if others := left.other_fleets():
        pid, place = others[0]
        raise EnvironmentMissing(
            f"daemons of another fleet run on this machine (process {pid})",
            where=str(place or ""),
            hint=f"take it down: buildcast fleet down{f' --folder {place}' if place else ''}",
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentMissing(
            f"the fleet's folder cannot be made: {error.strerror}", where=str(folder), hint="choose a writable --folder"
        ) from error


def _daemon_json(daemon: Daemon) -> Mapping[str, object]:
    spec = daemon.spec
    return {
        "name": spec.name,
        "folder": daemon.folder.name,
        "process": [daemon.process.pid, daemon.process.started],
        "cpus": spec.cpus,
        "memory_bytes": spec.memory_bytes if spec.memory_bytes < inf else None,
        "platforms": list(spec.platforms),
        "max_parallelism": spec.max_parallelism,
        "cores": list(spec.cores),
    }


def _daemon(folder: Path, told: Mapping[str, object]) -> Daemon:
    """A daemon that another process started; its cache limits stand in its config alone."""
    spec = DaemonSpec(
        name=str(told["name"]),
        cpus=float(str(told["cpus"])),
        memory_bytes=inf if told["memory_bytes"] is None else float(str(told["memory_bytes"])),
        platforms=tuple(map(str, _list(told["platforms"]))),
        max_parallelism=int(str(told["max_parallelism"])),
        cores=tuple(int(str(one)) for one in _list(told["cores"])),
    )
    daemon = Daemon(spec, folder / str(told["folder"]))
    pid, started = (int(str(one)) for one in _list(told["process"]))
    daemon.attach(Process(pid, started))
    return daemon


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value
