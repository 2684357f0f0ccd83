"""One BuildKit daemon on this machine: own root, socket and control group, so that it is a runner of the farm.

In: `DaemonSpec`, a folder. Out: `Daemon`, started, asked, cloned, stopped or killed; after its end no process, container,
mount, control group or socket is left. Every wait has a time-out. The folder holds `buildkitd.toml`, `buildkitd.log`, the
socket `bk.sock` and the cache `root`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from sim import tools
from sim.errors import EnvironmentMissing, replacing
from sim.real.cgroups import Group, Usage
from sim.real.node import (
    CacheRecord,
    Node,
    Process,
    RemoteDaemon,
    Tls,
    config_text,
    copy_root,
    group_name,
    sweep,
)
from sim.scenario.farm import CacheLimits
from sim.tools import sheltered
from sim.units import format_bytes

__all__ = ["CacheRecord", "Daemon", "DaemonSpec", "Node", "RemoteDaemon", "Tls", "Usage"]

Hold = Callable[[], AbstractContextManager[None]]

_SOCKET_BYTES = 107  # unix(7): 108 with the zero at the end
_SOCKET, _OTEL = "bk.sock", "otel.sock"
# A SIGTERM while builds run is a drain (buildkit-semantics 13.9); an idle daemon ends in 10 ms.
_STOP_S = 30.0
_HOLD_S = 180.0  # several clones of one daemon wait for each other
_ENV_LEFT_OUT = ("OTEL_", "JAEGER_", "BUILDKIT_", "BUILDX_", "NOTIFY_SOCKET", "LISTEN_")
# On less it starts, and then dies in its first build: its databases are files of 32 kB to some MB that are mapped.
_LEAST_FREE_BYTES = 16 * 2**20
# The shell enters the control groups with its own number and becomes the daemon.
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 97; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class DaemonSpec:
    """A runner to be. `cpus` 0: no limit; `cores`: these alone instead of a quota; `platforms` (): what the machine runs.

    `cache` without limits: nothing is ever collected.
    """

    name: str
    cpus: float = 0.0
    memory_bytes: float = inf
    platforms: tuple[str, ...] = ()
    max_parallelism: int = 0
    cache: CacheLimits = field(default_factory=CacheLimits)
    cores: tuple[int, ...] = ()


class Daemon(Node):
    """A local buildkitd. `folder` is its own and is made by `start`."""

    def __init__(self, spec: DaemonSpec, folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.spec = spec
        self.folder = folder.absolute()
        super().__init__(spec.name, f"unix://{self.socket}", say=say)
        self.group = Group(group_name(self.folder))
        self._child: subprocess.Popen[bytes] | None = None
        self._holding = threading.Lock()
        self.process = Process(-1, -1)

    @property
    def root(self) -> Path:
        """Its cache."""
        return self.folder / "root"

    @property
    def socket(self) -> Path:
        """Where it listens; mode 0600 in a folder of mode 0700."""
        return self.folder / _SOCKET

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / "buildkitd.log"

    @property
    def pid(self) -> int:
        """Its process number; -1 before the start."""
        return self.process.pid

    def start(
        self,
        root_of: Path | None = None,
        timeout_s: float = 30.0,
        *,
        hold: Hold | None = None,
        base: Path | None = None,
    ) -> None:
        """Start and wait until it answers. `root_of`: copy that root first; `hold` stops the daemon that runs on it.
        `base`: move that root here. With neither, a root that is here already is used as it is.

        Raises EnvironmentMissing; then nothing is left of it but the
        log, and the root if it was there before.
        """
        had_root = root_of is None and (base is not None or self.root.exists())
        runc = self._check()
        try:
            self._configure(runc)  # first: by it a clean-up knows whose folder this is
            if root_of is not None:
                remove_tree(self.root)
                copy_root(root_of, self.root, hold, self._say)
            elif base is not None and base != self.root:
                remove_tree(self.root)
                shutil.move(base, self.root)
            self.root.mkdir(exist_ok=True)
            self.group.create(self.spec.cpus, self.spec.memory_bytes, self.spec.cores)
            self._launch()
            self._await_answer(time.monotonic() + timeout_s)
            self.socket.chmod(0o600)
        except OSError as error:
            self._end(keep_root=had_root)
            raise EnvironmentMissing(
                f"the daemon '{self.name}' cannot be started: {error.strerror or error}",
                where=str(error.filename or self.folder),
                hint="choose a writable --folder with free space",
            ) from error
        except BaseException:
            self._end(keep_root=had_root)
            raise

    def attach(self, process: Process) -> None:
        """Take over a daemon that another process has started."""
        self.process = process

    def is_alive(self) -> bool:
        """The process lives; whether it answers is `answers()`."""
        if self._child is not None:
            self._child.poll()  # reaps it
        return self.process.is_alive()

    def usage(self) -> Usage:
        """CPU and memory of the daemon and its steps since the start."""
        return self.group.usage()

    def stop(self, timeout_s: float = _STOP_S, *, drain: bool = False, keep_root: bool = True) -> None:
        """SIGTERM, and wait. While builds run it is refused (EnvironmentMissing), unless they shall end first: `drain`.

        Not over in time: it is killed, and so are the builds.
        """
        if self.is_alive():
            running = [] if drain else self.running_builds()
            if running:
                builds = "1 build still runs" if len(running) == 1 else f"{len(running)} builds still run"
                raise EnvironmentMissing(builds, where=self.name, hint="wait for the end, drain it, or kill it")
            self.process.send(signal.SIGTERM)
            self.process.wait(timeout_s)
        self._end(keep_root=keep_root)

    def kill(self, *, keep_root: bool = True) -> None:
        """End it and its steps at once; clients get an error."""
        self._end(keep_root=keep_root)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It stands still (SIGSTOP) while the block runs, for one holder at a time; its steps go on. A dead one needs nothing."""
        if not self._holding.acquire(timeout=_HOLD_S):
            raise EnvironmentMissing("the daemon is being copied for too long", where=self.name, hint="a faster disk")
        try:
            self.process.send(signal.SIGSTOP)
            until_s = time.monotonic() + 5.0
            while not self.process.is_stopped():
                if time.monotonic() > until_s:
                    raise EnvironmentMissing("the daemon cannot be held still", where=self.name, hint="try again")
                time.sleep(0.001)
            yield
        finally:
            self.process.send(signal.SIGCONT)
            self._holding.release()

    def _check(self) -> Path:
        """What can be known to be wrong before anything is made; returns runc."""
        require_root()
        runc = tools.runc()
        size = len(os.fsencode(self.socket.parent / _OTEL))
        if size > _SOCKET_BYTES:
            raise EnvironmentMissing(
                f"the path of its socket has {size} bytes, and the kernel takes {_SOCKET_BYTES}",
                where=str(self.socket),
                hint="choose a shorter --folder",
            )
        for path in (self.socket, self.folder / _OTEL):
            _free_socket(path)
        _check_space(self.folder)
        return runc

    def _configure(self, runc: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        text = config_text(
            root=self.root,
            socket=self.socket,
            otel_socket=self.folder / _OTEL,
            runc=runc,
            steps_group=self.group.steps_path,
            cache=self.spec.cache,
            max_parallelism=self.spec.max_parallelism,
            platforms=self.spec.platforms,
        )
        with replacing(self.folder / "buildkitd.toml") as file:
            file.write(text)

    def _launch(self) -> None:
        """A session of its own: ^C in the terminal is ours to handle, not the daemon's."""
        buildkitd = tools.ensure("buildkitd", self._say)
        command = ["/bin/sh", "-c", _ENTER, "sh", *map(str, self.group.entrances()), "--"]
        command += [str(buildkitd), "--config", str(self.folder / "buildkitd.toml")]
        # Temporary mounts stay below the folder, where a sweep finds them.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_ENV_LEFT_OUT)}
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment["TMPDIR"] = str(temporary)
        with sheltered(), self.log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
                cwd=self.folder,
            )
            self.process = Process.of(self._child.pid)

    def _await_answer(self, until_s: float) -> None:
        """The socket is there before the daemon answers on it; a question waits for the answer (semantics 13.9: 0.1 s)."""
        while self.is_alive():
            left_s = until_s - time.monotonic()
            if self.socket.exists() and self.answers(max(0.1, min(5.0, left_s))):
                return
            if left_s <= 0:
                raise EnvironmentMissing(
                    f"the daemon '{self.name}' does not answer in time: {_last_words(self.log)}",
                    where=str(self._saved_log()),
                    hint="the machine may be busy; try again",
                )
            time.sleep(0.01)
        if self._is_disk_full():
            raise EnvironmentMissing(
                f"the daemon '{self.name}' does not start: the disk is full",
                where=str(self.folder),
                hint="free some space, or choose another --folder",
            )
        raise EnvironmentMissing(
            f"the daemon '{self.name}' does not start: {self._reason()}",
            where=str(self._saved_log()),
            hint="the log has all of it",
        )

    def _saved_log(self) -> Path:
        """A copy that outlives the folder, for a person to read."""
        kept = tools.cache_folder() / "buildkitd-failed.log"
        with contextlib.suppress(OSError):
            shutil.copyfile(self.log, kept)
            return kept
        return self.log

    def _reason(self) -> str:
        code = self._child.poll() if self._child is not None else None
        if code is not None and code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return _last_words(self.log)

    def _is_disk_full(self) -> bool:
        """Its words, or a write into a mapped file that failed for want of space (SIGBUS)."""
        code = self._child.poll() if self._child is not None else None
        return code == -signal.SIGBUS or "no space left on device" in _text(self.log)

    def _end(self, *, keep_root: bool) -> None:
        """Processes, containers, mounts, control group, sockets; then the root if it is not kept. ^C waits meanwhile."""
        with sheltered():
            self.process.send(signal.SIGKILL)
            self.group.kill()
            self.process.wait(10.0)
            if self._child is not None:
                self._child.poll()
            if self.folder.is_dir():
                sweep(self.folder)
            self.group.remove()
            for name in (_SOCKET, _OTEL):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "tmp", ignore_errors=True)
            if not keep_root:
                remove_tree(self.root)


def is_root() -> bool:
    """This process may start daemons."""
    return os.geteuid() == 0


def require_root() -> None:
    """Control groups, mounts and containers need it."""
    if not is_root():
        raise EnvironmentMissing(
            "local BuildKit daemons need root: control groups, mounts, containers",
            hint="run it with sudo, or use remote daemons: --node PLATFORM=tcp://HOST:PORT",
        )


def remove_tree(folder: Path) -> None:
    """Remove a root; a mount point that is the user's own stays, empty."""
    shutil.rmtree(folder, ignore_errors=True)


def _check_space(folder: Path) -> None:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    stat = os.statvfs(there)
    free_bytes = stat.f_bavail * stat.f_frsize
    if free_bytes < _LEAST_FREE_BYTES:
        raise EnvironmentMissing(
            f"the disk is full: {format_bytes(free_bytes)} left, and a daemon needs {format_bytes(_LEAST_FREE_BYTES)}",
            where=str(there),
            hint="free some space, or choose another --folder",
        )


def _free_socket(path: Path) -> None:
    """A socket that nobody serves goes; one that is served, or another file, is an error."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise EnvironmentMissing(
            "the place of the socket is taken by another file",
            where=str(path),
            hint="remove it, or choose another --folder",
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise EnvironmentMissing(
        "another daemon listens on the socket",
        where=str(path),
        hint="`buildcast fleet down`, or choose another --folder",
    )


def _text(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")
    return ""


def _last_words(log: Path) -> str:
    """The last line of a log, without its time stamp."""
    lines = [line for line in _text(log).splitlines() if line.strip()] or ["it wrote nothing"]
    last = next((line for line in reversed(lines) if line.startswith("buildkitd: ")), lines[-1])
    said = last.partition(" msg=")[2] or last.removeprefix("buildkitd: ")
    return " ".join(said.strip('"').split())[:200]
