"""What stands of a fleet on this machine, whoever started it, and how it is removed; and the lock that one run holds.

In: the fleet's folder. Out: lines, or their absence. Nothing that is not known as ours is touched: control groups by their
name, folders by the `buildkitd.toml` in them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from sim.errors import EnvironmentMissing
from sim.real import cgroups
from sim.real.node.sweep import containers, mounts, sweep

WORK = "replay"  # in a fleet's folder: what a replay writes while it runs


def group_name(daemon_folder: Path) -> str:
    """The control group of the daemon in a folder: another fleet may have a daemon of the same name."""
    return f"{_key(daemon_folder.parent)}-{daemon_folder.name}"


def groups_of(folder: Path) -> list[str]:
    """Control groups of the daemons of a fleet."""
    return [name for name in cgroups.groups() if name.startswith(f"{_key(folder)}-")]


def leftovers(folder: Path) -> list[str]:
    """A line each: processes, containers, mounts, control groups, sockets, caches."""
    found = []
    for name in groups_of(folder):
        found += [f"process {pid} ({_command(pid)})" for pid in sorted(cgroups.Group(name).pids())]
        found.append(f"control group {cgroups.PARENT}/{name}")
    for place in _daemon_folders(folder):
        found += [f"container {one}" for one in containers(place)]
        found += [f"mount {one}" for one in mounts(place)]
        found += [f"socket {one}" for one in sorted(place.glob("*.sock"))]
        found += [f"cache {place / 'root'}"] if (place / "root").exists() else []
    found += [f"files {folder / WORK}"] if (folder / WORK).exists() else []
    return found


def remove(folder: Path) -> None:
    """Processes first; then what they held. EnvironmentMissing when something stays."""
    names = groups_of(folder)
    for name in names:
        cgroups.Group(name).kill()
    for place in _daemon_folders(folder):
        sweep(place)
        shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    for name in names:
        cgroups.Group(name).remove()
    for name in cgroups.groups():  # of a folder that is gone
        group = cgroups.Group(name)
        if not group.pids():
            with contextlib.suppress(EnvironmentMissing):
                group.remove()


def other_fleets() -> list[tuple[int, Path | None]]:
    """A process and, where it tells, the folder of every daemon that runs on this machine."""
    alive = filter(None, (sorted(cgroups.Group(name).pids()) for name in cgroups.groups()))
    return [(pids[0], next(filter(None, map(_folder_of, pids)), None)) for pids in alive]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The machine's lock, held while the block runs. The file stays: without it two processes could lock two files."""
    path = _lock_path()
    try:
        file = path.open("a+")
    except OSError as error:
        raise EnvironmentMissing(
            f"the lock cannot be taken: {error.strerror}", where=str(path), hint="run it as root"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = " ".join(file.read().split()) or "it has not said which"
            raise EnvironmentMissing(
                f"another run of buildcast uses this machine's daemons ({holder})",
                hint="wait for its end: two at once would spoil each other's times",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, folder {folder}\n")
        file.flush()
        yield


def _lock_path() -> Path:
    """Where a reboot forgets it; daemons do not live through one either."""
    run = Path("/run")
    return (run if os.access(run, os.W_OK) else Path(tempfile.gettempdir())) / "buildcast.lock"


def _key(folder: Path) -> str:
    return sha256(os.fsencode(folder.absolute())).hexdigest()[:8]


def _folder_of(pid: int) -> Path | None:
    """The fleet's folder of a buildkitd, by its command line."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")
        return Path(words[words.index("--config") + 1]).parent.parent
    return None


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return "gone"


def _daemon_folders(folder: Path) -> list[Path]:
    """Those with a config that we wrote: its root is the one in the folder."""
    found = []
    for config in sorted(folder.glob("*/buildkitd.toml")):
        with contextlib.suppress(OSError):
            if str(config.parent / "root") in config.read_text(encoding="utf-8", errors="replace"):
                found.append(config.parent)
    return found
