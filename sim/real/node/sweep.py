"""What a killed daemon leaves below its folder: containers of runc, mounts of overlayfs (buildkit-semantics 9b).

In: the daemon's folder. Out: what is there; `sweep` takes it away. Processes are the control group's part (`cgroups`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
from pathlib import Path

from sim.errors import EnvironmentMissing

_RUNC_STATES = Path("/run/runc")  # runc's own default, which buildkitd does not change
_DETACH = 2  # MNT_DETACH of umount2(2): a container's dying mount namespace may hold it for a moment
_TIMEOUT_S = 20.0


def containers(folder: Path) -> list[str]:
    """Ids of runc's containers whose bundle lies below the folder, running or dead; [] where runc is missing."""
    if not _RUNC_STATES.is_dir() or not any(_RUNC_STATES.iterdir()):
        return []
    text = _runc("list", "--format", "json")
    listed = json.loads(text or "null") or []
    inside = str(folder.resolve()) + os.sep
    return [str(one["id"]) for one in listed if str(one.get("bundle", "")).startswith(inside)]


def mounts(folder: Path, mountinfo: str | None = None) -> list[Path]:
    """Mount points strictly below the daemon's `root` and `tmp`, the deepest first. A mount on these themselves is the user's."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    inside = tuple(f"{folder.resolve() / name}{os.sep}" for name in ("root", "tmp"))
    points = [_plain(line.split()[4]) for line in text.splitlines()]
    return [Path(one) for one in reversed(points) if one.startswith(inside)]


def sweep(folder: Path) -> None:
    """Forget its containers (their processes are dead) and unmount. EnvironmentMissing when a mount stays."""
    for one in containers(folder):
        _runc("delete", "--force", one)
    libc = ctypes.CDLL(None, use_errno=True)
    for point in mounts(folder):
        libc.umount2(os.fsencode(point), _DETACH)
    if left := mounts(folder):
        raise EnvironmentMissing("a mount of a dead daemon stays", where=str(left[0]), hint=f"umount -l '{left[0]}'")


def _runc(*arguments: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["runc", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return done.stdout
    return ""


def _plain(point: str) -> str:
    """The kernel writes blanks in a path as octal numbers (proc(5))."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, letter)
    return point
