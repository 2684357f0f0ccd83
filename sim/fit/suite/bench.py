"""The bench: builds of the suite on one daemon, each with fresh commands, and what the daemon remembers of them.

In: a `Node`, the text of a Dockerfile, perhaps a context and an output. Out: `Ran`: the client's wall and the daemon's own times.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim import tools
from sim.errors import EnvironmentMissing
from sim.inputs import Recorded, read_answers
from sim.real.daemon import Node
from sim.real.recipe.images import Image, write_layout

_TIMEOUT_S = 120.0
_STORE, _BASE = "suite", "base"
_NATIVE = ("linux/amd64", "linux/arm64", "linux/386")


@dataclass(slots=True)
class Ran:
    """One build, from the client's start to its end; its steps' times are the daemon's own.

    `label` says what it is for; `files` by the first path of a COPY; `sent_files` of its context. `opened_s`: from the client's
    start to the daemon's first word of the build.
    """

    label: str
    recorded: Recorded
    opened_s: float
    cpu_s: float | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    sent_files: int = 0

    def took_s(self, part: str) -> list[float]:
        """Seconds of the executed vertices whose name holds a text."""
        found = []
        for step in self.recorded.vertices.steps():
            if part in step.name and not step.is_cached and step.completed_ns is not None:
                found.append((step.completed_ns - step.started_ns) / 1e9)
        return found

    def waited_s(self, part: str) -> list[float]:
        """Seconds from the end of whatever came last before to the start of each such vertex."""
        steps = [one for one in self.recorded.vertices.steps() if not one.is_cached]
        ends_ns = [one.completed_ns for one in steps if one.completed_ns is not None]
        found = []
        for step in steps:
            before_ns = [end_ns for end_ns in ends_ns if end_ns <= step.started_ns]
            if part in step.name and before_ns:
                found.append((step.started_ns - max(before_ns)) / 1e9)
        return found


class Bench:
    """Builds on one daemon. `folder` is private. `cpu_s`: how to ask for the core-seconds that the daemon and its steps used."""

    def __init__(
        self, node: Node, folder: Path, say: Callable[[str], None], cpu_s: Callable[[], float] | None = None
    ) -> None:
        self.node = node
        self.folder = folder
        self.ran: list[Ran] = []
        self._buildctl = tools.ensure("buildctl", say)
        self._cpu_s = cpu_s
        self.platform = next((one for one in node.platforms() if one in _NATIVE), "")
        if not self.platform:
            hint = f"the load program is built for {', '.join(_NATIVE)}"
            raise EnvironmentMissing("builds for no platform that the suite knows", where=node.address, hint=hint)
        self._layout = folder / "images"
        image = Image(_BASE, "suite", (self.platform,))
        program = tools.ensure("load", say, self.platform)
        self.digest = write_layout([image], {self.platform: program}, {}, self._layout)[_BASE]
        self.program = program

    def run(
        self,
        label: str,
        dockerfile: str,
        *,
        context: Path | None = None,
        output: str = "",
        files: Mapping[str, int] | None = None,
        sent_files: int = 0,
    ) -> Ran:
        """Build, and read the daemon's own record of it. EnvironmentMissing: the build fails or hangs."""
        place = self.folder / "build"
        place.mkdir(exist_ok=True)
        (place / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        ref = place / "ref"
        ref.unlink(missing_ok=True)
        command = [str(self._buildctl), *self.node.flags, "build", "--frontend", "dockerfile.v0", "--progress", "quiet"]
        command += ["--opt", f"platform={self.platform}", "--local", f"dockerfile={place}", "--ref-file", str(ref)]
        command += ["--local", f"context={context or place}", "--oci-layout", f"{_STORE}={self._layout}"]
        command += ["--opt", f"context:{_BASE}=oci-layout://{_STORE}@{self.digest}"]
        command += ["--output", output] if output else []
        cpu_s = self._cpu_s() if self._cpu_s else None
        begun_ns, ended_ns = self._call(command, label)
        used_s = None if cpu_s is None or self._cpu_s is None else self._cpu_s() - cpu_s
        recorded = read_answers(self.node.ask, self.node.name, refs={ref.read_text(encoding="utf-8").strip()})
        if len(recorded) != 1:
            raise EnvironmentMissing("the daemon does not remember a build", where=self.node.address)
        one = recorded[0]
        opened_s = ((one.started_ns or begun_ns) - begun_ns) / 1e9
        whole = replace(one, started_ns=begun_ns, completed_ns=ended_ns)
        self.ran.append(Ran(label, whole, opened_s, used_s, files or {}, sent_files))
        return self.ran[-1]

    def _call(self, command: list[str], label: str) -> tuple[int, int]:
        begun_ns = time.time_ns()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            what = f"the build '{label}' of the suite is not done after {_TIMEOUT_S:.0f} s"
            raise EnvironmentMissing(what, where=self.node.address, hint="is the machine busy?") from None
        ended_ns = time.time_ns()
        if done.returncode != 0:
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
            what = f"the build '{label}' of the suite fails: {' '.join(last.split())[:200]}"
            raise EnvironmentMissing(what, where=self.node.address)
        return begun_ns, ended_ns


def load(*, cpu_s: float = 0.0, threads: int = 1, out: str = "", size_bytes: int = 0) -> str:
    """A RUN of the load program that no build had before."""
    spec = [f"op={secrets.token_hex(6)}"]
    if cpu_s:
        spec += [f"cpu={cpu_s:g}s", f"threads={threads}"]
    if out:
        spec.append(f"out={out}:{size_bytes}:random")
    return f'RUN ["/load","--spec","{",".join(spec)}"]\n'
