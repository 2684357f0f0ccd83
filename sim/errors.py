"""What goes wrong on the user's side, one class a kind of exit; caught once, in the command line.

In: what, where (file:line:col) and what to do. Out: one line on stderr and an exit code (design section 6).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class BuildcastError(Exception):
    """A problem that a person can mend. `str()` is the one line to print; several lines for several problems."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__((f"{where}: " if where else "") + what + (f"; {hint}" if hint else ""))


class InputError(BuildcastError):
    """Bad usage or input: a scenario, a flag, a lock file, a trace. Exit code 2."""


class InputErrors(InputError):
    """Several problems of one input, told at once."""

    def __init__(self, problems: list[InputError]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class EnvironmentMissing(BuildcastError):
    """A tool, a daemon or the disk is not as needed. Exit code 3."""

    exit_code = 3


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[str]]:
    """Write `path` whole or not at all: a temporary file beside it, renamed at the end. A full or read-only disk: exit 3."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot write: {error.strerror or error}", where=str(path), hint="choose a writable place with free space"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
