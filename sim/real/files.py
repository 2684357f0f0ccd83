"""A folder with the files of one client, brought from content to content.

In: a request's content, what was touched. Out: files in place, their number. Each file changes at once, the folder does
not: no client of it may be sending meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from sim.errors import EnvironmentMissing
from sim.workload.request import Content


class ClientFiles(ABC):
    """`root/files` is the scenario's folder. What kind of files they are is a subclass's business."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._touched: dict[str, int] = {}

    def apply(self, content: Content, touches: Iterable[tuple[str, int]] = (), *, is_fresh: bool = False) -> int:
        """Bring the files to a content; returns how many were written, touched or removed.

        `touches` get a new time and no other bytes; a fresh checkout gets new times throughout. A full disk: exit 3.
        """
        files = self.root / "files"
        try:
            return self._bring(files, content, is_fresh) + self._touch(files, touches)
        except OSError as error:
            raise EnvironmentMissing(
                f"cannot write the build context: {error.strerror or error}",
                where=str(self.root),
                hint="choose a writable place with free space",
            ) from error

    @abstractmethod
    def _bring(self, files: Path, content: Content, is_fresh: bool) -> int:
        """Write what differs."""

    @abstractmethod
    def _below(self, path: str) -> Iterable[str]:
        """The names of the files that a path of the scenario stands for."""

    def _touch(self, files: Path, touches: Iterable[tuple[str, int]]) -> int:
        count = 0
        for path, number in touches:
            if self._touched.get(path) != number:
                self._touched[path] = number
                for name in self._below(path):
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(files / name)
                        count += 1
        return count
