"""Whether a place can be written, asked before minutes of computing.

In: the path after `-o`. Out: nothing, or EnvironmentMissing. Nothing is made yet: an interrupted run leaves no empty folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from sim.errors import EnvironmentMissing

_HINT = "choose a writable place with free space"


def check_folder(out: str | None) -> None:
    """EnvironmentMissing where a folder cannot be made or written to. A full disk shows only when it is written."""
    if out is None:
        return
    there = Path(out)
    while not _exists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise EnvironmentMissing("cannot write: a file stands where a folder is needed", where=str(there), hint=_HINT)
    if not os.access(there, os.W_OK | os.X_OK):
        raise EnvironmentMissing("cannot write: no permission, or a read-only disk", where=str(there), hint=_HINT)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        raise EnvironmentMissing(f"cannot write: {error}", where=str(path)[:200], hint=_HINT) from error
