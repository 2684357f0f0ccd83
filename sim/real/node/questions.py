"""What can be asked of any BuildKit daemon, local or remote, through buildctl.

In: an address, certificates. Out: answers, each within a time-out; a daemon that gives none is an EnvironmentMissing.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim import tools
from sim.errors import EnvironmentMissing, InputError

Say = Callable[[str], None]
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a client: the authority that signed the daemon's certificate, its own certificate and key."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def files(self) -> tuple[Path | None, Path | None, Path | None]:
        """Authority, certificate, key."""
        return self.ca, self.cert, self.key

    def flags(self) -> tuple[str, ...]:
        """For buildctl."""
        named = zip(("--tlscacert", "--tlscert", "--tlskey"), self.files(), strict=True)
        return tuple(word for flag, path in named if path is not None for word in (flag, str(path)))

    def check(self) -> None:
        """InputError for a file that cannot be read, or half a pair."""
        for path in filter(None, self.files()):
            if not path.is_file():
                raise InputError("no such file", where=str(path), hint="give the files of a client certificate in PEM")
        if (self.cert is None) != (self.key is None):
            raise InputError("a certificate needs its key", hint="give both --tls-cert and --tls-key")


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One record of the cache, as `buildctl du` has it. `kind`: regular, source.local, exec.cachemount, internal ..."""

    id: str
    parents: tuple[str, ...]
    size_bytes: int
    kind: str
    description: str
    usage_count: int
    is_in_use: bool
    is_shared: bool


class Node:
    """A daemon with an address. Every question ends within its time-out."""

    def __init__(self, name: str, address: str, tls: Tls | None = None, say: Say = lambda _: None) -> None:
        self.name, self.address = name, address
        self.tls = tls or Tls()
        self._say = say

    @property
    def flags(self) -> tuple[str, ...]:
        """How buildctl reaches it: put them before the command."""
        return ("--addr", self.address, *self.tls.flags())

    def ask(self, *arguments: str, timeout_s: float = _TIMEOUT_S) -> str:
        """Run buildctl and return its stdout. Raises EnvironmentMissing with the daemon's own words."""
        command = [str(tools.ensure("buildctl", self._say)), *self.flags, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise EnvironmentMissing(
                f"the daemon does not answer within {timeout_s:g} s",
                where=self.address,
                hint="is it alive and reachable?",
            ) from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            said = lines[-1].removeprefix("error: ").strip()
            raise EnvironmentMissing(
                f"the daemon does not answer: {said}", where=self.address, hint="is it alive and reachable?"
            )
        return done.stdout

    def answers(self, timeout_s: float = 5.0) -> bool:
        """It serves requests now."""
        try:
            self.ask("debug", "workers", timeout_s=timeout_s)
        except EnvironmentMissing:
            return False
        return True

    def platforms(self) -> list[str]:
        """What it says it builds natively or emulated, its default first: `linux/amd64`."""
        workers = json.loads(self.ask("debug", "workers", "--format", "{{json .}}"))
        return [_platform(one) for worker in workers for one in worker.get("platforms") or []]

    def disk(self) -> list[CacheRecord]:
        """All records of its cache."""
        records = json.loads(self.ask("du", "--format", "{{json .}}")) or []
        return [_record(one) for one in records]

    def running_builds(self) -> list[str]:
        """Refs of the builds that run on it now."""
        listed = self.ask("debug", "histories", "--format", "{{json .}}")
        records = [json.loads(line).get("record") or {} for line in listed.splitlines() if line.strip()]
        return [str(one.get("Ref", "")) for one in records if not one.get("CompletedAt")]


class RemoteDaemon(Node):
    """A daemon on another machine. It is there or not; nobody starts, clones or measures it from here."""

    def check(self, platform: str | None = None) -> None:
        """EnvironmentMissing when it does not answer, InputError when it does not build the platform."""
        offered = self.platforms()
        if platform is not None and platform not in offered:
            raise InputError(
                f"the node does not build {platform}", where=self.address, hint=f"it builds {', '.join(offered)}"
            )

    def is_alive(self) -> bool:
        """It answers."""
        return self.answers()


def _platform(told: dict[str, str]) -> str:
    parts = [told.get("os", ""), told.get("architecture", ""), told.get("variant", "")]
    return "/".join(part for part in parts if part)


def _record(told: dict[str, object]) -> CacheRecord:
    parents = told.get("parents")
    return CacheRecord(
        id=str(told.get("id", "")),
        parents=tuple(map(str, parents)) if isinstance(parents, list) else (),
        size_bytes=int(str(told.get("size", 0))),
        kind=str(told.get("recordType", "")),
        description=str(told.get("description", "")),
        usage_count=int(str(told.get("usageCount", 0))),
        is_in_use=bool(told.get("inUse")),
        is_shared=bool(told.get("shared")),
    )
