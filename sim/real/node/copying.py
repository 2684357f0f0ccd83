"""A copy of a daemon's root, so that another daemon starts with the same cache: a clone (buildkit-semantics 9a, 9b, 13.9).

In: a root whose daemon is stopped, or runs and can be held still. Out: the copy, as safe as the root of a daemon that was
killed at that moment, which BuildKit starts on (9b), with every finished step in it.

A running daemon is not stopped for it: a build could arrive meanwhile. The whole root is copied first, while it runs; then
the daemon is held still (SIGSTOP) and only what has changed since is copied again, a snapshot as a whole. A changed file
has a new ctime, which no program can set back; so nothing torn survives, and the daemon stands for some 30 ms, not for
the seconds that a root with many files takes. What a step writes into a cache mount meanwhile is copied as it is then.

A kill may lose a step whose result is just being finalised (`tools_go/snapshots`): a copy of such a moment is brought up to a
later one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from sim import tools
from sim.errors import EnvironmentMissing

# A bad phase of a disk takes 0.75 ms a file (semantics 13.9): 800 000 files.
_TIMEOUT_S = 600.0
_STEP_TIMEOUT_S = 60.0
_SLACK_S = 0.1  # a file's clock ticks every 4 to 10 ms (CONFIG_HZ) and so lags behind
_SNAPSHOTS = ("snapshots", "snapshots")
# Blobs that the source was receiving. BuildKit would go on where they end, and of a client's files it cannot: "failed to copy:
# unsupported offset" (containerd's content store; what is not there is received from the start).
_INGESTS = "*/content/ingest/*"
# A commit is four syncs, of a daemon that may be out of its quota for a period. What is missing for longer, an earlier kill took.
_WAITS_S = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32)


def copy_root(
    source: Path,
    target: Path,
    hold: Callable[[], AbstractContextManager[None]] | None = None,
    say: tools.Say = lambda _: None,
) -> None:
    """Copy `source` to `target`, which must not exist. `hold`: stops the daemon that runs on `source` while it is open.

    Raises EnvironmentMissing when the disk is full or the copy takes too long; then nothing of it is left.
    """
    begun_s = time.time()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # -x: the mounted root of a running container is no part of the cache.
        _run(["cp", "-a", "-x", "-T", str(source), str(target)], source, _TIMEOUT_S, may_vanish=hold is not None)
        if hold is not None:
            _copy_held(source, target, hold, begun_s, say)
        for unfinished in target.glob(_INGESTS):
            shutil.rmtree(unfinished)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _copy_held(
    source: Path, target: Path, hold: Callable[[], AbstractContextManager[None]], since_s: float, say: tools.Say
) -> None:
    """Copy what has changed since then, and again where the daemon stood still in the middle of a commit."""
    program = str(tools.ensure("snapshots", say))
    for wait_s in _WAITS_S:
        time.sleep(wait_s)
        with hold():
            held_s = time.time()
            _catch_up(source, target, since_s - _SLACK_S)
        if not _run([program, str(target)], target, _STEP_TIMEOUT_S):
            return
        since_s = held_s


def _catch_up(source: Path, target: Path, since_s: float) -> None:
    """Bring the copy to what the source is now: changed units anew, vanished ones away."""
    # Steps go on while the daemon is held; what they delete now is of no finished step.
    command = ["find", ".", "-xdev", "-newerct", f"@{since_s:.3f}", "-printf", "%P\\0"]
    found = _run(command, source, _STEP_TIMEOUT_S, may_vanish=True)
    now = set(_units(source))
    changed = {unit for unit in map(_unit, map(Path, filter(None, found.split("\0")))) if unit in now}
    for unit in changed | (set(_units(target)) - now):
        _delete(target / unit)
    if changed:
        names = "\0".join(sorted(map(str, changed)))
        command = ["xargs", "-0", "cp", "-a", "-x", "--parents", "-t", str(target)]
        _run(command, source, _STEP_TIMEOUT_S, stdin=names, may_vanish=True)


def _units(root: Path) -> Iterator[Path]:
    """What is copied as a whole: a snapshot, or a file outside of them."""
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        if here.parts[-2:] == _SNAPSHOTS:
            yield from (here / name for name in folders)
            folders.clear()
        folders[:] = [name for name in folders if not os.path.ismount(os.path.join(folder, name))]
        yield from (here / name for name in files)


def _unit(path: Path) -> Path:
    """The unit to which a path belongs."""
    for at in range(len(path.parts) - 2):
        if path.parts[at : at + 2] == _SNAPSHOTS:
            return Path(*path.parts[: at + 3])
    return path


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _run(command: list[str], cwd: Path, timeout_s: float, *, stdin: str = "", may_vanish: bool = False) -> str:
    """Run in the C locale. `may_vanish`: files that go meanwhile are no error."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            input=stdin.encode(errors="surrogateescape"),
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        took = f"it took more than {timeout_s:.0f} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise EnvironmentMissing(
            f"the cache cannot be copied: {took}", where=str(cwd), hint="a faster disk, or a smaller cache"
        ) from error
    lines = done.stderr.decode(errors="replace").splitlines()
    if may_vanish:
        lines = [line for line in lines if "No such file or directory" not in line]
    if done.returncode != 0 and lines:
        full = "No space left on device" in lines[0]
        raise EnvironmentMissing(
            f"the cache cannot be copied: {'the disk is full' if full else lines[0]}",
            where=str(cwd),
            hint="free some space, or choose another --folder",
        )
    return done.stdout.decode(errors="surrogateescape")
